#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "base/fault.hpp"
#include "base/unique_fd.hpp"
#include "fs/content.hpp"
#include "fs/list.hpp"
#include "fs/ops.hpp"
#include "fs/path.hpp"

namespace execd::fs {

namespace {

constexpr std::size_t kMaxDepth = 1000;  // paths end at 4096 bytes anyway

void keep_attributes(int fd, struct ::stat const& stat) {
    // Best effort, as cp -a: an unprivileged copy belongs to its maker.
    if (::fchown(fd, stat.st_uid, stat.st_gid) != 0) errno = 0;  // not allowed to give it away: it stays ours
    static_cast<void>(::fchmod(fd, stat.st_mode & 07777U));
    struct ::timespec const times[2] = {stat.st_atim, stat.st_mtim};
    static_cast<void>(::futimens(fd, times));
}

Result<void> copy_file(std::string const& from, std::string const& to) {
    if (int const e = fault::hit("open")) return fail_errno("open", e, from);
    UniqueFd const in(::open(from.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY));
    struct ::stat stat {};
    if (!in || ::fstat(in.get(), &stat) != 0) return fail_errno("open", errno, from);
    if (!S_ISREG(stat.st_mode)) return fail(Code::conflict, "copy", from + ": changed while it was copied");
    UniqueFd const out(::open(to.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (!out) return fail_errno("open", errno, to);
    auto copied = copy_content(in.get(), out.get());
    if (!copied) {
        ::unlink(to.c_str());
        copied.error().detail = to;
        return Failure(std::move(copied.error()));
    }
    copy_xattrs(in.get(), out.get());
    keep_attributes(out.get(), stat);
    return {};
}

Result<void> copy_link(std::string const& from, std::string const& to) {
    char target[4097];
    auto const n = ::readlink(from.c_str(), target, sizeof target - 1);
    if (n < 0) return fail_errno("readlink", errno, from);
    target[n] = '\0';
    if (::symlink(target, to.c_str()) != 0) return fail_errno("symlink", errno, to);
    return {};
}

/// What is not a directory.
Result<void> copy_leaf(std::string const& from, std::string const& to, struct ::stat const& stat) {
    switch (stat.st_mode & S_IFMT) {
        case S_IFREG: return copy_file(from, to);
        case S_IFLNK: return copy_link(from, to);
        case S_IFIFO:
        case S_IFCHR:
        case S_IFBLK:
            if (::mknod(to.c_str(), stat.st_mode, stat.st_rdev) != 0) return fail_errno("mknod", errno, to);
            return {};
        default: return fail(Code::not_supported, "copy", from + ": a socket cannot be copied");
    }
}

class TreeCopier {
  public:
    Result<void> run(std::string const& from, std::string const& to, struct ::stat const& stat) {
        if (auto ok = open_level(from, to, stat); !ok) return ok;
        while (!levels_.empty()) {
            auto& level = levels_.back();
            if (level.names.empty()) {
                close_level();
                continue;
            }
            auto const name = std::move(level.names.back().name);
            level.names.pop_back();
            auto const source = join_path(level.from, name);
            auto const target = join_path(level.to, name);
            struct ::stat found {};
            if (::lstat(source.c_str(), &found) != 0) {
                if (errno == ENOENT) continue;
                return fail_errno("lstat", errno, source);
            }
            if (found.st_dev == root_device_ && found.st_ino == root_inode_)
                continue;  // the copy lies inside its source
            auto const ok =
                S_ISDIR(found.st_mode) ? open_level(source, target, found) : copy_leaf(source, target, found);
            if (!ok) return ok;
        }
        return {};
    }

  private:
    struct Level {
        std::string from, to;
        struct ::stat stat;
        std::vector<DirectoryName> names;
    };
    Result<void> open_level(std::string const& from, std::string const& to, struct ::stat const& stat) {
        if (levels_.size() == kMaxDepth) return fail(Code::too_large, "copy", from + ": too deep");
        UniqueFd const fd(::open(from.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK));
        if (!fd) return fail_errno("open", errno, from);
        auto names = read_names(fd.get());
        if (!names) return Failure(names.error());
        if (::mkdir(to.c_str(), 0700) != 0) return fail_errno("mkdir", errno, to);
        struct ::stat made {};
        if (levels_.empty() && ::lstat(to.c_str(), &made) == 0) {
            root_device_ = made.st_dev;
            root_inode_ = made.st_ino;
        }
        levels_.push_back({from, to, stat, std::move(*names)});
        return {};
    }
    void close_level() {
        auto const& level = levels_.back();
        UniqueFd const to(::open(level.to.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        UniqueFd const from(::open(level.from.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        if (to && from) copy_xattrs(from.get(), to.get());
        if (to) keep_attributes(to.get(), level.stat);
        levels_.pop_back();
    }

    std::vector<Level> levels_;
    dev_t root_device_ = 0;
    ino_t root_inode_ = 0;
};

}  // namespace

Result<Done> Copy::run() const {
    if (auto ok = check_path(source); !ok) return Failure(ok.error());
    if (auto ok = check_path(destination); !ok) return Failure(ok.error());
    struct ::stat stat {};
    if (::lstat(source.c_str(), &stat) != 0) return fail_errno("stat", errno, source);
    bool const directory = S_ISDIR(stat.st_mode);
    if (directory && !tree) return fail_errno("copy", EISDIR, source);
    if (make_parents)
        if (auto ok = make_parent(destination); !ok) return Failure(ok.error());
    struct ::stat there {};
    bool const exists = ::lstat(destination.c_str(), &there) == 0;
    if (exists && !overwrite) return fail_errno("copy", EEXIST, destination);
    if (exists && there.st_dev == stat.st_dev && there.st_ino == stat.st_ino)
        return fail(Code::invalid_argument, "copy", destination + " is the source itself");
    if (exists && S_ISDIR(there.st_mode)) return fail_errno("copy", directory ? EEXIST : EISDIR, destination);
    if (exists && directory) return fail_errno("copy", ENOTDIR, destination);
    // Beside the destination first: it appears (or is replaced) whole or not at all.
    std::string const beside = join_path(parent_of(destination), ".execd-copy-" + std::to_string(::gettid()) +
                                                                     "-" + std::to_string(stat.st_ino));
    auto done = directory ? TreeCopier().run(source, beside, stat) : copy_leaf(source, beside, stat);
    if (done && ::renameat2(AT_FDCWD, beside.c_str(), AT_FDCWD, destination.c_str(),
                            overwrite ? 0U : unsigned{RENAME_NOREPLACE}) != 0) {
        int error = errno;
        if (error == EINVAL && !exists && ::rename(beside.c_str(), destination.c_str()) == 0) return Done{};
        done = fail_errno("rename", error, destination);
    }
    if (done) return Done{};
    // The temporary is nobody's business: what was to be made is named.
    auto& named = done.error().detail;
    if (named.starts_with(beside)) named.replace(0, beside.size(), destination);
    static_cast<void>(Remove{beside, true, true}.run());
    return Failure(done.error());
}

}  // namespace execd::fs
