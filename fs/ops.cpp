#include "fs/ops.hpp"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>

#include "base/accounts.hpp"
#include "base/fault.hpp"
#include "base/unique_fd.hpp"
#include "fs/path.hpp"

namespace execd::fs {

namespace {

std::optional<std::uint32_t> number(std::string_view text) {
    std::uint32_t value = 0;
    auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || value == UINT32_MAX) return std::nullopt;
    return value;
}

Result<void> set_owner(std::string const& path, Ownership const& owner, bool follow) {
    if (owner.empty()) return {};
    auto const ids = resolve(owner);
    if (!ids) return Failure(ids.error());
    if (::fchownat(AT_FDCWD, path.c_str(), ids->uid, ids->gid, follow ? 0 : AT_SYMLINK_NOFOLLOW) != 0)
        return fail_errno("chown", errno, path);
    return {};
}

/// 0: made, otherwise the errno.
int make_one(std::string const& path, std::uint32_t mode) {
    return ::mkdir(path.c_str(), mode) == 0 ? 0 : errno;
}

bool is_directory(std::string const& path) {
    struct ::stat stat {};
    return ::stat(path.c_str(), &stat) == 0 && S_ISDIR(stat.st_mode);
}

Result<void> make_ancestors(std::string const& path) {
    // Upwards to the first that exists, then down again: mostly one call.
    std::vector<std::string> missing;
    std::string at(parent_of(path));
    for (;;) {
        int const error = make_one(at, 0777);
        if (error == 0 || (error == EEXIST && is_directory(at))) break;
        if (error == EEXIST) return fail_errno("mkdir", ENOTDIR, at);
        if (error == EROFS && is_directory(at)) break;
        if (error != ENOENT || at == "/" || at == ".") return fail_errno("mkdir", error, at);
        missing.push_back(at);
        at = parent_of(at);
    }
    for (auto i = missing.rbegin(); i != missing.rend(); ++i) {
        int const error = make_one(*i, 0777);
        if (error != 0 && !(error == EEXIST && is_directory(*i))) return fail_errno("mkdir", error, *i);
    }
    return {};
}

}  // namespace

Result<OwnerIds> resolve(Ownership const& who) {
    OwnerIds ids;
    if (who.empty()) return ids;
    auto const table = accounts();
    if (!who.owner.empty()) {
        auto const* user = table->user(std::string_view(who.owner));
        auto const id = who.names_only ? std::nullopt : number(who.owner);
        if (user == nullptr && !id) return fail(Code::invalid_argument, "owner", "unknown user " + who.owner);
        ids.uid = user != nullptr ? user->uid : *id;
    }
    if (!who.group.empty()) {
        auto const* group = table->group(std::string_view(who.group));
        auto const id = who.names_only ? std::nullopt : number(who.group);
        if (group == nullptr && !id)
            return fail(Code::invalid_argument, "group", "unknown group " + who.group);
        ids.gid = group != nullptr ? group->gid : *id;
    }
    return ids;
}

Result<void> make_parent(std::string const& path) {
    std::string const parent(parent_of(path));
    struct ::stat stat {};
    if (::stat(parent.c_str(), &stat) == 0) {
        if (S_ISDIR(stat.st_mode)) return {};
        return fail_errno("mkdir", ENOTDIR, parent);
    }
    if (errno != ENOENT) return fail_errno("mkdir", errno, parent);
    return make_ancestors(path);
}

Result<Made> MakeDirectory::run() const {
    if (auto ok = check_path(path); !ok) return Failure(ok.error());
    std::string const clean = clean_path(path);
    int error = make_one(clean, create_mode);
    if (error == ENOENT && parents) {
        if (auto ok = make_ancestors(clean); !ok) return Failure(ok.error());
        error = make_one(clean, create_mode);
    }
    if (error == EEXIST || (error == EROFS && is_directory(clean))) {
        if (!is_directory(clean)) return fail_errno("mkdir", ENOTDIR, path);
        if (!exist_ok) return fail_errno("mkdir", EEXIST, path);
        return Made{false};
    }
    if (error != 0) return fail_errno("mkdir", error, path);
    if (mode && ::chmod(clean.c_str(), *mode & 07777U) != 0) return fail_errno("chmod", errno, path);
    if (auto ok = set_owner(clean, owner, false); !ok) return Failure(ok.error());
    return Made{true};
}

