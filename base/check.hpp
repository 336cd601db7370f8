// Three kinds of check (STYLE: chosen on purpose): REQUIRE is fatal always, ASSERT is fatal in debug builds,
// everything that input, network, kernel or disk can cause is an Error instead.
#pragma once

namespace execd::detail {
[[noreturn]] void check_failed(char const* what, char const* file, int line) noexcept;
}

#define EXECD_REQUIRE(cond) \
    (static_cast<bool>(cond) ? void() : ::execd::detail::check_failed(#cond, __FILE__, __LINE__))
#ifdef EXECD_DEBUG
#define EXECD_ASSERT(cond) EXECD_REQUIRE(cond)
#else
#define EXECD_ASSERT(cond) static_cast<void>(0)
#endif
