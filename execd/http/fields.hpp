// What header fields say: lists, qualities, parameters, cookies, media types, dates (RFC 9110 §5.6, §12, RFC
// 6265, RFC 8187). Pure. Views point into the argument; functions that must decode return strings. Broken
// input gives "absent", never a guess.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace execd::http {

[[nodiscard]] constexpr char ascii_lower(char c) noexcept {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}
[[nodiscard]] bool iequals(std::string_view a, std::string_view b) noexcept;
[[nodiscard]] bool istarts_with(std::string_view text, std::string_view prefix) noexcept;
[[nodiscard]] std::string to_lower(std::string_view text);
[[nodiscard]] bool is_token_char(char c) noexcept;
[[nodiscard]] bool is_token(std::string_view text) noexcept;
/// Without spaces and tabs at both ends.
[[nodiscard]] std::string_view trim(std::string_view text) noexcept;
/// True if `text` may be sent as a field value: no CR, LF, NUL or other control byte (tab is fine).
[[nodiscard]] bool is_field_value(std::string_view text) noexcept;

/// "a, b,,c" -> a b c. Commas inside quoted strings do not separate; elements are trimmed; empty ones are
/// skipped.
[[nodiscard]] std::vector<std::string_view> split_list(std::string_view list);
/// True if the comma list (Connection, Upgrade, TE ...) has this token, whatever its case. Allocates nothing.
[[nodiscard]] bool has_token(std::string_view list, std::string_view token) noexcept;

/// One element of a list with qualities; q is 0..1000 thousandths. A broken q counts as 0.
struct Quality {
    std::string_view value;   // without parameters
    std::string_view params;  // after the first ';', without q
    int q = 1000;
};
/// In the order sent.
[[nodiscard]] std::vector<Quality> parse_qualities(std::string_view list);
/// How much the Accept field wants this media type ("text/event-stream"), 0..1000; the most specific range
/// wins; an absent or empty field accepts everything (1000).
[[nodiscard]] int accept_quality(std::string_view accept, std::string_view media_type);
/// Index of the best offer, the earlier of equals; nullopt if none is acceptable.
[[nodiscard]] std::optional<std::size_t> best_media(std::string_view accept,
                                                    std::span<std::string_view const> offers);
/// Accept-Encoding: 0..1000 for this coding; "*" and "identity" by RFC 9110 §12.5.3.
[[nodiscard]] int encoding_quality(std::string_view accept_encoding, std::string_view coding);

using ViewPairs = std::vector<std::pair<std::string_view, std::string_view>>;
/// Cookie: "a=1; b=\"x\"" in order, quotes removed, nameless pieces skipped.
[[nodiscard]] ViewPairs parse_cookies(std::string_view cookie);
[[nodiscard]] std::optional<std::string_view> find_cookie(std::string_view cookie, std::string_view name);

/// "form-data; name=\"a\"; filename*=UTF-8''%e2%82%ac": the value and its parameters, names in lower case.
/// In quoted strings only \" and \\ are escapes: browsers send raw backslashes ("C:\x").
struct ValueWithParams {
    std::string value;  // in lower case
    std::vector<std::pair<std::string, std::string>> params;
    [[nodiscard]] std::string const* find(std::string_view lower_name) const noexcept;
    /// The RFC 8187 form (`name*`) if it is there and decodes, else the plain one.
    [[nodiscard]] std::optional<std::string> extended(std::string_view lower_name) const;
};
/// nullopt: no value, a parameter without '=', or an unfinished quoted string.
[[nodiscard]] std::optional<ValueWithParams> parse_params(std::string_view text);
/// "UTF-8'en'%e2%82%ac" -> UTF-8 text; UTF-8 (checked) and ISO-8859-1 are known.
[[nodiscard]] std::optional<std::string> decode_extended(std::string_view text);

struct ContentType {
    std::string essence;   // "text/html", lower case
    std::string charset;   // lower case, may be empty
    std::string boundary;  // as sent, may be empty
    [[nodiscard]] bool is(std::string_view lower_essence) const noexcept { return essence == lower_essence; }
    /// application/json, text/json or application/<x>+json
    [[nodiscard]] bool is_json() const noexcept;
};
[[nodiscard]] std::optional<ContentType> parse_content_type(std::string_view text);

/// "Bearer abc" -> {"Bearer", "abc"}; compare the scheme with iequals. nullopt if there is no scheme token.
struct Authorization {
    std::string_view scheme;
    std::string_view credentials;
};
[[nodiscard]] std::optional<Authorization> split_authorization(std::string_view text) noexcept;

/// `attachment; filename="a.txt"`, with filename* added when the name is not plain ASCII (RFC 6266 appendix
/// D). Control bytes become '_': the result is always a valid field value.
[[nodiscard]] std::string content_disposition(std::string_view kind, std::string_view filename);

/// Seconds since 1970 UTC <-> "Sun, 06 Nov 1994 08:49:37 GMT". No locale, no time zone database.
[[nodiscard]] std::string format_http_date(std::int64_t unix_seconds);
/// IMF-fixdate, RFC 850 (two-digit years are 1970..2069) and asctime.
[[nodiscard]] std::optional<std::int64_t> parse_http_date(std::string_view text) noexcept;

}  // namespace execd::http
