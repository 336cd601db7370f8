// Removing a tree holds one descriptor however deep it is: the way back up is "..", and it must be the
// directory that we came from (device and inode), or somebody moved it under our hands and we stop.
#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

#include "base/unique_fd.hpp"
#include "fs/list.hpp"
#include "fs/ops.hpp"
#include "fs/path.hpp"

namespace execd::fs {

namespace {

constexpr int kOpenDirectory = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK;

struct Level {
    std::string name;  // in its parent
    dev_t device = 0;
    ino_t inode = 0;
    std::vector<DirectoryName> names;
};

class TreeRemover {
  public:
    TreeRemover(UniqueFd parent, std::string root) : fd_(std::move(parent)), root_(std::move(root)) {}

    Result<std::uint64_t> run(std::string const& name) {
        struct ::stat stat {};
        if (::fstat(fd_.get(), &stat) != 0) return fail_errno("stat", errno, root_);
        levels_.push_back({"", stat.st_dev, stat.st_ino, {}});
        if (!descend(name)) return finish(name);
        while (levels_.size() > 1) {
            auto& level = levels_.back();
            if (level.names.empty()) {
                if (auto ok = ascend(); !ok) return Failure(ok.error());
                continue;
            }
            auto const entry = std::move(level.names.back());
            level.names.pop_back();
            remove_one(entry);
        }
        return finish(name);
    }

  private:
    void note(std::string_view where, int error, std::string const& name) {
        if (!first_) first_ = fail_errno(where, error, path_of(name));
    }
    std::string path_of(std::string const& name) const {
        std::string out = root_;
        for (std::size_t i = 2; i < levels_.size(); ++i) out = join_path(out, levels_[i].name);
        return levels_.size() > 1 ? join_path(out, name) : out;
    }
    Result<std::uint64_t> finish(std::string const& name) {
        if (!first_ && !removed_root_ && ::unlinkat(fd_.get(), name.c_str(), AT_REMOVEDIR) != 0 &&
            errno != ENOENT)
            return fail_errno("rmdir", errno, root_);
        if (first_) return Failure(std::move(*first_));
        return count_ + (removed_root_ ? 0 : 1);
    }
    void remove_one(DirectoryName const& entry) {
        if (entry.type != DT_DIR) {
            if (::unlinkat(fd_.get(), entry.name.c_str(), 0) == 0) {
                ++count_;
                return;
            }
            if (errno == ENOENT) return;
            if (errno != EISDIR && errno != EPERM) return note("unlink", errno, entry.name);
            if (errno == EPERM && entry.type != DT_UNKNOWN) return note("unlink", EPERM, entry.name);
        }
        if (::unlinkat(fd_.get(), entry.name.c_str(), AT_REMOVEDIR) == 0) {
            ++count_;
            return;
        }
        if (errno == ENOENT) return;
        if (errno != ENOTEMPTY && errno != EEXIST) return note("rmdir", errno, entry.name);
        descend(entry.name);
    }
    bool descend(std::string const& name) {
        UniqueFd child(::openat(fd_.get(), name.c_str(), kOpenDirectory));
        struct ::stat stat {};
        if (!child || ::fstat(child.get(), &stat) != 0) {
            note("open", errno, name);
            return false;
        }
        auto names = read_names(child.get());
        if (!names) {
            note("readdir", names.error().sys, name);
            return false;
        }
        levels_.push_back({name, stat.st_dev, stat.st_ino, std::move(*names)});
        fd_ = std::move(child);
        return true;
    }
    Result<void> ascend() {
        UniqueFd parent(::openat(fd_.get(), "..", kOpenDirectory));
        struct ::stat stat {};
        if (!parent || ::fstat(parent.get(), &stat) != 0) return fail_errno("open", errno, path_of(".."));
        std::string const name = levels_.back().name;
        levels_.pop_back();
        if (stat.st_dev != levels_.back().device || stat.st_ino != levels_.back().inode)
            return fail(Code::conflict, "remove",
                        root_ + ": a directory was moved while it was being removed");
        fd_ = std::move(parent);
        if (::unlinkat(fd_.get(), name.c_str(), AT_REMOVEDIR) == 0) {
            ++count_;
            removed_root_ = levels_.size() == 1;
        } else if (errno != ENOENT) {
            note("rmdir", errno, name);
        }
        return {};
    }

    UniqueFd fd_;
    std::string root_;
    std::vector<Level> levels_;
    std::optional<Failure> first_;
    std::uint64_t count_ = 0;
    bool removed_root_ = false;
};

bool is_root(int parent, char const* name) {
    struct ::stat root {};
    struct ::stat stat {};
    return ::stat("/", &root) == 0 && ::fstatat(parent, name, &stat, AT_SYMLINK_NOFOLLOW) == 0 &&
           stat.st_dev == root.st_dev && stat.st_ino == root.st_ino;
}

}  // namespace

Result<Removed> Remove::run() const {
    if (auto ok = check_path(path); !ok) return Failure(ok.error());
    std::string const clean = clean_path(path);
    std::string const name(base_name(clean));
    if (name == "/" || name == "." || name == "..")
        return fail(Code::invalid_argument, "remove", "refusing to remove " + path);
    if (::unlink(clean.c_str()) == 0) return Removed{1};
    int const error = errno;
    if (error == ENOENT && missing_ok) return Removed{0};
    struct ::stat stat {};
    bool const directory = ::lstat(clean.c_str(), &stat) == 0 && S_ISDIR(stat.st_mode);
    if (!directory) return fail_errno("unlink", error, path);
    if (!tree) return fail_errno("unlink", EISDIR, path);
    UniqueFd parent(::open(std::string(parent_of(clean)).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!parent) return fail_errno("open", errno, path);
    if (is_root(parent.get(), name.c_str()))
        return fail(Code::invalid_argument, "remove", "refusing to remove " + path);
    auto count = TreeRemover(std::move(parent), clean).run(name);
    if (!count) return Failure(std::move(count.error()));
    return Removed{*count};
}

}  // namespace execd::fs
