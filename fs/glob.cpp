#include "fs/glob.hpp"

namespace execd::fs {

namespace {

constexpr std::size_t kMaxAlternatives = 1024;
constexpr std::size_t kMaxPattern = 8192;

Failure bad(std::string detail) { return fail(Code::invalid_argument, "glob", std::move(detail)); }

/// One character at `at`, which moves on. Broken UTF-8 counts a byte, beyond the range of characters.
char32_t next_char(std::string_view text, std::size_t& at) {
    auto const byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    unsigned const first = byte(at);
    std::size_t const more = first < 0xC2 ? 0 : first < 0xE0 ? 1 : first < 0xF0 ? 2 : first < 0xF5 ? 3 : 0;
    if (first < 0x80) {
        ++at;
        return first;
    }
    char32_t c = more == 1 ? first & 0x1FU : more == 2 ? first & 0x0FU : first & 0x07U;
    bool good = more > 0 && at + more < text.size();
    for (std::size_t i = 1; good && i <= more; ++i) {
        good = (byte(at + i) & 0xC0U) == 0x80U;
        c = (c << 6U) | (byte(at + i) & 0x3FU);
    }
    at += good ? more + 1 : 1;
    return good ? c : 0x110000U + first;
}

char32_t lower(char32_t c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; }

/// Where the class that opens at `at` closes, or npos.
std::size_t class_end(std::string_view pattern, std::size_t at) {
    ++at;
    if (at < pattern.size() && (pattern[at] == '!' || pattern[at] == '^')) ++at;
    for (bool first = true; at < pattern.size(); ++at, first = false) {
        if (pattern[at] == '\\')
            ++at;
        else if (pattern[at] == ']' && !first)
            return at;
    }
    return std::string_view::npos;
}

/// Braces multiplied out. Each round takes the first brace of a pattern.
Result<std::vector<std::string>> expand_braces(std::string_view pattern) {
    std::vector<std::string> done;
    std::vector<std::string> open{std::string(pattern)};
    while (!open.empty()) {
        std::string const text = std::move(open.back());
        open.pop_back();
        std::size_t begin = std::string::npos;
        std::vector<std::size_t> cuts;
        std::size_t end = std::string::npos;
        int depth = 0;
        for (std::size_t i = 0; i < text.size() && end == std::string::npos; ++i) {
            char const c = text[i];
            if (c == '\\')
                ++i;
            else if (c == '[' && class_end(text, i) != std::string::npos)
                i = class_end(text, i);
            else if (c == '{' && depth++ == 0)
                begin = i;
            else if (c == ',' && depth == 1)
                cuts.push_back(i);
            else if (c == '}' && depth > 0 && --depth == 0)
                end = i;
        }
        if (depth > 0) return bad("unclosed brace");
        if (begin == std::string::npos) {
            done.push_back(text);
            continue;
        }
        if (done.size() + open.size() + cuts.size() + 1 > kMaxAlternatives)
            return bad("too many alternatives");
        cuts.push_back(end);
        std::size_t from = begin + 1;
        for (auto const cut : cuts) {
            open.push_back(text.substr(0, begin) + text.substr(from, cut - from) + text.substr(end + 1));
            from = cut + 1;
        }
    }
    return done;
}

}  // namespace

Result<Glob::Token> Glob::parse_set(std::string_view pattern, std::size_t& at) {
    auto const end = class_end(pattern, at);
    if (end == std::string_view::npos) return bad("unclosed class");
    Token token{Token::What::set};
    std::string_view const body = pattern.substr(0, end);
    std::size_t i = at + 1;
    if (body.size() > i && (body[i] == '!' || body[i] == '^')) {
        token.negated = true;
        ++i;
    }
    auto const take = [&] {
        if (body[i] == '\\' && i + 1 < body.size()) ++i;
        return next_char(body, i);
    };
    while (i < body.size()) {
        char32_t const from = take();
        char32_t to = from;
        if (i + 1 < body.size() && body[i] == '-') {
            ++i;
            to = take();
        }
        if (from > to) return bad("a range that runs backwards");
        token.ranges.push_back({from, to});
    }
    at = end + 1;
    return token;
}

Result<void> Glob::add(std::string_view pattern) {
    Alternative segments;
    segments.emplace_back();
    std::size_t at = 0;
    while (at < pattern.size()) {
        auto& tokens = segments.back().tokens;
        char const c = pattern[at];
        if (c == '/') {
            segments.emplace_back();
            ++at;
        } else if (c == '*') {
            auto const first = at;
            while (at < pattern.size() && pattern[at] == '*') ++at;
            bool const whole = tokens.empty() && (at == pattern.size() || pattern[at] == '/');
            if (at - first == 2 && whole)
                segments.back().deep = true;
            else
                tokens.push_back({Token::What::star});
        } else if (c == '?') {
            tokens.push_back({Token::What::any});
            ++at;
        } else if (c == '[') {
            auto token = parse_set(pattern, at);
            if (!token) return Failure(token.error());
            tokens.push_back(std::move(*token));
        } else {
            if (c == '\\' && ++at == pattern.size()) return bad("an escape of nothing");
            Token token{Token::What::literal};
            token.literal = next_char(pattern, at);
            tokens.push_back(std::move(token));
        }
    }
    alternatives_.push_back(std::move(segments));
    return {};
}

Result<Glob> Glob::compile(std::string_view pattern, GlobOptions options) {
    Glob glob;
    glob.options_ = options;
    if (pattern.size() > kMaxPattern) return bad("too long");
    if (options.negation && pattern.starts_with('!')) {
        if (!pattern.starts_with("!(") || !pattern.ends_with(')')) return bad("'!' without parentheses");
        glob.negated_ = true;
        pattern = pattern.substr(2, pattern.size() - 3);
    }
    std::vector<std::string> alternatives{std::string(pattern)};
    if (options.braces) {
        auto expanded = expand_braces(pattern);
        if (!expanded) return Failure(expanded.error());
        alternatives = std::move(*expanded);
    }
    for (auto const& one : alternatives)
        if (auto ok = glob.add(one); !ok) return Failure(ok.error());
    return glob;
}

bool Glob::match_one(Token const& token, char32_t c) const {
    switch (token.what) {
        case Token::What::any: return true;
        case Token::What::literal:
            return options_.ignore_case ? lower(token.literal) == lower(c) : token.literal == c;
        case Token::What::set: {
            bool found = false;
            for (auto const& range : token.ranges) {
                found = found || (c >= range.from && c <= range.to);
                if (options_.ignore_case && c < 128) {
                    char32_t const other = c >= 'a' && c <= 'z' ? c - 32 : lower(c);
                    found = found || (other >= range.from && other <= range.to);
                }
            }
            return found != token.negated;
        }
        case Token::What::star: break;
    }
    return false;
}

/// Only the last star can be to blame, so one place to go back to is enough.
bool Glob::match_segment(Segment const& segment, std::string_view text) const {
    auto const& tokens = segment.tokens;
    std::size_t token = 0;
    std::size_t at = 0;
    std::size_t star = SIZE_MAX;
    std::size_t star_at = 0;
    while (at < text.size() || token < tokens.size()) {
        if (token < tokens.size() && tokens[token].what == Token::What::star) {
            star = token++;
            star_at = at;
            continue;
        }
        std::size_t next = at;
        if (token < tokens.size() && at < text.size() && match_one(tokens[token], next_char(text, next))) {
            ++token;
            at = next;
            continue;
        }
        if (star == SIZE_MAX || star_at >= text.size()) return false;
        next_char(text, star_at);
        at = star_at;
        token = star + 1;
    }
    return true;
}

/// The same with segments for characters and "**" for the star.
bool Glob::match_alternative(Alternative const& segments, std::vector<std::string_view> const& parts) const {
    std::size_t segment = 0;
    std::size_t at = 0;
    std::size_t deep = SIZE_MAX;
    std::size_t deep_at = 0;
    while (at < parts.size() || segment < segments.size()) {
        if (segment < segments.size() && segments[segment].deep) {
            if (options_.inside && segment + 1 == segments.size()) return at < parts.size();
            deep = segment++;
            deep_at = at;
            continue;
        }
        if (segment < segments.size() && at < parts.size() && match_segment(segments[segment], parts[at])) {
            ++segment;
            ++at;
            continue;
        }
        if (deep == SIZE_MAX || deep_at >= parts.size()) return false;
        at = ++deep_at;
        segment = deep + 1;
    }
    return true;
}

bool Glob::match(std::string_view text) const {
    std::vector<std::string_view> parts;
    for (;;) {
        auto const slash = text.find('/');
        parts.push_back(text.substr(0, slash));
        if (slash == std::string_view::npos) break;
        text.remove_prefix(slash + 1);
    }
    bool found = false;
    for (auto const& alternative : alternatives_) found = found || match_alternative(alternative, parts);
    return found != negated_;
}

Result<GlobSet> GlobSet::compile(std::vector<std::string> const& patterns, GlobOptions options) {
    GlobSet set;
    for (auto const& pattern : patterns) {
        auto glob = Glob::compile(pattern, options);
        if (!glob) return Failure(glob.error());
        set.items_.push_back({std::move(*glob), pattern.find('/') != std::string::npos});
    }
    return set;
}

bool GlobSet::match(std::string_view relative_path, std::string_view name) const {
    for (auto const& item : items_)
        if (item.glob.match(item.whole_path ? relative_path : name)) return true;
    return false;
}

}  // namespace execd::fs
