// The raw bytes of a message head, looked at before any parser believes them (docs: DESIGN §6, "raw-header
// scan"). Everything on which two HTTP implementations could disagree about where a message ends is refused
// here, and so is every byte that a later log line, header copy or proxy would have to fear. Pure: no
// allocation, no I/O; all views point into the scanned bytes. Sources: RFC 9110 §5, RFC 9112 §2.2, §3, §5,
// §6.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace execd::http {

enum class HeadFault : std::uint8_t {
    none,
    incomplete,      // no empty line at the end
    bare_line_end,   // LF without CR, or CR without LF
    control_byte,    // NUL, other control bytes or DEL in a line
    bad_start_line,  // not "method SP target SP version", or not a status line
    bad_method,      // not a token, or over the limit
    bad_target,      // a byte that no request target may have
    bad_version,     // not HTTP/1.0 or HTTP/1.1
    folded_line,     // obs-fold
    bad_name,        // empty header name, no colon, or a byte that is no token character
    space_before_colon,
    duplicate_host,
    missing_host,  // on HTTP/1.1
    bad_host,
    duplicate_length,    // two Content-Length fields, or a list in one, equal or not
    bad_length,          // not decimal digits
    length_overflow,     // over 2^63 - 1
    duplicate_transfer,  // two Transfer-Encoding fields
    unknown_transfer,    // anything but exactly `chunked`
    transfer_on_http10,
    transfer_and_length,
    head_too_large,
    target_too_long,
    too_many_fields,
};

/// For people and for the text body of the refusal; never echoes the peer's bytes.
[[nodiscard]] std::string_view to_string(HeadFault) noexcept;
/// 400, 414, 431, 501 or 505; 0 for `none`.
[[nodiscard]] unsigned status_of(HeadFault) noexcept;

/// All in bytes except `fields`. Text of the limit that was hit is in to_string(fault).
struct HeadLimits {
    std::size_t head = 64 * 1024;  // start line, all fields and the empty line
    std::size_t target = 16 * 1024;
    std::size_t method = 32;
    std::size_t fields = 128;  // how many
};

enum class BodyKind : std::uint8_t { none, length, chunked, until_close /* answers only */ };
enum class Expectation : std::uint8_t { none, continue_100, other /* answer 417 */ };

/// What a scan found. With a fault nothing but `fault` is meaningful. Views live as long as the scanned
/// bytes.
struct HeadScan {
    HeadFault fault = HeadFault::none;
    std::uint8_t minor = 1;  // HTTP/1.<minor>
    BodyKind body = BodyKind::none;
    Expectation expect = Expectation::none;
    bool keep_alive = true;  // by version and Connection tokens
    bool upgrade = false;    // Connection lists `upgrade` and there is an Upgrade field
    bool has_host = false;
    std::uint16_t status_code = 0;  // answers only
    std::uint16_t fields = 0;
    std::uint64_t content_length = 0;  // with BodyKind::length
    std::string_view method;           // requests only
    std::string_view target;           // requests only, as sent
    std::string_view host;             // as sent, may be empty
    std::string_view reason;           // answers only
    std::string_view field_lines;      // all "name: value CRLF" lines, for for_each_field

    [[nodiscard]] bool ok() const noexcept { return fault == HeadFault::none; }
    [[nodiscard]] unsigned status() const noexcept { return status_of(fault); }
    [[nodiscard]] std::string_view text() const noexcept { return to_string(fault); }
};

/// Scans a request head, up to and including its empty line. Under 1 us for a usual head.
[[nodiscard]] HeadScan scan_head(std::string_view raw_head, HeadLimits const& limits = {}) noexcept;

/// Scans the head of an upstream's answer by the same rules (an answer needs no Host; 501 has no meaning
/// here: every fault is a 502 to our client). `to_head` = the request was HEAD; 1xx, 204 and 304 have no body
/// either. Without Content-Length and chunked the body ends with the connection.
[[nodiscard]] HeadScan scan_response_head(std::string_view raw_head, bool to_head,
                                          HeadLimits const& limits = {}) noexcept;

/// The size of the head at the start of `buffer` including its empty line, as soon as that line is there.
/// `resume` (start with 0, keep it while the same head grows) makes repeated calls linear. A wrong empty line
/// (LF LF) ends the head too, so that scan_head can refuse it instead of a time-out.
[[nodiscard]] std::optional<std::size_t> find_head_end(std::string_view buffer, std::size_t& resume) noexcept;

/// RFC 9112 §2.2: one CRLF before a request line is skipped (old clients send it after a body). 0 or 2.
[[nodiscard]] constexpr std::size_t leading_empty_line(std::string_view buffer) noexcept {
    return buffer.starts_with("\r\n") ? 2 : 0;
}

/// Calls `visit(name, value)` for every field of a head that scan_head accepted; values are trimmed.
template <class Visit>
void for_each_field(std::string_view field_lines, Visit&& visit) {
    while (!field_lines.empty()) {
        std::size_t const end = field_lines.find('\r');
        std::string_view const line = field_lines.substr(0, end);
        std::size_t const colon = line.find(':');
        std::string_view value = line.substr(colon + 1);
        while (!value.empty() && (value.front() == ' ' || value.front() == '\t')) value.remove_prefix(1);
        while (!value.empty() && (value.back() == ' ' || value.back() == '\t')) value.remove_suffix(1);
        visit(line.substr(0, colon), value);
        field_lines.remove_prefix(end + 2);
    }
}

}  // namespace execd::http
