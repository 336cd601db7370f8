#include "fs/pattern.hpp"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <chrono>
#include <cstring>

namespace execd::fs {

namespace {

// Effort per match attempt: about 10 ms of backtracking at worst.
constexpr std::uint32_t kMatchLimit = 200'000;
constexpr std::uint32_t kDepthLimit = 2'000;
constexpr std::uint32_t kHeapKib = 8 * 1024;
constexpr std::uint64_t kGiveUp = 64;  // lines too hard in one search
constexpr std::size_t kMaxExpression = 64 * 1024;
constexpr std::size_t kFirstSlice = 4 * 1024;
constexpr std::size_t kLastSlice = 4 * 1024 * 1024;
constexpr auto kQuick = std::chrono::milliseconds(1);  // of one slice
constexpr std::size_t kLook = 1024 * 1024;             // of text gone through between two looks at stop

bool is_plain(char c) { return std::strchr("\\^$.|?*+()[]{}", c) == nullptr && c != '\0'; }

std::size_t find_text(std::string_view text, std::string_view what, std::size_t from) {
    void const* const at = ::memmem(text.data() + from, text.size() - from, what.data(), what.size());
    return at == nullptr ? std::string_view::npos
                         : static_cast<std::size_t>(static_cast<char const*>(at) - text.data());
}

Span line_around(std::string_view text, std::size_t at) {
    auto const before = at == 0 ? std::string_view::npos : text.rfind('\n', at - 1);
    auto const after = text.find('\n', at);
    return {before == std::string_view::npos ? 0 : before + 1,
            after == std::string_view::npos ? text.size() : after};
}

}  // namespace

namespace {

/// Goes over an expression and keeps the longest run of plain text that every match contains.
class LiteralFinder {
  public:
    explicit LiteralFinder(std::string_view expression) : text_(expression) {}
    std::string run() {
        for (; at_ < text_.size(); ++at_)
            if (!step()) return "";
        cut();
        return best_;
    }

  private:
    void cut() {
        if (run_.size() > best_.size()) best_ = run_;
        run_.clear();
    }
    [[nodiscard]] char next() const { return at_ + 1 < text_.size() ? text_[at_ + 1] : '\0'; }
    /// False: nothing can be told of this expression.
    bool step() {
        char const c = text_[at_];
        switch (c) {
            case '|':
                if (depth_ == 0) return false;
                break;
            case '(': return open_group();
            case ')': --depth_; return true;
            case '[': return skip_class();
            case '{':
                // How often a class, a group or an escape is repeated: its numbers are no text.
                cut();
                skip_count(at_);
                return true;
            default: break;
        }
        return character(c);
    }
    bool open_group() {
        // Inline options may turn on case folding or free spacing; verbs and assertions may do anything.
        auto const rest = text_.substr(at_);
        if (rest.starts_with("(*")) return false;
        if (rest.starts_with("(?") && !rest.starts_with("(?:")) return false;
        cut();
        ++depth_;
        return true;
    }
    bool skip_class() {
        cut();
        std::size_t end = at_ + 1;
        if (end < text_.size() && text_[end] == '^') ++end;
        if (end < text_.size() && text_[end] == ']') ++end;
        while (end < text_.size() && text_[end] != ']') end += text_[end] == '\\' ? 2 : 1;
        if (text_.substr(at_, end - at_).find("[:") != std::string_view::npos) return false;
        at_ = end;
        return true;
    }
    void skip_count(std::size_t from) { at_ = std::min(text_.find('}', from), text_.size() - 1); }
    bool character(char c) {
        char literal = c;
        bool plain = is_plain(c);
        if (c == '\\' && at_ + 1 < text_.size()) {
            literal = text_[++at_];
            if (literal == 'Q' || literal == 'E') return false;
            plain = !((literal >= 'a' && literal <= 'z') || (literal >= 'A' && literal <= 'Z') ||
                      (literal >= '0' && literal <= '9'));
            // \x41, \p{L}, \1 ... : nothing of what follows them may be taken for text
            if (!plain && std::strchr("bBdDsSwWnrt", literal) == nullptr) return false;
        }
        if (depth_ > 0) return true;
        if (plain)
            take(literal);
        else
            cut();
        return true;
    }
    void take(char literal) {
        char const after = next();
        if (after == '*' || after == '?' || after == '{') {
            // The character is optional; of a UTF-8 sequence the whole character is.
            while (!run_.empty() && (static_cast<unsigned char>(literal) & 0xC0U) == 0x80U) {
                literal = run_.back();
                run_.pop_back();
            }
            cut();
            if (after == '{') skip_count(at_);
            return;
        }
        run_ += literal;
        if (after == '+') cut();
    }

