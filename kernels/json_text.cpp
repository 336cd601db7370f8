#include "kernels/json_text.hpp"

#include "base/utf8.hpp"

namespace execd::kernels {

std::size_t json_depth(std::string_view text) noexcept {
    std::size_t depth = 0;
    std::size_t deepest = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
        switch (text[i]) {
            case '"':
                for (++i; i < text.size() && text[i] != '"'; ++i)
                    if (text[i] == '\\') ++i;
                break;
            case '[':
            case '{': deepest = std::max(deepest, ++depth); break;
            case ']':
            case '}':
                if (depth > 0) --depth;
                break;
            default: break;
        }
    }
    return deepest;
}

namespace {

int hex4(std::string_view text, std::size_t at) {
    if (at + 4 > text.size()) return -1;
    int value = 0;
    for (std::size_t i = at; i < at + 4; ++i) {
        char const c = text[i];
        int digit = -1;
        if (c >= '0' && c <= '9') digit = c - '0';
        if (c >= 'a' && c <= 'f') digit = c - 'a' + 10;
        if (c >= 'A' && c <= 'F') digit = c - 'A' + 10;
        if (digit < 0) return -1;
        value = value * 16 + digit;
    }
    return value;
}

// Writes \ufffd over every \uXXXX that is half of a surrogate pair. True when something changed.
bool mend_surrogates(std::string& text) {
    bool changed = false;
    for (std::size_t i = 0; i + 1 < text.size(); ++i) {
        if (text[i] != '\\') continue;
        if (text[i + 1] != 'u') {
            ++i;
            continue;
        }
        int const unit = hex4(text, i + 2);
        if (unit < 0xD800 || unit > 0xDFFF) {
            i += 5;
            continue;
        }
        bool const pair = unit < 0xDC00 && i + 7 < text.size() && text[i + 6] == '\\' && text[i + 7] == 'u' &&
                          hex4(text, i + 8) >= 0xDC00 && hex4(text, i + 8) <= 0xDFFF;
        if (pair) {
            i += 11;
            continue;
        }
        text.replace(i + 2, 4, "fffd");
        changed = true;
        i += 5;
    }
    return changed;
}

}  // namespace

Result<Json> parse_json(std::string_view text, std::size_t max_depth) {
    if (json_depth(text) > max_depth) return fail(Code::decode, "json", "nested too deeply");
    if (is_utf8(text)) {
        Json value = Json::parse(text.begin(), text.end(), nullptr, false);
        if (!value.is_discarded()) return value;
    }
    std::string mended = to_utf8(text);
    bool const surrogates = mend_surrogates(mended);
    if (surrogates || mended != text) {
        Json value = Json::parse(mended.begin(), mended.end(), nullptr, false);
        if (!value.is_discarded()) return value;
    }
    return fail(Code::decode, "json", "not a JSON text");
}

namespace {

// Past the string whose opening quote is at `at`. `cut`: the last place between two characters that is not
// behind it.
std::size_t end_of_string(std::string_view text, std::size_t at, std::size_t& cut) {
    std::size_t const wanted = cut;
    cut = at + 1;
    for (++at; at < text.size() && text[at] != '"';) {
        bool const inside = (static_cast<unsigned char>(text[at]) & 0xC0U) == 0x80U;
        if (at <= wanted && (!inside || at > cut + 3)) cut = at;  // no character is longer: no UTF-8
        bool const escaped = text[at] == '\\';
        at += !escaped ? 1 : at + 1 < text.size() && text[at + 1] == 'u' ? 6 : 2;
    }
    return std::min(text.size(), at + 1);
}

}  // namespace

std::optional<StringEnd> string_member(std::string_view object, std::string_view key, std::size_t bytes) {
    int depth = 0;
    bool is_value = false;  // of the wanted key
    for (std::size_t at = 0; at < object.size();) {
        char const c = object[at];
        if (c == '"') {
            std::size_t cut = at;
            auto const end = end_of_string(object, at, cut);
            if (end <= at + 1 || object[end - 1] != '"') return std::nullopt;
            if (is_value) {
                cut = end - 1 - std::min(end - 2 - at, bytes);
                (void)end_of_string(object, at, cut);
                auto value = parse_json("[\"" + std::string(object.substr(cut, end - cut)) + "]");
                if (!value) return std::nullopt;
                return StringEnd{value->front().get<std::string>(), cut - at - 1};
            }
            is_value = depth == 1 && object.substr(at + 1, end - at - 2) == key;
            at = end;
            while (is_value && at < object.size() && object[at] != '"' && object[at] != ',' &&
                   object[at] != '{' && object[at] != '[' && object[at] != '}')
                ++at;
            is_value = is_value && at < object.size() && object[at] == '"';
            continue;
        }
        if (c == '{' || c == '[') ++depth;
        if (c == '}' || c == ']') --depth;
        ++at;
    }
    return std::nullopt;
}

std::string dump_json(Json const& value) {
    return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string text_of(Json const& object, char const* key, std::string_view fallback) {
    if (object.is_object())
        if (auto it = object.find(key); it != object.end() && it->is_string()) return it->get<std::string>();
    return std::string(fallback);
}

}  // namespace execd::kernels
