#include "execd/http/wire/json_parse.hpp"

#include <array>
#include <charconv>
#include <nlohmann/json.hpp>

#include "execd/http/wire/text_scan.hpp"

namespace execd::wire {

namespace {

using Code = JsonError::Code;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

void append_utf8(std::string& out, char32_t code) {
    auto const put = [&out](char32_t byte) { out += static_cast<char>(byte); };
    if (code < 0x80) return put(code);
    if (code < 0x800) {
        put(0xC0 | code >> 6);
    } else {
        if (code < 0x10000) {
            put(0xE0 | code >> 12);
        } else {
            put(0xF0 | code >> 18);
            put(0x80 | (code >> 12 & 0x3F));
        }
        put(0x80 | (code >> 6 & 0x3F));
    }
    put(0x80 | (code & 0x3F));
}

// A loop over states with its own stack of open containers: the C++ stack does not grow with the document.
class Parser {
  public:
    Parser(std::string_view text, ParsePolicy const& policy) : text_(text), policy_(policy) {}

    tl::expected<Json, JsonError> run() {
        if (text_.size() > policy_.max_bytes) {
            at_ = 0;
            fail(Code::too_large);
            return tl::unexpected(error());
        }
        skip_space();
        if (at_ == text_.size()) {
            fail(Code::empty);
        } else if (value()) {
            while (depth_ > 0 && !failed_) step();
        }
        if (!failed_ && policy_.trailing == Trailing::reject) {
            skip_space();
            if (at_ != text_.size()) fail(Code::trailing_data);
        }
        if (failed_) return tl::unexpected(error());
        return std::move(root_);
    }

    /// Out of memory counts as too large: the caller's document asked for it.
    JsonError out_of_memory() {
        fail(Code::too_large);
        return error();
    }

  private:
    bool fail(Code code) {
        failed_ = true;
        code_ = code;
        return false;
    }

    JsonError error() const {
        JsonError e;
        e.code = code_;
        e.offset = at_;
        e.found = at_ < text_.size() ? text_[at_] : '\0';
        std::size_t line_start = 0;
        for (std::size_t i = 0; i < at_ && i < text_.size(); ++i) {
            if ((static_cast<unsigned char>(text_[i]) & 0xC0) != 0x80) ++e.position;
            if (text_[i] == '\n') {
                ++e.line;
                line_start = e.position;
            }
        }
        e.column = e.position - line_start + 1;
        return e;
    }

    void skip_space() {
        while (at_ < text_.size()) {
            char const c = text_[at_];
            if (c != ' ' && c != '\n' && c != '\r' && c != '\t') return;
            ++at_;
        }
    }
    [[nodiscard]] char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
    bool fail_here(Code code) { return fail(at_ < text_.size() ? code : Code::unexpected_end); }

    // Inside the innermost container: one member or item, or its end.
    void step() {
        skip_space();
        bool const is_object = open_[depth_ - 1]->is_object();
        char const end = is_object ? '}' : ']';
        if (peek() == end) {
            if (after_comma_) {
                fail(is_object ? Code::expected_key : Code::expected_value);
                return;
            }
            ++at_;
            close();
            return;
        }
        if (!first_) {
            if (!after_comma_) {
                if (peek() != ',') {
                    fail_here(Code::expected_comma);
                    return;
                }
                ++at_;
                after_comma_ = true;
                return;
            }
        }
        if (is_object && !key()) return;
        first_ = after_comma_ = false;
        value();
    }

    void close() {
        --depth_;
        first_ = after_comma_ = false;
    }

    bool key() {
        if (peek() != '"') return fail_here(Code::expected_key);
        if (!string(key_)) return false;
        skip_space();
        if (peek() != ':') return fail_here(Code::expected_colon);
        ++at_;
        skip_space();
        return true;
    }

