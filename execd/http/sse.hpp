// The four framings of an event stream (DESIGN §6 "Answers"), as pure encoders that append to a string.
// Facts: contracts/opensandbox.md §2 and §13.1 (bare JSON, exactly LF LF), e2b.md (Connect envelopes).
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace execd::http {

enum class Framing : std::uint8_t {
    bare_json,  // the JSON text, LF LF; neither "data:" nor ids
    sse,        // id:, event:, data: lines and an empty line
    ndjson,     // the JSON text, LF
    connect,    // 1 byte of flags, 4 bytes big-endian length, the message
};

/// Content-Type without charset: text/event-stream, application/x-ndjson, application/connect+json.
[[nodiscard]] std::string_view media_type(Framing framing) noexcept;

/// One event. `id` and `event` are for SSE only; text after a line break in them would be another field, so
/// they are left out if they hold CR, LF or (id) NUL.
struct EventText {
    std::string_view data;
    std::string_view event = {};
    std::string_view id = {};
    bool last = false;  // Connect: the end-of-stream message
};
void append_event(std::string& out, Framing framing, EventText const& event);

/// JSON LF LF. The line separators that clients' line splitters know (U+0085, U+2028, U+2029) are escaped;
/// they can only stand inside JSON strings, so the value stays the same.
void append_bare_json(std::string& out, std::string_view json);
/// Data with CR, LF or CRLF becomes several data lines; empty data is one empty data line.
void append_sse(std::string& out, EventText const& event);
/// A comment line that keeps a connection alive: ": text" and an empty line.
void append_sse_comment(std::string& out, std::string_view text = {});
/// "retry: <ms>" and an empty line.
void append_sse_retry(std::string& out, std::uint32_t milliseconds);
void append_ndjson(std::string& out, std::string_view json);

/// The five bytes in front of a Connect message; flag 0x02 marks the end of the stream, 0x01 compression
/// (never used).
inline constexpr std::uint8_t kConnectEndStream = 0x02;
[[nodiscard]] std::array<char, 5> connect_prefix(std::uint8_t flags, std::uint32_t size) noexcept;
void append_connect(std::string& out, std::string_view message, bool end_stream = false);

/// Appends JSON text with U+0085, U+2028 and U+2029 as \u escapes.
void append_json_line(std::string& out, std::string_view json);

}  // namespace execd::http
