// Terminal escapes taken out of a text: tracebacks come with colours, and many clients print them as they
// are. Pure.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace execd {

/// Without CSI sequences (colours, cursor) and OSC ones (titles, links); other bytes stay.
[[nodiscard]] std::string without_escapes(std::string_view text);

/// The lines of a text without their ends; a last one without an end counts.
[[nodiscard]] std::vector<std::string> lines_of(std::string_view text);

}  // namespace execd