    Json* place(Json&& value) {
        if (depth_ == 0) return &(root_ = std::move(value));
        Json& parent = *open_[depth_ - 1];
        if (auto* list = parent.get_ptr<Json::array_t*>()) return &list->emplace_back(std::move(value));
        return &(parent.get_ref<Json::object_t&>()[key_] =
                     std::move(value));  // of equal keys the last one counts
    }

    bool open(Json&& container) {
        if (depth_ >= policy_.max_depth || depth_ >= open_.size()) return fail(Code::too_deep);
        Json* const made = place(std::move(container));
        open_[depth_++] = made;
        ++at_;
        first_ = true;
        after_comma_ = false;
        return true;
    }

    bool word(std::string_view text, Json value) {
        if (text_.substr(at_, text.size()) != text) {
            return fail(text.starts_with(text_.substr(at_)) ? Code::unexpected_end : Code::expected_value);
        }
        at_ += text.size();
        place(std::move(value));
        return true;
    }

    bool value() {
        if (++values_ > policy_.max_values) return fail(Code::too_large);
        switch (peek()) {
            case '{': return open(Json::object());
            case '[': return open(Json::array());
            case 't': return word("true", true);
            case 'f': return word("false", false);
            case 'n': return word("null", nullptr);
            case '"': {
                std::string text;
                if (!string(text)) return false;
                place(std::move(text));
                return true;
            }
            default: return is_digit(peek()) || peek() == '-' ? number() : fail_here(Code::expected_value);
        }
    }

    void skip_digits() {
        while (is_digit(peek())) ++at_;
    }

    bool number() {
        std::size_t const start = at_;
        bool whole = true;
        if (peek() == '-') ++at_;
        if (!is_digit(peek())) return fail_here(Code::bad_number);
        if (peek() == '0') {
            ++at_;
        } else {
            skip_digits();
        }
        if (peek() == '.') {
            whole = false;
            ++at_;
            if (!is_digit(peek())) return fail_here(Code::bad_number);
            skip_digits();
        }
        if (peek() == 'e' || peek() == 'E') {
            whole = false;
            ++at_;
            if (peek() == '+' || peek() == '-') ++at_;
            if (!is_digit(peek())) return fail_here(Code::bad_number);
            skip_digits();
        }
        if (is_digit(peek())) return fail(Code::bad_number);  // a leading zero
        return store_number(text_.substr(start, at_ - start), whole);
    }

    bool store_number(std::string_view digits, bool whole) {
        char const* const end = digits.data() + digits.size();
        if (whole) {
            std::uint64_t u = 0;
            std::int64_t i = 0;
            if (digits.front() != '-' && std::from_chars(digits.data(), end, u).ec == std::errc{}) {
                place(u);
                return true;
            }
            if (digits.front() == '-' && std::from_chars(digits.data(), end, i).ec == std::errc{}) {
                place(i);
                return true;
            }
        }
        double d = 0;
        if (std::from_chars(digits.data(), end, d).ec == std::errc::result_out_of_range) {
            // Too small is zero, too large is refused; from_chars does not say which.
            bool const tiny = digits.find("e-") != digits.npos || digits.find("E-") != digits.npos ||
                              digits.starts_with("0.") || digits.starts_with("-0.");
            if (!tiny) {
                at_ -= digits.size();
                return fail(Code::number_range);
            }
            d = 0;
        }
        place(d);
        return true;
    }

    bool string(std::string& out) {
        std::size_t const start = at_++;
        out.clear();
        for (;;) {
            std::size_t const run = detail::plain_run<false>(text_.data() + at_, text_.size() - at_);
            out.append(text_, at_, run);
            at_ += run;
            if (at_ >= text_.size()) {
                at_ = start;  // Python points at the opening quote
                return fail(Code::unterminated_string);
            }
            char const c = text_[at_];
            if (c == '"') {
                ++at_;
                return true;
            }
            if (c == '\\') {
                if (!escape(out)) return false;
            } else if (static_cast<unsigned char>(c) < 0x20) {
                return fail(Code::control_character);
            } else if (!character(out)) {
                return false;
            }
        }
    }

