// getdents64(2) into a caller's buffer: no allocation per name, for walks that look at many and keep few.
#pragma once
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>

namespace execd::fs {

inline constexpr std::size_t kDirentBuffer = 64 * 1024;

/// Calls visit(char const* name, unsigned char d_type) for every name but "." and ".."; 0 or an errno.
template <class Visit>
int for_each_name(int dirfd, char* buffer, Visit visit) {
    // The record of the kernel: inode 8 bytes, offset 8, length 2, type 1, name.
    constexpr std::size_t kLengthAt = 16;
    constexpr std::size_t kTypeAt = 18;
    constexpr std::size_t kNameAt = 19;
    for (;;) {
        long const n = ::syscall(SYS_getdents64, dirfd, buffer, kDirentBuffer);
        if (n < 0) return errno;
        if (n == 0) return 0;
        for (long at = 0; at < n;) {
            char const* const record = buffer + at;
            std::uint16_t length = 0;
            std::memcpy(&length, record + kLengthAt, sizeof length);
            char const* const name = record + kNameAt;
            bool const dots = name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
            if (!dots) visit(name, static_cast<unsigned char>(record[kTypeAt]));
            at += length;
        }
    }
}

}  // namespace execd::fs
