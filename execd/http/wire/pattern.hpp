// Regular expressions of notes, compiled once per note and kept for the life of the process. Linear time
// (RE2).
#pragma once
#include <string_view>

namespace execd::wire {

/// Whether `pattern` (a string literal: the address is the cache's key) is found in `text`. A pattern that
/// does not compile is a defect of ours: EXECD_REQUIRE. Any thread.
[[nodiscard]] bool matches(char const* pattern, std::string_view text);

}  // namespace execd::wire
