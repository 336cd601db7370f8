// Which bytes may stand where in HTTP/1.1 (RFC 9110 §5.5, §5.6.2, RFC 3986): one table for all parsers of
// this room.
#pragma once
#include <array>
#include <cstdint>
#include <string_view>

namespace execd::http {

enum ByteClass : std::uint8_t {
    kTokenByte = 1,   // tchar
    kTargetByte = 2,  // request target: visible but '#', and raw bytes above 0x7F, which curl and others send
    kFieldByte = 4,   // field value: visible, space, tab, above 0x7F
    kUnreservedByte = 8,  // RFC 3986 §2.3
    kSubDelimByte = 16,   // RFC 3986 §2.2
    kAttrByte = 32,       // attr-char, RFC 8187 §3.2.1
    kDigitByte = 64,
    kBoundaryByte = 128,  // bchars, RFC 2046 §5.1.1
};

namespace detail {
constexpr bool is_one_of(char c, std::string_view set) { return set.find(c) != std::string_view::npos; }

constexpr std::array<std::uint8_t, 256> make_byte_classes() {
    std::array<std::uint8_t, 256> table{};
    for (unsigned i = 0; i < 256; ++i) {
        char const c = static_cast<char>(i);
        bool const digit = c >= '0' && c <= '9';
        bool const alnum = digit || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        bool const visible = i > 0x20 && i < 0x7F;
        unsigned bits = 0;
        if (alnum || is_one_of(c, "!#$%&'*+-.^_`|~")) bits |= kTokenByte;
        if ((visible && c != '#') || i >= 0x80) bits |= kTargetByte;
        if (visible || c == ' ' || c == '\t' || i >= 0x80) bits |= kFieldByte;
        if (alnum || is_one_of(c, "-._~")) bits |= kUnreservedByte;
        if (is_one_of(c, "!$&'()*+,;=")) bits |= kSubDelimByte;
        if (alnum || is_one_of(c, "!#$&+-.^_`|~")) bits |= kAttrByte;
        if (digit) bits |= kDigitByte;
        if (alnum || is_one_of(c, "'()+_,-./:=? ")) bits |= kBoundaryByte;
        table[i] = static_cast<std::uint8_t>(bits);
    }
    return table;
}
inline constexpr std::array<std::uint8_t, 256> kByteClasses = make_byte_classes();
}  // namespace detail

/// True if the byte is in one of the classes.
[[nodiscard]] constexpr bool is_in(char c, unsigned classes) noexcept {
    return (detail::kByteClasses[static_cast<unsigned char>(c)] & classes) != 0;
}
[[nodiscard]] constexpr bool all_in(std::string_view text, unsigned classes) noexcept {
    for (char const c : text)
        if (!is_in(c, classes)) return false;
    return true;
}
[[nodiscard]] constexpr int hex_value(char c) noexcept {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

}  // namespace execd::http
