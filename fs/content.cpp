#include "fs/content.hpp"

#include <poll.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

#include "base/fault.hpp"
#include "fs/progress.hpp"

namespace execd::fs {

namespace {

constexpr std::size_t kChunk = 256 * 1024;

Result<void> wait_writable(int fd, int patience_ms) {
    struct ::pollfd poll {
        fd, POLLOUT, 0
    };
    int const rc = ::poll(&poll, 1, patience_ms);
    if (rc == 0) return fail_errno("write", ETIMEDOUT);
    if (rc < 0 && errno != EINTR) return fail_errno("write", errno);
    return {};
}

template <class Write>
Result<void> write_loop(int fd, std::span<char const> bytes, int patience_ms, Write write) {
    while (!bytes.empty()) {
        errno = fault::hit("write");
        ssize_t const n = errno == 0 ? write(bytes.first(std::min(bytes.size(), kStep))) : -1;
        if (n > 0) {
            count_step();
            bytes = bytes.subspan(static_cast<std::size_t>(n));
        } else if (n < 0 && errno == EAGAIN) {
            if (auto ok = wait_writable(fd, patience_ms); !ok) return ok;
        } else if (n == 0 || errno != EINTR) {
            return fail_errno("write", n == 0 ? EIO : errno);
        }
    }
    return {};
}

}  // namespace

Result<void> write_all(int fd, std::span<char const> bytes, std::int64_t offset, int patience_ms) {
    return write_loop(fd, bytes, patience_ms, [fd, &offset](std::span<char const> rest) {
        ssize_t const n = ::pwrite(fd, rest.data(), rest.size(), offset);
        if (n > 0) offset += n;
        return n;
    });
}

Result<void> write_stream(int fd, std::span<char const> bytes, int patience_ms) {
    return write_loop(fd, bytes, patience_ms,
                      [fd](std::span<char const> rest) { return ::write(fd, rest.data(), rest.size()); });
}

Result<std::size_t> read_at(int fd, std::span<char> out, std::int64_t offset) {
    std::size_t done = 0;
    while (done < out.size()) {
        errno = fault::hit("read");
        ssize_t const n = errno == 0 ? ::pread(fd, out.data() + done, std::min(out.size() - done, kStep),
                                               offset + static_cast<std::int64_t>(done))
                                     : -1;
        if (n < 0 && errno == EINTR) continue;
        // A file that has something to say only later (/proc/kmsg): no limit of ours was reached.
        if (n < 0 && errno == EAGAIN && done > 0) break;
        if (n < 0 && errno == EAGAIN)
            return fail(Code::unavailable, "read", "there is nothing to read now, only later");
        if (n < 0) return fail_errno("read", errno);
        if (n == 0) break;
        count_step();
        done += static_cast<std::size_t>(n);
    }
    return done;
}

Result<std::string> read_all(int fd, std::uint64_t limit) {
    struct ::stat stat {};
    if (::fstat(fd, &stat) != 0) return fail_errno("stat", errno);
    auto const size = static_cast<std::uint64_t>(stat.st_size);
    if (size > limit) return fail(Code::too_large, "read", "file of " + std::to_string(size) + " bytes");
    std::string out;
    std::size_t have = 0;
    for (;;) {
        // One byte more than expected sees the end without another turn.
        std::size_t const want = have < size ? size + 1 : have + kChunk;
        out.resize(want);
        auto const n =
            read_at(fd, std::span(out.data() + have, want - have), static_cast<std::int64_t>(have));
        if (!n) return Failure(n.error());
        have += *n;
        if (have > limit)
            return fail(Code::too_large, "read", "file of more than " + std::to_string(limit) + " bytes");
        if (have < want) break;
    }
    out.resize(have);
    return out;
}

Result<std::uint64_t> copy_content(int from, int to) {
    off64_t in = 0;
    off64_t out = 0;
    for (;;) {
        ssize_t const n = ::copy_file_range(from, &in, to, &out, 64 * 1024 * 1024, 0);
        if (n > 0) continue;
        if (n == 0 && in > 0) return static_cast<std::uint64_t>(in);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && (errno == ENOSPC || errno == EDQUOT || errno == EFBIG))
            return fail_errno("write", errno);
        break;  // not between these two; and /proc claims to be empty: read it
    }
    auto const buffer = std::make_unique_for_overwrite<char[]>(kChunk);
    for (;;) {
        auto const n = read_at(from, std::span(buffer.get(), kChunk), in);
        if (!n) return Failure(n.error());
        if (*n == 0) return static_cast<std::uint64_t>(in);
        if (auto ok = write_all(to, std::span(buffer.get(), *n), in); !ok) return Failure(ok.error());
        in += static_cast<off64_t>(*n);
    }
}

void copy_xattrs(int from, int to) {
    ssize_t const size = ::flistxattr(from, nullptr, 0);
    if (size <= 0) return;
    std::string names(static_cast<std::size_t>(size), '\0');
    ssize_t const got = ::flistxattr(from, names.data(), names.size());
    if (got <= 0) return;
    names.resize(static_cast<std::size_t>(got));
    std::string value;
    for (std::size_t at = 0; at < names.size(); at += std::strlen(&names[at]) + 1) {
        char const* const name = &names[at];
        if (std::strcmp(name, "security.capability") == 0) continue;  // belongs to the old content
        ssize_t const length = ::fgetxattr(from, name, nullptr, 0);
        if (length < 0) continue;
        value.resize(static_cast<std::size_t>(length));
        ssize_t const n = ::fgetxattr(from, name, value.data(), value.size());
        if (n >= 0) static_cast<void>(::fsetxattr(to, name, value.data(), static_cast<std::size_t>(n), 0));
    }
}

}  // namespace execd::fs
