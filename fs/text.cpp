#include "fs/text.hpp"

#include <array>
#include <cstring>
#include <memory>

#include "base/base64.hpp"
#include "base/digest.hpp"
#include "base/utf8.hpp"
#include "fs/content.hpp"

namespace execd::fs {

namespace {

constexpr std::string_view kBom8 = "\xEF\xBB\xBF";
constexpr std::string_view kBomLe = "\xFF\xFE";
constexpr std::string_view kBomBe = "\xFE\xFF";

void append_utf8(std::string& out, std::uint32_t c) {
    if (c < 0x80) {
        out += static_cast<char>(c);
    } else if (c < 0x800) {
        out += static_cast<char>(0xC0U | (c >> 6U));
        out += static_cast<char>(0x80U | (c & 0x3FU));
    } else if (c < 0x10000) {
        out += static_cast<char>(0xE0U | (c >> 12U));
        out += static_cast<char>(0x80U | ((c >> 6U) & 0x3FU));
        out += static_cast<char>(0x80U | (c & 0x3FU));
    } else {
        out += static_cast<char>(0xF0U | (c >> 18U));
        out += static_cast<char>(0x80U | ((c >> 12U) & 0x3FU));
        out += static_cast<char>(0x80U | ((c >> 6U) & 0x3FU));
        out += static_cast<char>(0x80U | (c & 0x3FU));
    }
}

/// The next character of valid UTF-8.
std::uint32_t take_utf8(std::string_view& text) {
    auto const byte = [&](std::size_t i) {
        return static_cast<std::uint32_t>(static_cast<unsigned char>(text[i]));
    };
    std::uint32_t c = byte(0);
    std::size_t const more = c < 0x80 ? 0 : c < 0xE0 ? 1 : c < 0xF0 ? 2 : 3;
    if (more > 0) c &= 0x3FU >> more;
    for (std::size_t i = 1; i <= more; ++i) c = (c << 6U) | (byte(i) & 0x3FU);
    text.remove_prefix(more + 1);
    return c;
}

Failure bad(std::string detail) { return fail(Code::decode, "text", std::move(detail)); }

Result<std::string> decode_utf16(std::string_view bytes, bool big) {
    if (bytes.size() % 2 != 0) return bad("UTF-16 with half a unit at the end");
    auto const unit = [&](std::size_t i) {
        std::uint32_t const a = static_cast<unsigned char>(bytes[i]);
        std::uint32_t const b = static_cast<unsigned char>(bytes[i + 1]);
        return big ? (a << 8U | b) : (b << 8U | a);
    };
    std::string out;
    for (std::size_t i = 0; i < bytes.size(); i += 2) {
        std::uint32_t c = unit(i);
        if (c >= 0xD800 && c < 0xE000) {
            std::uint32_t const low = c < 0xDC00 && i + 3 < bytes.size() ? unit(i + 2) : 0;
            if (low < 0xDC00 || low >= 0xE000) return bad("UTF-16 with half a surrogate pair");
            c = 0x10000 + ((c - 0xD800) << 10U) + (low - 0xDC00);
            i += 2;
        }
        append_utf8(out, c);
    }
    return out;
}

std::string encode_utf16(std::string_view text, bool big) {
    std::string out(big ? kBomBe : kBomLe);
    auto const put = [&](std::uint32_t unit) {
        char const high = static_cast<char>(unit >> 8U);
        char const low = static_cast<char>(unit & 0xFFU);
        out += big ? high : low;
        out += big ? low : high;
    };
    while (!text.empty()) {
        std::uint32_t c = take_utf8(text);
        if (c < 0x10000) {
            put(c);
            continue;
        }
        c -= 0x10000;
        put(0xD800 + (c >> 10U));
        put(0xDC00 + (c & 0x3FFU));
    }
    return out;
}

}  // namespace

std::string_view to_string(Encoding encoding) {
    switch (encoding) {
        case Encoding::detect: return "auto";
        case Encoding::utf8: return "utf-8";
        case Encoding::utf8_bom: return "utf-8-sig";
        case Encoding::utf16_le: return "utf-16-le";
        case Encoding::utf16_be: return "utf-16-be";
        case Encoding::latin1: return "latin-1";
        case Encoding::base64: return "base64";
    }
    return "utf-8";
}

Encoding detect_encoding(std::string_view bytes) {
    if (bytes.starts_with(kBom8)) return Encoding::utf8_bom;
    if (bytes.starts_with(kBomLe)) return Encoding::utf16_le;
    if (bytes.starts_with(kBomBe)) return Encoding::utf16_be;
    return Encoding::utf8;
}

bool looks_binary(std::string_view bytes) {
    auto const encoding = detect_encoding(bytes);
    if (encoding == Encoding::utf16_le || encoding == Encoding::utf16_be) return false;
    return std::memchr(bytes.data(), '\0', std::min<std::size_t>(bytes.size(), 8192)) != nullptr;
}

Result<std::string> decode_text(std::string_view bytes, Encoding encoding) {
    if (encoding == Encoding::detect) encoding = detect_encoding(bytes);
    switch (encoding) {
        case Encoding::base64: return base64_encode(bytes);
        case Encoding::latin1: {
            std::string out;
            out.reserve(bytes.size());
            for (char const c : bytes) append_utf8(out, static_cast<unsigned char>(c));
            return out;
        }
        case Encoding::utf16_le:
        case Encoding::utf16_be: {
            bool const big = encoding == Encoding::utf16_be;
            if (bytes.starts_with(big ? kBomBe : kBomLe)) bytes.remove_prefix(2);
            return decode_utf16(bytes, big);
        }
        default: break;
    }
    if (bytes.starts_with(kBom8)) bytes.remove_prefix(3);
    auto const good = valid_utf8_prefix(bytes);
    if (good != bytes.size()) return bad("not UTF-8 at byte " + std::to_string(good));
    return std::string(bytes);
}

Result<std::string> encode_text(std::string_view text, Encoding encoding) {
    if (encoding == Encoding::base64) {
        auto bytes = base64_decode(text, {.spaces = true});
        if (!bytes) return bad("not base64, or cut off");
        return *std::move(bytes);
    }
    if (encoding == Encoding::utf8 || encoding == Encoding::detect) return std::string(text);
    if (auto const good = valid_utf8_prefix(text); good != text.size())
        return bad("not UTF-8 at byte " + std::to_string(good));
    if (encoding == Encoding::utf8_bom) return std::string(kBom8) + std::string(text);
    if (encoding != Encoding::latin1) return encode_utf16(text, encoding == Encoding::utf16_be);
    std::string out;
    out.reserve(text.size());
    while (!text.empty()) {
        auto const c = take_utf8(text);
        if (c > 0xFF) return bad("a character beyond Latin-1");
        out += static_cast<char>(c);
    }
    return out;
}

std::string sha256_hex(std::string_view bytes) { return hex(sha256(bytes)); }

Result<std::string> sha256_of_file(int fd) {
    Sha256 hash;
    std::string buffer(std::size_t{256} * 1024, '\0');
    for (std::int64_t at = 0;;) {
        auto const n = read_at(fd, buffer, at);
        if (!n) return Failure(n.error());
        if (*n == 0) break;
        hash.update({buffer.data(), *n});
        at += static_cast<std::int64_t>(*n);
    }
    return hex(hash.finish());
}

}  // namespace execd::fs
