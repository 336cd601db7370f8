#include "fs/entry.hpp"

#include <fcntl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>

#include "base/accounts.hpp"
#include "fs/path.hpp"

namespace execd::fs {

std::string_view to_string(Kind kind) {
    switch (kind) {
        case Kind::file: return "file";
        case Kind::directory: return "directory";
        case Kind::symlink: return "symlink";
        case Kind::other: return "other";
    }
    return "other";
}

std::string Entry::permissions() const {
    std::string out = "?---------";
    if (kind == Kind::file) out[0] = '-';
    if (kind == Kind::directory) out[0] = 'd';
    if (kind == Kind::symlink) out[0] = 'l';
    for (unsigned i = 0; i < 9; ++i)
        if ((mode & (0400U >> i)) != 0) out[i + 1] = "rwx"[i % 3];
    if ((mode & 04000U) != 0) out[3] = (mode & 0100U) != 0 ? 's' : 'S';
    if ((mode & 02000U) != 0) out[6] = (mode & 0010U) != 0 ? 's' : 'S';
    if ((mode & 01000U) != 0) out[9] = (mode & 0001U) != 0 ? 't' : 'T';
    return out;
}

OwnerNames::OwnerNames() : table_(accounts()) {}

std::string const& OwnerNames::user(std::uint32_t uid) {
    if (last_uid_ != uid) {
        auto const* found = table_->user(static_cast<uid_t>(uid));
        user_ = found != nullptr ? found->name : std::to_string(uid);
        last_uid_ = uid;
    }
    return user_;
}

std::string const& OwnerNames::group(std::uint32_t gid) {
    if (last_gid_ != gid) {
        auto const* found = table_->group(static_cast<gid_t>(gid));
        group_ = found != nullptr ? found->name : std::to_string(gid);
        last_gid_ = gid;
    }
    return group_;
}

unsigned statx_mask() { return STATX_BASIC_STATS; }

void fill_entry(Entry& entry, struct ::statx const& stat, OwnerNames& names) {
    auto const ns = [](struct statx_timestamp const& t) {
        return static_cast<std::int64_t>(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
    };
    entry.kind = Kind::other;
    if (S_ISREG(stat.stx_mode)) entry.kind = Kind::file;
    if (S_ISDIR(stat.stx_mode)) entry.kind = Kind::directory;
    if (S_ISLNK(stat.stx_mode)) entry.kind = Kind::symlink;
    entry.size = stat.stx_size;
    entry.mtime_ns = ns(stat.stx_mtime);
    entry.ctime_ns = ns(stat.stx_ctime);
    entry.atime_ns = ns(stat.stx_atime);
    entry.mode = stat.stx_mode & 07777U;
    entry.uid = stat.stx_uid;
    entry.gid = stat.stx_gid;
    entry.inode = stat.stx_ino;
    entry.device = makedev(stat.stx_dev_major, stat.stx_dev_minor);
    entry.links = stat.stx_nlink;
    entry.owner = names.user(stat.stx_uid);
    entry.group = names.group(stat.stx_gid);
}

Result<Entry> entry_at(int dirfd, char const* name, int flags, OwnerNames& names) {
    struct ::statx stat {};
    if (::statx(dirfd, name, flags | AT_NO_AUTOMOUNT, statx_mask(), &stat) != 0)
        return fail_errno((flags & AT_SYMLINK_NOFOLLOW) != 0 ? "lstat" : "stat", errno, name);
    Entry entry;
    fill_entry(entry, stat, names);
    return entry;
}

Result<Entry> Stat::run() const {
    if (auto ok = check_path(path); !ok) return Failure(ok.error());
    OwnerNames names;
    auto entry = entry_at(AT_FDCWD, path.c_str(), follow ? 0 : AT_SYMLINK_NOFOLLOW, names);
    if (!entry) return entry;
    entry->path = path;
    entry->name = base_name(path);
    if (read_link && entry->kind == Kind::symlink) {
        std::string target(4096, '\0');
        auto const n = ::readlink(path.c_str(), target.data(), target.size());
        if (n >= 0) {
            target.resize(static_cast<std::size_t>(n));
            entry->target = std::move(target);
        }
    }
    return entry;
}

}  // namespace execd::fs