    std::string_view text_;
    std::size_t at_ = 0;
    int depth_ = 0;
    std::string run_;
    std::string best_;
};

}  // namespace

std::string required_literal(std::string_view expression) { return LiteralFinder(expression).run(); }

bool line_local(std::string_view expression) {
    for (auto const* word :
         {"(?=", "(?!", "(?<", "(?>", "(?|", "(*",  "(?(", "(?R", "(?P", "++",  "*+",  "?+",  "}+",
          "\\A", "\\z", "\\Z", "\\G", "\\K", "\\R", "\\N", "\\X", "\\C", "(?s", "(?m", "(?-", "(?^"})
        if (expression.find(word) != std::string_view::npos) return false;
    return true;
}

struct Pattern::Impl {
    ~Impl() {
        ::pcre2_match_data_free(data);
        ::pcre2_match_context_free(context);
        ::pcre2_code_free(code);
    }
    std::string literal;  // the text itself (plain), or what every match contains
    bool plain = false;
    bool local = true;
    ::pcre2_code* code = nullptr;
    ::pcre2_match_context* context = nullptr;
    ::pcre2_match_data* data = nullptr;
    std::uint64_t too_hard = 0;
    std::function<bool()> stop;
    bool stopped = false;
    std::size_t slice = kFirstSlice;  // where a match may begin, per call

    [[nodiscard]] bool stops() {
        if (!stopped && stop && stop()) stopped = true;
        return stopped;
    }
    /// In slices of places to begin at, as long as they go fast: one call over a long text would not see
    /// that nobody waits any more.
    std::optional<Span> match(std::string_view text, std::size_t from) {
        for (;;) {
            auto end = std::min(from + slice, text.size());
            while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) ++end;
            ::pcre2_set_offset_limit(context, end);
            auto const before = std::chrono::steady_clock::now();
            auto const hard = too_hard;
            auto found = match_slice(text, from);
            if (found || too_hard != hard || end == text.size()) return found;
            auto const took = std::chrono::steady_clock::now() - before;
            if (took < kQuick && slice < kLastSlice) slice *= 4;
            if (took > 8 * kQuick && slice > kFirstSlice) slice /= 4;
            from = end;
            if (stops()) return std::nullopt;
        }
    }
    std::optional<Span> match_slice(std::string_view text, std::size_t from) {
        int const rc = ::pcre2_match(code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), from, 0,
                                     data, context);
        if (rc >= 0) {
            auto const* const ends = ::pcre2_get_ovector_pointer(data);
            return Span{ends[0], std::max(ends[0], ends[1])};
        }
        if (rc != PCRE2_ERROR_NOMATCH) ++too_hard;
        return std::nullopt;
    }
};

