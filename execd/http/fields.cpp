#include "execd/http/fields.hpp"

#include <algorithm>

#include "base/utf8.hpp"
#include "execd/http/byte_class.hpp"
#include "execd/http/target.hpp"

namespace execd::http {

bool iequals(std::string_view a, std::string_view b) noexcept {
    if (a.size() != b.size()) return false;
    for (std::size_t i = 0; i < a.size(); ++i)
        if (ascii_lower(a[i]) != ascii_lower(b[i])) return false;
    return true;
}

bool istarts_with(std::string_view text, std::string_view prefix) noexcept {
    return text.size() >= prefix.size() && iequals(text.substr(0, prefix.size()), prefix);
}

std::string to_lower(std::string_view text) {
    std::string out(text);
    for (char& c : out) c = ascii_lower(c);
    return out;
}

bool is_token_char(char c) noexcept { return is_in(c, kTokenByte); }
bool is_token(std::string_view text) noexcept { return !text.empty() && all_in(text, kTokenByte); }
bool is_field_value(std::string_view text) noexcept { return all_in(text, kFieldByte); }

std::string_view trim(std::string_view text) noexcept {
    while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
    while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
    return text;
}

namespace {

// Takes the text up to the next `separator` outside of quoted strings off `rest`, separator included.
std::string_view take_piece(std::string_view& rest, char separator) noexcept {
    bool quoted = false;
    std::size_t i = 0;
    for (; i < rest.size(); ++i) {
        char const c = rest[i];
        if (quoted && c == '\\') {
            ++i;
        } else if (c == '"') {
            quoted = !quoted;
        } else if (c == separator && !quoted) {
            break;
        }
    }
    i = std::min(i, rest.size());
    std::string_view const piece = rest.substr(0, i);
    rest.remove_prefix(std::min(i + 1, rest.size()));
    return trim(piece);
}

// "0.8" -> 800, "1" -> 1000 (RFC 9110 §12.4.2); -1 if it is neither.
int parse_q(std::string_view text) noexcept {
    if (text.empty() || text.size() > 5 || (text[0] != '0' && text[0] != '1')) return -1;
    int q = (text[0] - '0') * 1000;
    if (text.size() == 1) return q;
    if (text[1] != '.') return -1;
    int scale = 100;
    for (char const c : text.substr(2)) {
        if (!is_in(c, kDigitByte)) return -1;
        q += (c - '0') * scale;
        scale /= 10;
    }
    return q <= 1000 ? q : -1;
}

}  // namespace

std::vector<std::string_view> split_list(std::string_view list) {
    std::vector<std::string_view> out;
    while (!list.empty()) {
        std::string_view const piece = take_piece(list, ',');
        if (!piece.empty()) out.push_back(piece);
    }
    return out;
}

bool has_token(std::string_view list, std::string_view token) noexcept {
    while (!list.empty())
        if (iequals(take_piece(list, ','), token)) return true;
    return false;
}

std::vector<Quality> parse_qualities(std::string_view list) {
    std::vector<Quality> out;
    while (!list.empty()) {
        std::string_view piece = take_piece(list, ',');
        if (piece.empty()) continue;
        Quality element;
        element.value = take_piece(piece, ';');
        element.params = piece;
        std::string_view rest = piece;
        while (!rest.empty()) {
            char const* const begin = rest.data();
            std::string_view const param = take_piece(rest, ';');
            if (!istarts_with(param, "q=")) continue;
            element.q = std::max(parse_q(param.substr(2)), 0);
            // What follows q are extensions of Accept, not parameters of the media type.
            element.params = trim(piece.substr(0, static_cast<std::size_t>(begin - piece.data())));
            if (element.params.ends_with(';')) element.params.remove_suffix(1);
            break;
        }
        if (!element.value.empty()) out.push_back(element);
    }
    return out;
}

int accept_quality(std::string_view accept, std::string_view media_type) {
    if (trim(accept).empty()) return 1000;
    std::string_view const type = media_type.substr(0, media_type.find('/'));
    int best_rank = 0;
    int q = 0;
    for (auto const& range : parse_qualities(accept)) {
        int rank = 0;
        if (iequals(range.value, media_type)) {
            rank = 3;
        } else if (range.value.size() == type.size() + 2 && range.value.ends_with("/*") &&
                   istarts_with(range.value, type)) {
            rank = 2;
        } else if (range.value == "*/*" || range.value == "*") {
            rank = 1;
        }
        if (rank > best_rank || (rank == best_rank && rank > 0 && range.q > q)) {
            best_rank = rank;
            q = range.q;
        }
    }
    return q;
}

std::optional<std::size_t> best_media(std::string_view accept, std::span<std::string_view const> offers) {
    std::optional<std::size_t> best;
    int best_q = 0;
    for (std::size_t i = 0; i < offers.size(); ++i) {
        int const q = accept_quality(accept, offers[i]);
        if (q > best_q) {
            best = i;
            best_q = q;
        }
    }
    return best;
}

int encoding_quality(std::string_view accept_encoding, std::string_view coding) {
    bool const identity = iequals(coding, "identity");
    std::optional<int> star;
    for (auto const& element : parse_qualities(accept_encoding)) {
        if (iequals(element.value, coding)) return element.q;
        if (element.value == "*") star = element.q;
    }
    if (star) return *star;
    return identity ? 1000 : 0;
}

ViewPairs parse_cookies(std::string_view cookie) {
    ViewPairs out;
    while (!cookie.empty()) {
        std::size_t const end = std::min(cookie.find(';'), cookie.size());
        std::string_view const piece = trim(cookie.substr(0, end));
        cookie.remove_prefix(std::min(end + 1, cookie.size()));
        std::size_t const equals = piece.find('=');
        if (equals == std::string_view::npos) continue;
        std::string_view const name = trim(piece.substr(0, equals));
        std::string_view value = trim(piece.substr(equals + 1));
        if (value.size() >= 2 && value.front() == '"' && value.back() == '"')
            value = value.substr(1, value.size() - 2);
        if (!name.empty()) out.emplace_back(name, value);
    }
    return out;
}

std::optional<std::string_view> find_cookie(std::string_view cookie, std::string_view name) {
    for (auto const& [key, value] : parse_cookies(cookie))
        if (key == name) return value;
    return std::nullopt;
}

namespace {

// A quoted string at the start of `rest`; false if it does not end.
bool take_quoted(std::string_view& rest, std::string& out) {
    std::size_t i = 1;
    for (; i < rest.size() && rest[i] != '"'; ++i) {
        if (rest[i] == '\\' && i + 1 < rest.size() && (rest[i + 1] == '"' || rest[i + 1] == '\\')) ++i;
        out += rest[i];
    }
    if (i == rest.size()) return false;
    rest.remove_prefix(i + 1);
    return true;
}

// One `name=value` at the start of `rest`, up to and including the next ';'.
bool take_param(std::string_view& rest, std::pair<std::string, std::string>& out) {
    std::size_t const equals = rest.find('=');
    if (equals == std::string_view::npos) return false;
    std::string_view const name = trim(rest.substr(0, equals));
    if (!is_token(name)) return false;
    out.first = to_lower(name);
    rest = trim(rest.substr(equals + 1));
    if (rest.starts_with('"')) {
        if (!take_quoted(rest, out.second)) return false;
        rest = trim(rest);
        if (!rest.empty() && rest[0] != ';') return false;
    } else {
        std::size_t const end = std::min(rest.find(';'), rest.size());
        out.second = trim(rest.substr(0, end));
        rest.remove_prefix(end);
    }
    if (!rest.empty()) rest.remove_prefix(1);
    return true;
}

}  // namespace

std::string const* ValueWithParams::find(std::string_view lower_name) const noexcept {
    for (auto const& [key, text] : params)
        if (key == lower_name) return &text;
    return nullptr;
}

std::optional<std::string> ValueWithParams::extended(std::string_view lower_name) const {
    if (auto const* const encoded = find(std::string(lower_name) + '*'))
        if (auto decoded = decode_extended(*encoded)) return decoded;
    if (auto const* const plain = find(lower_name)) return *plain;
    return std::nullopt;
}

std::optional<ValueWithParams> parse_params(std::string_view text) {
    ValueWithParams out;
    std::size_t const end = std::min(text.find(';'), text.size());
    out.value = to_lower(trim(text.substr(0, end)));
    if (out.value.empty()) return std::nullopt;
    text.remove_prefix(std::min(end + 1, text.size()));
    for (text = trim(text); !text.empty(); text = trim(text)) {
        if (text[0] == ';') {  // an empty parameter
            text.remove_prefix(1);
            continue;
        }
        std::pair<std::string, std::string> param;
        if (!take_param(text, param)) return std::nullopt;
        out.params.push_back(std::move(param));
    }
    return out;
}

std::optional<std::string> decode_extended(std::string_view text) {
    std::size_t const one = text.find('\'');
    if (one == std::string_view::npos) return std::nullopt;
    std::size_t const two = text.find('\'', one + 1);
    if (two == std::string_view::npos) return std::nullopt;
    std::string_view const charset = text.substr(0, one);
    auto bytes = percent_decode(text.substr(two + 1));
    if (!bytes) return std::nullopt;
    if (iequals(charset, "utf-8")) return is_utf8(*bytes) ? bytes : std::nullopt;
    if (!iequals(charset, "iso-8859-1")) return std::nullopt;
    std::string out;
    for (char const c : *bytes) {
        auto const byte = static_cast<unsigned char>(c);
        if (byte < 0x80) {
            out += c;
        } else {
            out += static_cast<char>(0xC0 | (byte >> 6));
            out += static_cast<char>(0x80 | (byte & 0x3F));
        }
    }
    return out;
}

bool ContentType::is_json() const noexcept {
    return essence == "application/json" || essence == "text/json" ||
           (essence.starts_with("application/") && essence.ends_with("+json"));
}

std::optional<ContentType> parse_content_type(std::string_view text) {
    auto parsed = parse_params(text);
    if (!parsed) return std::nullopt;
    std::string_view const essence = parsed->value;
    std::size_t const slash = essence.find('/');
    if (slash == std::string_view::npos || !is_token(essence.substr(0, slash)) ||
        !is_token(essence.substr(slash + 1)))
        return std::nullopt;
    ContentType out;
    if (auto const* const charset = parsed->find("charset")) out.charset = to_lower(*charset);
    if (auto const* const boundary = parsed->find("boundary")) out.boundary = *boundary;
    out.essence = std::move(parsed->value);
    return out;
}

std::optional<Authorization> split_authorization(std::string_view text) noexcept {
    text = trim(text);
    std::size_t const space = std::min(text.find(' '), text.size());
    Authorization out{text.substr(0, space), trim(text.substr(space))};
    if (!is_token(out.scheme)) return std::nullopt;
    return out;
}

std::string content_disposition(std::string_view kind, std::string_view filename) {
    std::string out(kind);
    out += "; filename=\"";
    bool plain = true;
    for (char const c : filename) {
        auto const byte = static_cast<unsigned char>(c);
        bool const ascii = byte >= 0x20 && byte < 0x7F;
        plain = plain && ascii;
        if (c == '"' || c == '\\') out += '\\';
        if (ascii) out += c;
        // One '_' for each character, not for each byte.
        if (!ascii && (byte & 0xC0) != 0x80) out += '_';
    }
    out += '"';
    if (!plain) {
        out += "; filename*=UTF-8''";
        append_percent_encoded(out, to_utf8(filename), Encode::attribute);
    }
    return out;
}

}  // namespace execd::http