Result<Done> Move::run() const {
    if (auto ok = check_path(source); !ok) return Failure(ok.error());
    if (auto ok = check_path(destination); !ok) return Failure(ok.error());
    struct ::stat stat {};
    if (::lstat(source.c_str(), &stat) != 0) return fail_errno("stat", errno, source);
    if (make_parents)
        if (auto ok = make_parent(destination); !ok) return Failure(ok.error());
    int rc = ::renameat2(AT_FDCWD, source.c_str(), AT_FDCWD, destination.c_str(),
                         overwrite ? 0 : RENAME_NOREPLACE);
    if (rc != 0 && errno == EINVAL && !overwrite) {
        // Some file systems do not know RENAME_NOREPLACE (and a directory into itself says the same: rename
        // repeats it).
        struct ::stat there {};
        if (::lstat(destination.c_str(), &there) == 0) return fail_errno("rename", EEXIST, destination);
        rc = ::rename(source.c_str(), destination.c_str());
    }
    if (rc == 0) return Done{};
    if (errno == EEXIST || errno == ENOTEMPTY) return fail_errno("rename", errno, destination);
    if (errno != EXDEV) return fail_errno("rename", errno, source);
    Copy copy{source, destination, true, overwrite};
    copy.make_parents = false;
    if (auto ok = copy.run(); !ok) return ok;
    if (auto ok = Remove{source, true, true}.run(); !ok) return Failure(ok.error());
    return Done{};
}

Result<Done> SetPermissions::run() const {
    if (auto ok = check_path(path); !ok) return Failure(ok.error());
    bool link = false;
    if (!follow) {
        struct ::stat stat {};
        if (::lstat(path.c_str(), &stat) != 0) return fail_errno("lstat", errno, path);
        link = S_ISLNK(stat.st_mode);
    }
    if (mode && link) return fail(Code::not_supported, "chmod", path + ": a link has no mode of its own");
    if (mode && ::chmod(path.c_str(), *mode & 07777U) != 0) return fail_errno("chmod", errno, path);
    if (auto ok = set_owner(path, owner, follow); !ok) return Failure(ok.error());
    // chown drops setuid and setgid.
    if (mode && (*mode & 06000U) != 0 && !owner.empty() && ::chmod(path.c_str(), *mode & 07777U) != 0)
        return fail_errno("chmod", errno, path);
    return Done{};
}

Result<Done> Symlink::run() const {
    if (auto ok = check_path(path); !ok) return Failure(ok.error());
    if (auto ok = check_path(target); !ok) return Failure(ok.error());
    if (::symlink(target.c_str(), path.c_str()) != 0) return fail_errno("symlink", errno, path);
    return Done{};
}

Result<Done> Touch::run() const {
    if (auto ok = check_path(path); !ok) return Failure(ok.error());
    struct ::timespec times[2] = {{0, UTIME_NOW}, {0, UTIME_NOW}};
    if (mtime_ns) {
        auto seconds = *mtime_ns / 1'000'000'000;
        auto rest = *mtime_ns % 1'000'000'000;
        if (rest < 0) {
            rest += 1'000'000'000;
            --seconds;
        }
        times[0] = times[1] = {static_cast<time_t>(seconds), static_cast<long>(rest)};
    }
    if (::utimensat(AT_FDCWD, path.c_str(), times, 0) == 0) return Done{};
    if (errno != ENOENT || !create) return fail_errno("utimensat", errno, path);
    if (make_parents)
        if (auto ok = make_parent(path); !ok) return Failure(ok.error());
    if (int const e = fault::hit("open")) return fail_errno("open", e, path);
    UniqueFd const fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0666));
    if (!fd) return fail_errno("open", errno, path);
    if (mtime_ns && ::futimens(fd.get(), times) != 0) return fail_errno("utimensat", errno, path);
    return Done{};
}

Result<Space> DiskSpace::run() const {
    if (auto ok = check_path(path); !ok) return Failure(ok.error());
    struct ::statfs stat {};
    if (::statfs(path.c_str(), &stat) != 0) return fail_errno("statfs", errno, path);
    auto const block = static_cast<std::uint64_t>(stat.f_frsize != 0 ? stat.f_frsize : stat.f_bsize);
    Space out;
    out.total = stat.f_blocks * block;
    out.free = (::geteuid() == 0 ? stat.f_bfree : stat.f_bavail) * block;
    out.inodes = stat.f_files;
    out.inodes_free = stat.f_ffree;
    out.read_only = (static_cast<unsigned long>(stat.f_flags) & ST_RDONLY) != 0;
    out.in_memory = stat.f_type == TMPFS_MAGIC || stat.f_type == RAMFS_MAGIC;
    return out;
}

}  // namespace execd::fs
