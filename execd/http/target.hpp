// Request targets (RFC 9112 §3.2), paths, queries and percent encoding (RFC 3986, WHATWG urlencoded).
// The path is split first and decoded per segment, so "%2F" stays inside its segment; dot segments are
// reported and never removed: who needs them gone refuses them. Pure; limits come from the head scan and
// QueryPolicy.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.hpp"

namespace execd::http {

enum class TargetForm : std::uint8_t { origin, absolute, asterisk };

/// Views point into the parsed text; segments own their bytes (they are decoded).
struct Target {
    TargetForm form = TargetForm::origin;
    std::string_view scheme;     // absolute form only, as sent
    std::string_view authority;  // absolute form only: host[:port]; replaces the Host field (RFC 9112 §3.2.2)
    std::string_view raw_path;   // begins with '/', or "*"; still encoded: what a proxy forwards
    std::string_view raw_query;         // after '?', still encoded
    bool has_query = false;             // true for "/x?" too
    std::vector<std::string> segments;  // "/a//b%2Fc/" -> "a", "", "b/c"; "/" -> none
    bool trailing_slash = false;        // "/a/" but not "/"
    bool dot_segments = false;          // a segment is "." or ".." (also as %2e)
    bool empty_segments = false;        // "//" somewhere
    bool encoded_slash = false;         // a segment holds a '/' after decoding
};

/// Errors are Code::invalid_argument (400): the authority form (CONNECT), an absolute form that is not
/// http(s) or ws(s) or carries user information, broken percent escapes in the path, "%00" in the path, a
/// fragment.
[[nodiscard]] Result<Target> parse_target(std::string_view target);

/// "example.org:80", "[::1]:80", "10.0.0.1". The brackets of an IPv6 literal are not part of `host`.
struct Authority {
    std::string_view host;
    std::optional<std::uint16_t> port;
    bool ipv6 = false;
};
/// nullopt: a byte that no host has, empty host, or a port that is not 0..65535. For Host fields and absolute
/// targets.
[[nodiscard]] std::optional<Authority> parse_authority(std::string_view text) noexcept;

enum class BadEscape : std::uint8_t {
    refuse,  // the whole query is an error
    keep,    // "%zz" stays as it is (WHATWG, Python)
    drop,    // the pair is left out (Go's url.Values)
};
struct QueryPolicy {
    BadEscape bad_escape = BadEscape::keep;
    std::size_t max_pairs = 1024;  // more is Code::too_large
};
using Pairs = std::vector<std::pair<std::string, std::string>>;

/// "a=1&b&a=%20+" -> (a,1) (b,"") (a,"  "): '+' is a space, order and repetition are kept, empty pairs are
/// skipped. Also the parser of application/x-www-form-urlencoded bodies.
[[nodiscard]] Result<Pairs> parse_query(std::string_view raw_query, QueryPolicy policy = {});

/// Decodes %XX; nullopt if an escape is broken. '+' stays a plus.
[[nodiscard]] std::optional<std::string> percent_decode(std::string_view text);

/// Which bytes stay as they are; all others become %XX in upper case.
enum class Encode : std::uint8_t {
    unreserved,  // A-Z a-z 0-9 - . _ ~ (RFC 3986 §2.3): query values
    segment,     // + sub-delims : @ (one path segment; '/' is encoded)
    path,        // as segment, '/' stays
    attribute,   // attr-char of RFC 8187 §3.2: filename*
};
[[nodiscard]] std::string percent_encode(std::string_view text, Encode set);
void append_percent_encoded(std::string& out, std::string_view text, Encode set);

}  // namespace execd::http
