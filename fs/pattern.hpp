// What grep looks for: a plain text or a PCRE2 expression with bounded effort. The only file that knows
// PCRE2.
//
// Thread: one at a time.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.hpp"

namespace execd::fs {

struct PatternOptions {
    bool fixed = false;
    bool ignore_case = false;
    bool multiline = false;  // '.' takes '\n'; the caller searches whole texts
};

struct Span {
    std::size_t begin = 0;
    std::size_t end = 0;
};

/// A text that every match contains, or empty when none can be told. Pure; exposed for tests.
[[nodiscard]] std::string required_literal(std::string_view expression);
/// Whether a match within a line is also one (perhaps a longer one) in the whole text: no look-around, no
/// anchors of the whole text, no atomic groups, no verbs.
[[nodiscard]] bool line_local(std::string_view expression);

class Pattern {
  public:
    [[nodiscard]] static Result<Pattern> compile(std::string_view expression, PatternOptions options);
    Pattern(Pattern&&) noexcept;
    Pattern& operator=(Pattern&&) noexcept;
    ~Pattern();

    /// The first match at or after `from`, at any place of `text`.
    [[nodiscard]] std::optional<Span> find(std::string_view text, std::size_t from);
    /// The first line (its bounds without '\n') at or after `from`, which begins a line, with a match in the
    /// line alone; and the match.
    struct Line {
        Span line;
        Span match;
    };
    [[nodiscard]] std::optional<Line> find_line(std::string_view text, std::size_t from);
    /// Asked now and then, also within one long line; once it says true nothing more is found.
    void set_stop(std::function<bool()> stop);
    [[nodiscard]] bool stopped() const;
    /// How often a match was given up because it took too much effort.
    [[nodiscard]] std::uint64_t too_hard() const;

  private:
    struct Impl;
    explicit Pattern(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace execd::fs