    bool character(std::string& out) {
        auto const c = detail::decode_utf8(text_.data() + at_, text_.size() - at_);
        if (c.good) {
            out.append(text_, at_, c.length);
        } else if (policy_.bad_text == BadText::reject) {
            return fail(Code::bad_utf8);
        } else {
            append_utf8(out, 0xFFFD);
        }
        at_ += c.length;
        return true;
    }

    // Four hexadecimal digits at `from`, or -1.
    [[nodiscard]] int unit_at(std::size_t from) const {
        unsigned unit = 0;
        if (from + 4 > text_.size()) return -1;
        char const* const end = text_.data() + from + 4;
        auto const [stop, ec] = std::from_chars(text_.data() + from, end, unit, 16);
        return ec == std::errc{} && stop == end ? static_cast<int>(unit) : -1;
    }

    bool escape(std::string& out) {
        constexpr std::string_view kFrom = "\"\\/bfnrt";
        constexpr std::string_view kTo = "\"\\/\b\f\n\r\t";
        char const c = at_ + 1 < text_.size() ? text_[at_ + 1] : '\0';
        if (c == 'u') return unicode_escape(out);
        auto const which = c == '\0' ? std::string_view::npos : kFrom.find(c);
        if (which == std::string_view::npos) return fail(Code::bad_escape);
        out += kTo[which];
        at_ += 2;
        return true;
    }

    bool unicode_escape(std::string& out) {
        int const first = unit_at(at_ + 2);
        if (first < 0) return fail(Code::bad_unicode_escape);
        auto code = static_cast<char32_t>(first);
        std::size_t length = 6;
        if (code >= 0xD800 && code <= 0xDFFF) {
            int const second = text_.substr(at_ + 6, 2) == "\\u" ? unit_at(at_ + 8) : -1;
            if (code < 0xDC00 && second >= 0xDC00 && second <= 0xDFFF) {
                code = 0x10000 + ((code - 0xD800) << 10) + (static_cast<char32_t>(second) - 0xDC00);
                length = 12;
            } else if (policy_.bad_text == BadText::reject) {
                return fail(Code::bad_unicode_escape);
            } else {
                code = 0xFFFD;
            }
        }
        append_utf8(out, code);
        at_ += length;
        return true;
    }

    std::string_view text_;
    ParsePolicy const& policy_;
    std::size_t at_ = 0;
    std::size_t values_ = 0;
    Json root_;
    std::array<Json*, kMaxJsonDepth> open_{};
    std::size_t depth_ = 0;
    std::string key_;
    bool first_ = false;        // nothing yet in the innermost container
    bool after_comma_ = false;  // and a member must follow
    bool failed_ = false;
    Code code_ = Code::empty;
};

}  // namespace

std::string_view JsonError::message() const {
    switch (code) {
        case Code::empty:
        case Code::unexpected_end:
        case Code::expected_value: return "Expecting value";
        case Code::expected_key: return "Expecting property name enclosed in double quotes";
        case Code::expected_colon: return "Expecting ':' delimiter";
        case Code::expected_comma: return "Expecting ',' delimiter";
        case Code::unterminated_string: return "Unterminated string starting at";
        case Code::control_character: return "Invalid control character at";
        case Code::bad_escape: return "Invalid \\escape";
        case Code::bad_unicode_escape: return "Invalid \\uXXXX escape";
        case Code::bad_utf8: return "Invalid UTF-8";
        case Code::bad_number: return "Invalid number";
        case Code::number_range: return "Number out of range";
        case Code::trailing_data: return "Extra data";
        case Code::too_deep: return "Nested too deeply";
        case Code::too_large: return "Document too large";
    }
    return "Invalid JSON";
}

tl::expected<Json, JsonError> parse_json(std::string_view text, ParsePolicy const& policy) {
    Parser parser(text, policy);
    try {
        return parser.run();
    } catch (std::exception const&) {  // bad_alloc, length_error
        return tl::unexpected(parser.out_of_memory());
    }
}

}  // namespace execd::wire
