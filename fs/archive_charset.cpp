// The iconv of this program, all of it. libarchive would convert the names of pax headers from UTF-8 to the
// locale's charset, which is ASCII here, with the system's iconv, which a static glibc loads as a plugin.
// Nobody else in the program converts by iconv (fs/text.cpp has its own tables), so that the three functions
// that libarchive asks for are defined here and hand every byte through; --wrap would not do, because it does
// not reach into the shared libarchive of development builds. docs/third-party.md says it where libarchive
// stands.
#include "fs/archive_charset.hpp"

#include <iconv.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

extern "C" {
iconv_t iconv_open(char const*, char const*) {
    static char one;
    return &one;
}
std::size_t iconv(iconv_t, char** in, std::size_t* in_left, char** out, std::size_t* out_left) {
    if (in == nullptr || *in == nullptr) return 0;
    std::size_t const n = std::min(*in_left, *out_left);
    std::memcpy(*out, *in, n);
    *in += n;
    *in_left -= n;
    *out += n;
    *out_left -= n;
    if (*in_left == 0) return 0;
    errno = E2BIG;
    return static_cast<std::size_t>(-1);
}
int iconv_close(iconv_t) { return 0; }
}

namespace execd::fs {
void keep_archive_names_as_bytes() {}
}  // namespace execd::fs
