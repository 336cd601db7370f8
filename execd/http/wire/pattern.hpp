// Regular expressions of notes, compiled once per note and kept for the life of the process: PCRE2 with a
// bound on its effort.
#pragma once
#include <string_view>

namespace execd::wire {

/// Whether `pattern` (a string literal: the address is the cache's key) is found in `text`. A text that
/// is too hard for the bound does not match. A pattern that does not compile is a defect of ours:
/// EXECD_REQUIRE. Any thread.
[[nodiscard]] bool matches(char const* pattern, std::string_view text);

}  // namespace execd::wire
