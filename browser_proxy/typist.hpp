// Typing on an X display by our own connection to it: characters that no key has are put on spare keys first
// and stay there, so that a slow program still finds them. (xdotool takes each away again at once, and what
// is slow to look gets another letter.)
//
// X Window System Protocol, X Version 11; XTEST Extension Protocol 2.2.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "base/loop.hpp"

namespace execd::browser_proxy {

/// What the keys mean: `per_key` symbols for each key from `first` on; 0 is none.
struct KeyTable {
    unsigned first = 8;
    unsigned per_key = 0;
    std::vector<std::uint32_t> symbols;
};

struct Stroke {
    enum class Kind : std::uint8_t {
        tap,   // press and release `key`, with Shift or without
        bind,  // `key` means `symbol` from now on
        rest,  // until everybody has read what was typed: keys are about to change their meaning
    } kind = Kind::tap;
    std::uint8_t key = 0;
    bool shift = false;
    std::uint32_t symbol = 0;
};

/// The keysym of a character (X Window System Protocol, appendix A); line feed is Return, tab is Tab.
[[nodiscard]] std::uint32_t keysym_of(char32_t point) noexcept;
/// `text` is UTF-8. Empty for a text that is not: also when there is no key to spare.
[[nodiscard]] std::vector<Stroke> strokes_for(std::string_view text, KeyTable const& table);

/// Types `text`, `pause` between two characters. Code::unavailable, Code::timed_out.
[[nodiscard]] Task<Result<void>> type_text(Loop& loop, std::string x_sockets, unsigned display,
                                           std::string text, Duration pause, Deadline deadline);

}  // namespace execd::browser_proxy
