// Globs: `*` and `?` (never a '/'), `[a-z]`, `[!x]`, `[^x]`, `{a,b}`, `**` as a whole segment (zero or more
// segments), `\` escapes. Matching is linear in pattern times text: no pattern can run away. Characters are
// UTF-8; bytes that are not count one each. Hidden names match `*`. Pure.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"

namespace execd::fs {

struct GlobOptions {
    bool negation = false;  // `!(pattern)` as a whole is everything but `pattern` (OpenSandbox section 1.8)
    bool braces = true;
    bool ignore_case = false;  // ASCII
    bool inside = false;       // a `**` at the end needs at least one segment (gitignore)
};

class Glob {
  public:
    /// invalid_argument with where "glob" for an unclosed class or brace, an escape at the end, more than
    /// 1,024 alternatives, or (with negation) a leading `!` without its parentheses.
    [[nodiscard]] static Result<Glob> compile(std::string_view pattern, GlobOptions options = {});
    /// The whole text, '/' separates segments.
    [[nodiscard]] bool match(std::string_view text) const;

  private:
    struct Range {
        char32_t from, to;
    };
    struct Token {
        enum class What : std::uint8_t { literal, any, star, set } what;
        bool negated = false;
        char32_t literal = 0;
        std::vector<Range> ranges{};
    };
    struct Segment {
        bool deep = false;  // "**"
        std::vector<Token> tokens{};
    };
    using Alternative = std::vector<Segment>;

    [[nodiscard]] Result<void> add(std::string_view pattern);
    [[nodiscard]] static Result<Token> parse_set(std::string_view pattern, std::size_t& at);
    [[nodiscard]] bool match_segment(Segment const& segment, std::string_view text) const;
    [[nodiscard]] bool match_one(Token const& token, char32_t c) const;
    [[nodiscard]] bool match_alternative(Alternative const& segments,
                                         std::vector<std::string_view> const& parts) const;

    GlobOptions options_;
    bool negated_ = false;
    std::vector<Alternative> alternatives_;
};

/// Any of several.
class GlobSet {
  public:
    [[nodiscard]] static Result<GlobSet> compile(std::vector<std::string> const& patterns,
                                                 GlobOptions options = {});
    /// A pattern without '/' is held against the base name, others against the whole relative path.
    [[nodiscard]] bool match(std::string_view relative_path, std::string_view name) const;
    [[nodiscard]] bool empty() const { return items_.empty(); }

  private:
    struct Item {
        Glob glob;
        bool whole_path = false;
    };
    std::vector<Item> items_;
};

}  // namespace execd::fs
