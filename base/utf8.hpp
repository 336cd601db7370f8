// Incremental UTF-8: bytes arrive at any chunking, text leaves in whole characters; what is not UTF-8 becomes
// U+FFFD (one per maximal broken subpart, as the WHATWG decoder does). Pure: no clock, no I/O.
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace execd {

class Utf8Decoder {
  public:
    /// Appends to `out` what is complete; an unfinished character at the end is kept for the next call.
    void push(std::string_view bytes, std::string& out);
    /// The stream has ended: an unfinished character becomes one U+FFFD.
    void finish(std::string& out);
    [[nodiscard]] bool has_partial() const { return have_ > 0; }

  private:
    std::array<char, 4> partial_{};
    std::uint8_t have_ = 0;
};

/// Says at the first byte that can no longer be UTF-8 that the stream is broken; keeps nothing but an
/// unfinished character.
class Utf8Check {
  public:
    /// False from the first broken byte on.
    [[nodiscard]] bool push(std::string_view bytes) noexcept;
    /// True if all bytes were good and no character is unfinished.
    [[nodiscard]] bool complete() const noexcept { return !broken_ && have_ == 0; }
    void reset() noexcept { *this = {}; }

  private:
    std::array<char, 4> partial_{};
    std::uint8_t have_ = 0;
    bool broken_ = false;
};

/// Length of the longest valid prefix of `bytes`.
[[nodiscard]] std::size_t valid_utf8_prefix(std::string_view bytes) noexcept;
[[nodiscard]] inline bool is_utf8(std::string_view bytes) noexcept {
    return valid_utf8_prefix(bytes) == bytes.size();
}
/// Replaces what is broken by U+FFFD.
[[nodiscard]] std::string to_utf8(std::string_view bytes);

}  // namespace execd
