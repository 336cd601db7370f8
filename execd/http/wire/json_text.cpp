#include "execd/http/wire/json_text.hpp"

#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/check.hpp"
#include "execd/http/wire/json_parse.hpp"
#include "execd/http/wire/text_scan.hpp"

namespace execd::wire {

namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

void append_unit(std::string& out, unsigned unit) {
    constexpr char kHex[] = "0123456789abcdef";
    char const text[6] = {
        '\\', 'u', kHex[unit >> 12 & 15], kHex[unit >> 8 & 15], kHex[unit >> 4 & 15], kHex[unit & 15]};
    out.append(text, sizeof text);
}

void append_code_point(std::string& out, char32_t code) {
    if (code < 0x10000) return append_unit(out, code);
    append_unit(out, 0xD800 + ((code - 0x10000) >> 10));
    append_unit(out, 0xDC00 + ((code - 0x10000) & 0x3FF));
}

void append_ascii_escape(std::string& out, char c) {
    switch (c) {
        case '"': out += "\\\""; return;
        case '\\': out += "\\\\"; return;
        case '\n': out += "\\n"; return;
        case '\r': out += "\\r"; return;
        case '\t': out += "\\t"; return;
        case '\b': out += "\\b"; return;
        case '\f': out += "\\f"; return;
        default: append_unit(out, static_cast<unsigned char>(c));
    }
}

bool needs_escape(char32_t code, Escape set) {
    if (has(set, Escape::non_ascii)) return true;
    return has(set, Escape::line_separators) && (code == 0x85 || code == 0x2028 || code == 0x2029);
}

template <bool Html>
void append_escaped(std::string& out, std::string_view text, Escape set) {
    char const* const p = text.data();
    std::size_t const n = text.size();
    std::size_t copied = 0;  // everything before is in `out`
    for (std::size_t i = 0;;) {
        i += detail::plain_run<Html>(p + i, n - i);
        if (i == n) break;
        if (static_cast<unsigned char>(p[i]) < 0x80) {
            out.append(p + copied, i - copied);
            append_ascii_escape(out, p[i]);
            copied = ++i;
            continue;
        }
        while (i < n && static_cast<unsigned char>(p[i]) >= 0x80) {
            auto const c = detail::decode_utf8(p + i, n - i);
            if (!c.good || needs_escape(c.code, set)) {
                out.append(p + copied, i - copied);
                copied = i + c.length;
                if (c.good) {
                    append_code_point(out, c.code);
                } else if (has(set, Escape::non_ascii)) {
                    append_unit(out, 0xFFFD);
                } else {
                    out += kReplacement;
                }
            }
            i += c.length;
        }
    }
    out.append(p + copied, n - copied);
}

template <class N>
void append_number(std::string& out, N value) {
    char text[40];
    auto const end = std::to_chars(text, text + sizeof text, value).ptr;
    out.append(text, static_cast<std::size_t>(end - text));
}

template <class N>
void append_real(std::string& out, N value, bool fraction) {
    if (!std::isfinite(value)) {
        out += "null";
        return;
    }
    std::size_t const start = out.size();
    append_number(out, value);
    if (value == 0 && std::signbit(value)) fraction = true;  // "-0" would read back as the integer 0
    if (fraction && out.find_first_of(".e", start) == std::string::npos) out += ".0";
}

void append_scalar(std::string& out, Json const& value, Escape set) {
    switch (value.type()) {
        case Json::value_t::boolean: out += value.get<bool>() ? "true" : "false"; return;
        case Json::value_t::number_integer: return append_json_int(out, value.get<std::int64_t>());
        case Json::value_t::number_unsigned: return append_json_uint(out, value.get<std::uint64_t>());
        case Json::value_t::number_float: return append_json_double(out, value.get<double>());
        case Json::value_t::string: return append_json_string(out, value.get_ref<std::string const&>(), set);
        default: out += "null";
    }
}

void append_tree(std::string& out, Json const& value, Escape set, std::size_t depth) {
    EXECD_REQUIRE(depth <= 2 * kMaxJsonDepth);
    if (value.is_array()) {
        out += '[';
        bool first = true;
        for (auto const& item : value) {
            if (!first) out += ',';
            first = false;
            append_tree(out, item, set, depth + 1);
        }
        out += ']';
    } else if (value.is_object()) {
        out += '{';
        bool first = true;
        for (auto const& [key, item] : value.get_ref<Json::object_t const&>()) {
            if (!first) out += ',';
            first = false;
            append_json_string(out, key, set);
            out += ':';
            append_tree(out, item, set, depth + 1);
        }
        out += '}';
    } else {
        append_scalar(out, value, set);
    }
}

class BoundedWriter {
  public:
    BoundedWriter(std::string& out, std::size_t limit) : out_(out), end_(out.size() + limit) {}

    void value(Json const& value, std::size_t depth) {
        if (value.is_string()) {
            string(value.get_ref<std::string const&>());
        } else if (value.is_array()) {
            array(value, depth);
        } else if (value.is_object()) {
            object(value, depth);
        } else {
            append_scalar(out_, value, Escape::minimal);
        }
    }

  private:
    static constexpr std::size_t kDepth = 16;
    [[nodiscard]] bool full() const { return out_.size() >= end_; }

    void string(std::string_view text) {
        std::size_t const room = full() ? 0 : end_ - out_.size();
        if (text.size() <= room) return append_json_string(out_, text);
        std::size_t cut = room;  // back to the start of a character
        while (cut > 0 && (static_cast<unsigned char>(text[cut]) & 0xC0) == 0x80) --cut;
        out_ += '"';
        append_json_escaped(out_, text.substr(0, cut));
        out_ += "...\"";
    }
    void array(Json const& list, std::size_t depth) {
        out_ += '[';
        bool first = true;
        for (auto const& item : list) {
            if (full() || depth >= kDepth) break;
            if (!first) out_ += ',';
            first = false;
            value(item, depth + 1);
        }
        out_ += ']';
    }
    void object(Json const& map, std::size_t depth) {
        out_ += '{';
        bool first = true;
        for (auto const& [key, item] : map.get_ref<Json::object_t const&>()) {
            if (full() || depth >= kDepth) break;
            if (!first) out_ += ',';
            first = false;
            string(key);
            out_ += ':';
            value(item, depth + 1);
        }
        out_ += '}';
    }

    std::string& out_;
    std::size_t end_;
};

}  // namespace

void append_json_escaped(std::string& out, std::string_view text, Escape set) {
    if (has(set, Escape::html)) return append_escaped<true>(out, text, set);
    append_escaped<false>(out, text, set);
}

void append_json_string(std::string& out, std::string_view text, Escape set) {
    out += '"';
    append_json_escaped(out, text, set);
    out += '"';
}

void append_json_int(std::string& out, std::int64_t value) { append_number(out, value); }
void append_json_uint(std::string& out, std::uint64_t value) { append_number(out, value); }

void append_json_double(std::string& out, double value, bool fraction) { append_real(out, value, fraction); }
void append_json_float(std::string& out, float value, bool fraction) { append_real(out, value, fraction); }

void append_json(std::string& out, Json const& value, Escape set) { append_tree(out, value, set, 0); }

void append_json_bounded(std::string& out, Json const& value, std::size_t limit) {
    BoundedWriter(out, limit).value(value, 0);
}

}  // namespace execd::wire
