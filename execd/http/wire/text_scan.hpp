// Scanning of text in bulk, shared by the JSON writer and the JSON parser. Internal to this folder.
#pragma once
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace execd::wire::detail {

/// Bytes that end a run of plain JSON text: controls, the quote, the backslash, everything above ASCII.
template <bool Html>
[[nodiscard]] inline bool ends_plain_run(unsigned char c) {
    if (c < 0x20 || c == '"' || c == '\\' || c >= 0x80) return true;
    return Html && (c == '<' || c == '>' || c == '&');
}

#ifdef __SSE2__
template <bool Html>
[[nodiscard]] inline unsigned plain_run_ends(char const* p) {
    __m128i const block = _mm_loadu_si128(reinterpret_cast<__m128i const*>(p));
    __m128i const control = _mm_cmpeq_epi8(_mm_min_epu8(block, _mm_set1_epi8(0x1f)), block);
    __m128i bad = _mm_or_si128(control, _mm_cmpeq_epi8(block, _mm_set1_epi8('"')));
    bad = _mm_or_si128(bad, _mm_cmpeq_epi8(block, _mm_set1_epi8('\\')));
    bad = _mm_or_si128(bad, block);  // the sign bit is what movemask reads: bytes above ASCII
    if constexpr (Html) {
        bad = _mm_or_si128(bad, _mm_cmpeq_epi8(block, _mm_set1_epi8('<')));
        bad = _mm_or_si128(bad, _mm_cmpeq_epi8(block, _mm_set1_epi8('>')));
        bad = _mm_or_si128(bad, _mm_cmpeq_epi8(block, _mm_set1_epi8('&')));
    }
    return static_cast<unsigned>(_mm_movemask_epi8(bad));
}
#endif

/// Length of the plain run at the start of [p, p + n).
template <bool Html>
[[nodiscard]] inline std::size_t plain_run(char const* p, std::size_t n) {
    std::size_t i = 0;
#ifdef __SSE2__
    if (n >= 16) {
        for (; i + 16 <= n; i += 16) {
            if (unsigned const ends = plain_run_ends<Html>(p + i))
                return i + static_cast<unsigned>(std::countr_zero(ends));
        }
        if (i == n) return n;
        i = n - 16;  // the last block overlaps bytes already known to be plain
        unsigned const ends = plain_run_ends<Html>(p + i);
        return ends != 0 ? i + static_cast<unsigned>(std::countr_zero(ends)) : n;
    }
#else
    for (; i + 8 <= n; i += 8) {
        std::uint64_t word;
        std::memcpy(&word, p + i, 8);
        std::uint64_t const ones = 0x0101010101010101ULL;
        auto const zero_byte = [ones](std::uint64_t v) { return (v - ones) & ~v; };
        std::uint64_t bad =
            word | (word - ones * 0x20) | zero_byte(word ^ ones * '"') | zero_byte(word ^ ones * '\\');
        if constexpr (Html) {
            bad |= zero_byte(word ^ ones * '<') | zero_byte(word ^ ones * '>') | zero_byte(word ^ ones * '&');
        }
        if ((bad & ones * 0x80) != 0) break;  // a false alarm of a borrow costs only the byte loop below
    }
#endif
    while (i < n && !ends_plain_run<Html>(static_cast<unsigned char>(p[i]))) ++i;
    return i;
}

struct Utf8Char {
    char32_t code;
    std::uint8_t length;  // bytes of the character, or of the maximal broken subpart
    bool good;
};

/// The character at the start of [p, p + n), n > 0. An unfinished character at the end is broken.
[[nodiscard]] inline Utf8Char decode_utf8(char const* p, std::size_t n) {
    auto const at = [p](std::size_t i) { return static_cast<unsigned char>(p[i]); };
    unsigned const a = at(0);
    if (a < 0x80) return {a, 1, true};
    unsigned lo = 0x80;
    unsigned hi = 0xBF;
    std::uint8_t need = 0;
    char32_t code = 0;
    if (a >= 0xC2 && a <= 0xDF) {
        need = 2;
        code = a & 0x1F;
    } else if (a >= 0xE0 && a <= 0xEF) {
        need = 3;
        code = a & 0x0F;
        if (a == 0xE0) lo = 0xA0;
        if (a == 0xED) hi = 0x9F;  // no surrogates
    } else if (a >= 0xF0 && a <= 0xF4) {
        need = 4;
        code = a & 0x07;
        if (a == 0xF0) lo = 0x90;
        if (a == 0xF4) hi = 0x8F;
    } else {
        return {0, 1, false};
    }
    for (std::uint8_t i = 1; i < need; ++i) {
        if (i >= n || at(i) < lo || at(i) > hi) return {0, i, false};
        code = code << 6 | (at(i) & 0x3F);
        lo = 0x80;
        hi = 0xBF;
    }
    return {code, need, true};
}

}  // namespace execd::wire::detail