Pattern::Pattern(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Pattern::Pattern(Pattern&&) noexcept = default;
Pattern& Pattern::operator=(Pattern&&) noexcept = default;
Pattern::~Pattern() = default;
std::uint64_t Pattern::too_hard() const { return impl_->too_hard; }
void Pattern::set_stop(std::function<bool()> stop) { impl_->stop = std::move(stop); }
bool Pattern::stopped() const { return impl_->stopped; }

Result<Pattern> Pattern::compile(std::string_view expression, PatternOptions options) {
    if (expression.empty()) return fail(Code::invalid_argument, "regex", "empty pattern");
    if (expression.size() > kMaxExpression) return fail(Code::invalid_argument, "regex", "too long");
    auto impl = std::make_unique<Impl>();
    if (options.fixed && !options.ignore_case) {
        impl->literal = expression;
        impl->plain = true;
        return Pattern(std::move(impl));
    }
    std::uint32_t flags = PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C |
                          PCRE2_USE_OFFSET_LIMIT;
    if (options.fixed) flags = PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_LITERAL | PCRE2_USE_OFFSET_LIMIT;
    if (options.ignore_case) flags |= PCRE2_CASELESS;
    if (options.multiline) flags |= options.fixed ? 0U : static_cast<std::uint32_t>(PCRE2_DOTALL);
    int error = 0;
    PCRE2_SIZE where = 0;
    impl->code = ::pcre2_compile(reinterpret_cast<PCRE2_SPTR>(expression.data()), expression.size(), flags,
                                 &error, &where, nullptr);
    if (impl->code == nullptr) {
        char text[256] = {};
        ::pcre2_get_error_message(error, reinterpret_cast<PCRE2_UCHAR*>(text), sizeof text);
        return fail(Code::invalid_argument, "regex",
                    std::string(text) + " at offset " + std::to_string(where));
    }
    static_cast<void>(
        ::pcre2_jit_compile(impl->code, PCRE2_JIT_COMPLETE));  // without executable memory it interprets
    impl->context = ::pcre2_match_context_create(nullptr);
    impl->data = ::pcre2_match_data_create_from_pattern(impl->code, nullptr);
    ::pcre2_set_match_limit(impl->context, kMatchLimit);
    ::pcre2_set_depth_limit(impl->context, kDepthLimit);
    ::pcre2_set_heap_limit(impl->context, kHeapKib);
    impl->local = options.fixed || line_local(expression);
    if (!options.fixed && !options.ignore_case) impl->literal = required_literal(expression);
    return Pattern(std::move(impl));
}

std::optional<Span> Pattern::find(std::string_view text, std::size_t from) {
    if (from > text.size()) return std::nullopt;
    if (!impl_->literal.empty()) {
        auto const at = find_text(text, impl_->literal, from);
        if (at == std::string_view::npos) return std::nullopt;
        if (impl_->plain) return Span{at, at + impl_->literal.size()};
    }
    return impl_->match(text, from);
}

std::optional<Pattern::Line> Pattern::find_line(std::string_view text, std::size_t from) {
    // Candidates first: the literal, or a match anywhere; then the line alone decides.
    auto const before = impl_->too_hard;
    auto looked = from;
    while (from < text.size() && impl_->too_hard - before < kGiveUp) {
        if (from - looked > kLook || impl_->stopped) {
            if (impl_->stops()) return std::nullopt;
            looked = from;
        }
        std::size_t at = from;
        if (!impl_->literal.empty())
            at = find_text(text, impl_->literal, from);
        else if (impl_->local) {
            auto const hard = impl_->too_hard;
            auto const candidate = impl_->match(text, from);
            if (candidate)
                at = candidate->begin;
            else if (impl_->stopped)
                return std::nullopt;
            else if (impl_->too_hard == hard)
                return std::nullopt;
            else
                impl_->local = false;  // too hard over a whole text: line by line from now on
        }
        if (at == std::string_view::npos || at >= text.size()) return std::nullopt;
        auto const line = line_around(text, at);
        auto const alone = text.substr(line.begin, line.end - line.begin);
        std::optional<Span> match;
        if (impl_->plain)
            match = Span{at - line.begin, at - line.begin + impl_->literal.size()};
        else
            match = impl_->match(alone, 0);
        if (match && match->end <= alone.size()) return Line{line, *match};
        from = line.end + 1;
    }
    return std::nullopt;
}

}  // namespace execd::fs
