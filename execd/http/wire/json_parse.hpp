// JSON text -> tree, for everything that comes from outside. Depth, bytes and number of values are limited
// while parsing, the stack does not grow with the depth, and nothing is thrown. Pure.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "execd/http/wire/types.hpp"

namespace execd::wire {

inline constexpr std::size_t kMaxJsonDepth = 128;  // nlohmann's dump and destructor recurse

enum class Trailing : std::uint8_t {
    reject,
    ignore
};  // Go reads the first value of a body and leaves the rest
enum class BadText : std::uint8_t { reject, replace };  // broken UTF-8 and lone surrogates; U+FFFD

struct ParsePolicy {
    std::size_t max_depth = kMaxJsonDepth;
    std::size_t max_bytes = std::size_t{64} << 20;
    std::size_t max_values = 2'000'000;  // a value of 2 bytes of text costs 16 and more of memory
    Trailing trailing = Trailing::reject;
    BadText bad_text = BadText::replace;
};

struct JsonError {
    enum class Code : std::uint8_t {
        empty,
        unexpected_end,
        expected_value,
        expected_key,
        expected_colon,
        expected_comma,
        unterminated_string,
        control_character,
        bad_escape,
        bad_unicode_escape,
        bad_utf8,
        bad_number,
        number_range,
        trailing_data,
        too_deep,
        too_large,
    } code = Code::empty;
    std::size_t offset = 0;    // byte where it was noticed
    std::size_t position = 0;  // the same in code points, as Python counts
    std::size_t line = 1, column = 1;
    char found = 0;  // the byte at `offset`, 0 at the end

    /// Python's json words ("Expecting value"); too_deep and too_large have ours.
    [[nodiscard]] std::string_view message() const;
};

[[nodiscard]] tl::expected<Json, JsonError> parse_json(std::string_view text, ParsePolicy const& = {});

}  // namespace execd::wire
