#include "base/base64.hpp"

#include <array>

namespace execd {

namespace {

constexpr std::string_view kStandard = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::string_view kUrl = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr std::int8_t kForeign = -1;
constexpr std::int8_t kSpace = -2;

using Values = std::array<std::int8_t, 256>;

constexpr Values values_of(bool standard, bool url) {
    Values out{};
    out.fill(kForeign);
    for (std::size_t i = 0; i < 64; ++i) {
        if (standard) out[static_cast<unsigned char>(kStandard[i])] = static_cast<std::int8_t>(i);
        if (url) out[static_cast<unsigned char>(kUrl[i])] = static_cast<std::int8_t>(i);
    }
    for (char const c : {' ', '\t', '\r', '\n'}) out[static_cast<unsigned char>(c)] = kSpace;
    return out;
}

constexpr Values kStandardValues = values_of(true, false);
constexpr Values kUrlValues = values_of(false, true);
constexpr Values kBothValues = values_of(true, true);

Values const& values_for(std::optional<Base64> alphabet) {
    if (!alphabet) return kBothValues;
    return *alphabet == Base64::url ? kUrlValues : kStandardValues;
}

}  // namespace

void append_base64(std::string& out, std::string_view bytes, Base64 alphabet) {
    auto const letters = alphabet == Base64::url ? kUrl : kStandard;
    auto const at = [bytes](std::size_t i) {
        return static_cast<std::uint32_t>(static_cast<unsigned char>(bytes[i]));
    };
    out.reserve(out.size() + (bytes.size() + 2) / 3 * 4);
    std::size_t i = 0;
    for (; i + 3 <= bytes.size(); i += 3) {
        std::uint32_t const v = at(i) << 16 | at(i + 1) << 8 | at(i + 2);
        char const four[] = {letters[v >> 18], letters[v >> 12 & 63], letters[v >> 6 & 63], letters[v & 63]};
        out.append(four, 4);
    }
    std::size_t const left = bytes.size() - i;
    if (left == 0) return;
    std::uint32_t const v = at(i) << 16 | (left == 2 ? at(i + 1) << 8 : 0);
    out += letters[v >> 18];
    out += letters[v >> 12 & 63];
    if (left == 2) out += letters[v >> 6 & 63];
    if (alphabet == Base64::standard) out.append(3 - left, '=');
}

std::string base64_encode(std::string_view bytes, Base64 alphabet) {
    std::string out;
    append_base64(out, bytes, alphabet);
    return out;
}

std::optional<std::string> base64_decode(std::string_view text, Base64Rules rules) {
    auto const& values = values_for(rules.alphabet);
    std::string out;
    out.reserve(text.size() / 4 * 3 + 2);
    std::uint32_t bits = 0;
    unsigned have = 0;
    std::size_t digits = 0;
    std::size_t padding = 0;
    for (char const c : text) {
        std::int8_t const v = values[static_cast<unsigned char>(c)];
        if (v == kSpace && rules.spaces) continue;
        if (c == '=') {
            ++padding;
            continue;
        }
        if (v < 0 || padding > 0) return std::nullopt;
        ++digits;
        bits = bits << 6 | static_cast<std::uint32_t>(v);
        have += 6;
        if (have >= 8) {
            have -= 8;
            out += static_cast<char>(bits >> have & 0xFF);
        }
    }
    if (digits % 4 == 1 || (padding > 0 && (padding > 2 || (digits + padding) % 4 != 0))) return std::nullopt;
    if (!rules.spare_bits && (bits & ((1U << have) - 1)) != 0) return std::nullopt;
    return out;
}

}  // namespace execd
