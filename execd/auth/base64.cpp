#include "execd/auth/base64.hpp"

#include <cstdint>

namespace execd::auth {

namespace {

constexpr std::string_view kStandard = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::string_view kUrl = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

std::string_view letters(Alphabet alphabet) { return alphabet == Alphabet::url ? kUrl : kStandard; }

}  // namespace

std::optional<std::string> base64_decode(std::string_view text, Alphabet alphabet) {
    if (text.ends_with('=')) {
        if (text.size() % 4 != 0) return std::nullopt;
        text.remove_suffix(text.ends_with("==") ? 2 : 1);
    }
    if (text.size() % 4 == 1) return std::nullopt;
    std::string out;
    out.reserve(text.size() * 3 / 4);
    std::uint32_t bits = 0;
    unsigned have = 0;
    for (char const c : text) {
        auto const value = letters(alphabet).find(c);
        if (value == std::string_view::npos) return std::nullopt;
        bits = (bits << 6) | static_cast<std::uint32_t>(value);
        have += 6;
        if (have >= 8) {
            have -= 8;
            out += static_cast<char>((bits >> have) & 0xFF);
        }
    }
    // Two texts for the same bytes would make two names of one token.
    if ((bits & ((1U << have) - 1)) != 0) return std::nullopt;
    return out;
}

std::string base64_encode(std::string_view bytes, Alphabet alphabet) {
    std::string out;
    out.reserve((bytes.size() * 4 + 2) / 3);
    std::uint32_t bits = 0;
    unsigned have = 0;
    for (char const c : bytes) {
        bits = (bits << 8) | static_cast<unsigned char>(c);
        have += 8;
        while (have >= 6) {
            have -= 6;
            out += letters(alphabet)[(bits >> have) & 63];
        }
    }
    if (have > 0) out += letters(alphabet)[(bits << (6 - have)) & 63];
    return out;
}

}  // namespace execd::auth
