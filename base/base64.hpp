// Base64 (RFC 4648). How much a decoder forgives is its caller's contract, so it is an argument.
//
// Pure. Thread: any.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace execd {

enum class Base64 : std::uint8_t { standard, url };

/// Standard: with padding. Url: without.
[[nodiscard]] std::string base64_encode(std::string_view bytes, Base64 alphabet = Base64::standard);
/// The same at the end of `out`.
void append_base64(std::string& out, std::string_view bytes, Base64 alphabet = Base64::standard);

struct Base64Rules {
    std::optional<Base64> alphabet{};  // none: both, even mixed
    bool spaces = false;               // blanks and line ends between the digits are passed over
    bool spare_bits = true;  // bits left over may be set; not so where two texts would name one thing
};
/// Padding may be there or not. Nothing when there is a foreign character or a digit too many.
[[nodiscard]] std::optional<std::string> base64_decode(std::string_view text, Base64Rules rules = {});

}  // namespace execd
