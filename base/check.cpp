#include "base/check.hpp"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>

namespace execd::detail {

void check_failed(char const* what, char const* file, int line) noexcept {
    char text[512];
    int const n = std::snprintf(text, sizeof text, "execd: check failed: %s (%s:%d)\n", what, file, line);
    if (n > 0) [[maybe_unused]]
        auto ignored = ::write(2, text, static_cast<size_t>(n));
    std::abort();
}

}  // namespace execd::detail
