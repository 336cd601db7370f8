// Writing JSON text. append_json_string is on the hot path of every event stream.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "execd/http/wire/types.hpp"

namespace execd::wire {

/// What is escaped beyond JSON's own needs; combine with |.
enum class Escape : std::uint8_t {
    minimal = 0,
    html = 1,  // < > & as Go does
    line_separators =
        2,  // U+0085 U+2028 U+2029: httpx splits lines at them (contracts/opensandbox.md section 0, 14)
    non_ascii = 4,  // everything above U+007F
};
[[nodiscard]] constexpr Escape operator|(Escape a, Escape b) {
    return static_cast<Escape>(static_cast<std::uint8_t>(a) | static_cast<std::uint8_t>(b));
}
[[nodiscard]] constexpr bool has(Escape set, Escape one) {
    return (static_cast<std::uint8_t>(set) & static_cast<std::uint8_t>(one)) != 0;
}

/// Appends `text` as a JSON string with its quotes. Any bytes are allowed: what is not UTF-8 becomes U+FFFD,
/// one for each maximal broken subpart.
void append_json_string(std::string& out, std::string_view text, Escape = Escape::minimal);
/// The same without the quotes, for a string that is written in pieces (each piece whole characters).
void append_json_escaped(std::string& out, std::string_view text, Escape = Escape::minimal);

void append_json_int(std::string& out, std::int64_t);
void append_json_uint(std::string& out, std::uint64_t);
/// The shortest text that reads back as the same double; NaN and infinities are null. With `fraction` a whole
/// number gets ".0", as Python writes it.
void append_json_double(std::string& out, double, bool fraction = false);
/// The same for a float: 0.1F is "0.1" and not "0.10000000149011612".
void append_json_float(std::string& out, float, bool fraction = false);
/// A tree as text. Deeper than 2 * kMaxJsonDepth (which parse_json never makes) is a defect of the caller:
/// EXECD_REQUIRE.
void append_json(std::string& out, Json const&, Escape = Escape::minimal);
/// A tree as valid JSON of about `limit` bytes: long strings are cut, members beyond the limit left out.
void append_json_bounded(std::string& out, Json const&, std::size_t limit);

}  // namespace execd::wire
