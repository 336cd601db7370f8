#include "execd/http/target.hpp"

#include <algorithm>

#include "execd/http/byte_class.hpp"
#include "execd/http/fields.hpp"

namespace execd::http {

namespace {

Failure bad_target(char const* why) { return fail(Code::invalid_argument, "request target", why); }

// Appends the decoded text; false at the first broken escape.
bool append_decoded(std::string& out, std::string_view text, bool plus_is_space) {
    while (!text.empty()) {
        std::size_t at = 0;
        while (at < text.size() && text[at] != '%' && !(plus_is_space && text[at] == '+')) ++at;
        out.append(text.substr(0, at));
        text.remove_prefix(at);
        if (text.empty()) break;
        if (text[0] == '+') {
            out += ' ';
            text.remove_prefix(1);
            continue;
        }
        if (text.size() < 3 || hex_value(text[1]) < 0 || hex_value(text[2]) < 0) return false;
        out += static_cast<char>(hex_value(text[1]) * 16 + hex_value(text[2]));
        text.remove_prefix(3);
    }
    return true;
}

// As append_decoded, but a broken escape stays as it is.
void append_decoded_loosely(std::string& out, std::string_view text) {
    while (!append_decoded(out, text, true)) {
        // Everything before the broken escape is decoded by now; find it again and step over its '%'.
        std::size_t at = 0;
        while (at < text.size()) {
            if (text[at] != '%') {
                ++at;
            } else if (at + 2 < text.size() && hex_value(text[at + 1]) >= 0 && hex_value(text[at + 2]) >= 0) {
                at += 3;
            } else {
                break;
            }
        }
        out += '%';
        text.remove_prefix(at + 1);
    }
}

Result<void> split_path(Target& target) {
    std::string_view rest = target.raw_path.substr(1);
    if (rest.empty()) return {};
    for (;;) {
        std::size_t const slash = rest.find('/');
        std::string_view const raw = rest.substr(0, slash);
        bool const last = slash == std::string_view::npos;
        if (last && raw.empty()) {
            target.trailing_slash = true;
            return {};
        }
        std::string segment;
        if (!append_decoded(segment, raw, false)) return bad_target("a broken percent escape in the path");
        if (segment.find('\0') != std::string::npos) return bad_target("a NUL in the path");
        target.dot_segments = target.dot_segments || segment == "." || segment == "..";
        target.empty_segments = target.empty_segments || segment.empty();
        target.encoded_slash = target.encoded_slash || segment.find('/') != std::string::npos;
        target.segments.push_back(std::move(segment));
        if (last) return {};
        rest.remove_prefix(slash + 1);
    }
}

// "http://host:80/path?query": takes scheme and authority off `rest`.
Result<void> take_authority(Target& target, std::string_view& rest) {
    std::size_t const colon = rest.find("://");
    if (colon == std::string_view::npos) return bad_target("neither a path nor an absolute URL");
    target.scheme = rest.substr(0, colon);
    bool known = false;
    for (std::string_view const scheme : {"http", "https", "ws", "wss"})
        known = known || iequals(target.scheme, scheme);
    if (!known) return bad_target("an unknown scheme");
    rest.remove_prefix(colon + 3);
    std::size_t const end = std::min(rest.find_first_of("/?"), rest.size());
    target.authority = rest.substr(0, end);
    rest.remove_prefix(end);
    if (target.authority.find('@') != std::string_view::npos)
        return bad_target("user information in the URL");
    if (!parse_authority(target.authority)) return bad_target("a malformed host in the URL");
    target.form = TargetForm::absolute;
    return {};
}

// A comma is allowed by RFC 3986, but in a Host field it is what joined duplicates look like.
bool is_host_byte(char c) { return (is_in(c, kUnreservedByte | kSubDelimByte) && c != ',') || c == '%'; }

}  // namespace

Result<Target> parse_target(std::string_view text) {
    Target target;
    if (text == "*") {
        target.form = TargetForm::asterisk;
        target.raw_path = text;
        return target;
    }
    if (text.empty()) return bad_target("empty");
    if (!all_in(text, kTargetByte)) return bad_target("a byte that no URL may have");
    std::string_view rest = text;
    if (rest[0] != '/') {
        if (auto taken = take_authority(target, rest); !taken) return tl::unexpected(taken.error());
    }
    std::size_t const mark = rest.find('?');
    target.raw_path = rest.substr(0, mark);
    if (mark != std::string_view::npos) {
        target.has_query = true;
        target.raw_query = rest.substr(mark + 1);
    }
    if (target.raw_path.empty()) target.raw_path = "/";  // "http://host" and "http://host?x"
    if (auto split = split_path(target); !split) return tl::unexpected(split.error());
    return target;
}

std::optional<Authority> parse_authority(std::string_view text) noexcept {
    Authority out;
    std::string_view port;
    bool has_port = false;
    if (text.starts_with('[')) {
        std::size_t const close = text.find(']');
        if (close == std::string_view::npos || close < 3) return std::nullopt;
        out.ipv6 = true;
        out.host = text.substr(1, close - 1);
        for (char const c : out.host)
            if (!is_host_byte(c) && c != ':') return std::nullopt;
        std::string_view const after = text.substr(close + 1);
        if (!after.empty() && after[0] != ':') return std::nullopt;
        has_port = !after.empty();
        if (has_port) port = after.substr(1);
    } else {
        std::size_t const colon = text.find(':');
        out.host = text.substr(0, colon);
        has_port = colon != std::string_view::npos;
        if (has_port) port = text.substr(colon + 1);
        if (out.host.empty() || !std::all_of(out.host.begin(), out.host.end(), is_host_byte))
            return std::nullopt;
    }
    if (!has_port || port.empty()) return out;  // "host:" is "host" (RFC 3986 §3.2.3)
    if (port.size() > 5 || !all_in(port, kDigitByte)) return std::nullopt;
    unsigned number = 0;
    for (char const c : port) number = number * 10 + static_cast<unsigned>(c - '0');
    if (number > 65535) return std::nullopt;
    out.port = static_cast<std::uint16_t>(number);
    return out;
}

Result<Pairs> parse_query(std::string_view raw_query, QueryPolicy policy) {
    Pairs pairs;
    while (!raw_query.empty()) {
        std::size_t const end = std::min(raw_query.find('&'), raw_query.size());
        std::string_view const piece = raw_query.substr(0, end);
        raw_query.remove_prefix(std::min(end + 1, raw_query.size()));
        if (piece.empty()) continue;
        if (pairs.size() == policy.max_pairs) return fail(Code::too_large, "query", "too many parameters");
        std::size_t const equals = std::min(piece.find('='), piece.size());
        std::string_view const raw_name = piece.substr(0, equals);
        std::string_view const raw_value = piece.substr(std::min(equals + 1, piece.size()));
        std::string name;
        std::string value;
        if (policy.bad_escape == BadEscape::keep) {
            append_decoded_loosely(name, raw_name);
            append_decoded_loosely(value, raw_value);
        } else if (!append_decoded(name, raw_name, true) || !append_decoded(value, raw_value, true)) {
            if (policy.bad_escape == BadEscape::drop) continue;
            return fail(Code::invalid_argument, "query", "a broken percent escape");
        }
        pairs.emplace_back(std::move(name), std::move(value));
    }
    return pairs;
}

std::optional<std::string> percent_decode(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    if (!append_decoded(out, text, false)) return std::nullopt;
    return out;
}

void append_percent_encoded(std::string& out, std::string_view text, Encode set) {
    static constexpr char kHex[] = "0123456789ABCDEF";
    unsigned classes = kUnreservedByte;
    if (set == Encode::segment || set == Encode::path) classes |= kSubDelimByte;
    if (set == Encode::attribute) classes = kAttrByte;
    bool const is_path = set == Encode::path;
    bool const in_segment = is_path || set == Encode::segment;
    for (char const c : text) {
        if (is_in(c, classes) || (is_path && c == '/') || (in_segment && (c == ':' || c == '@'))) {
            out += c;
        } else {
            auto const byte = static_cast<unsigned char>(c);
            out += '%';
            out += kHex[byte >> 4];
            out += kHex[byte & 15];
        }
    }
}

std::string percent_encode(std::string_view text, Encode set) {
    std::string out;
    out.reserve(text.size());
    append_percent_encoded(out, text, set);
    return out;
}

}  // namespace execd::http
