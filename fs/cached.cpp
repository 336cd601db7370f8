#include "fs/cached.hpp"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

#include "base/fault.hpp"

namespace execd::fs {

namespace {

#ifndef RESOLVE_CACHED
constexpr std::uint64_t kResolveCached = 0x20;  // Linux 5.12
#else
constexpr std::uint64_t kResolveCached = RESOLVE_CACHED;
#endif

constexpr long kXfs = 0x58465342;
constexpr long kBtrfs = 0x9123683E;

std::atomic<bool> refused{false};  // by an older kernel, or a seccomp filter

UniqueFd open_in_cache(std::string const& path, int flags) {
    if (refused.load(std::memory_order_relaxed)) {
        errno = EAGAIN;
        return UniqueFd();
    }
    if (int const e = fault::hit("open")) {
        errno = e;
        return UniqueFd();
    }
    struct ::open_how how {};
    how.flags = static_cast<std::uint64_t>(flags | O_CLOEXEC);
    how.resolve = kResolveCached;
    long const fd = ::syscall(SYS_openat2, AT_FDCWD, path.c_str(), &how, sizeof how);
    if (fd < 0 && (errno == ENOSYS || errno == EPERM || errno == EINVAL)) {
        refused.store(true, std::memory_order_relaxed);
        errno = EAGAIN;
    }
    return UniqueFd(static_cast<int>(fd));
}

long type_of(int fd) {
    struct ::statfs stat {};
    return ::fstatfs(fd, &stat) == 0 ? static_cast<long>(stat.f_type) : 0;
}

}  // namespace

UniqueFd peek(std::string const& path, int extra_flags) { return open_in_cache(path, O_PATH | extra_flags); }

bool cached_walks() {
    static_cast<void>(peek("/"));
    return !refused.load(std::memory_order_relaxed);
}

UniqueFd open_cached(std::string const& path) {
    return open_in_cache(path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
}

Storage storage_of(int fd) {
    switch (type_of(fd)) {
        case TMPFS_MAGIC:
        case RAMFS_MAGIC: return Storage::memory;
        case EXT4_SUPER_MAGIC:
        case OVERLAYFS_SUPER_MAGIC:
        case kXfs:
        case kBtrfs: return Storage::local;
        default: return Storage::may_wait;
    }
}

std::int64_t read_cached(int fd, std::span<char> out, std::int64_t offset) {
    struct ::iovec part {
        out.data(), out.size()
    };
    if (fault::hit("read.cached") != 0) {
        errno = EAGAIN;
        return -1;
    }
    ssize_t const n = ::preadv2(fd, &part, 1, offset, RWF_NOWAIT);
    if (n >= 0) return n;
    // tmpfs does not know the flag and does not need it.
    if (errno == EOPNOTSUPP && in_memory(fd)) return ::pread(fd, out.data(), out.size(), offset);
    errno = EAGAIN;
    return -1;
}

}  // namespace execd::fs
