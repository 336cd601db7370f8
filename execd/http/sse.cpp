#include "execd/http/sse.hpp"

#include <algorithm>
#include <cstring>
#include <limits>

#include "base/check.hpp"

namespace execd::http {

namespace {

void append_field(std::string& out, std::string_view name, std::string_view value) {
    out += name;
    out += ": ";
    out += value;
    out += '\n';
}

bool is_one_line(std::string_view text) {
    constexpr std::string_view kForbidden("\r\n\0", 3);
    return text.find_first_of(kForbidden) == std::string_view::npos;
}

// One line of `rest`, taken off with its line end (CR, LF or CRLF); false when there was no line end any
// more.
bool take_line(std::string_view& rest, std::string_view& line) {
    std::size_t end = 0;
    while (end < rest.size() && rest[end] != '\n' && rest[end] != '\r') ++end;
    line = rest.substr(0, end);
    if (end == rest.size()) return false;
    bool const crlf = rest[end] == '\r' && end + 1 < rest.size() && rest[end + 1] == '\n';
    rest.remove_prefix(end + (crlf ? 2 : 1));
    return true;
}

// Bytes before the next one that could begin a line separator. ASCII goes by in words of eight.
std::size_t lead_byte_run(std::string_view text) {
    std::size_t i = 0;
    while (i < text.size()) {
        std::uint64_t word = 0;
        if (i + 8 <= text.size()) {
            std::memcpy(&word, text.data() + i, 8);
            if ((word & 0x8080808080808080ULL) == 0) {
                i += 8;
                continue;
            }
        }
        std::size_t const end = std::min(i + 8, text.size());
        for (; i < end; ++i)
            if (text[i] == '\xC2' || text[i] == '\xE2') return i;
    }
    return i;
}

}  // namespace

std::string_view media_type(Framing framing) noexcept {
    switch (framing) {
        case Framing::bare_json:
        case Framing::sse: return "text/event-stream";
        case Framing::ndjson: return "application/x-ndjson";
        case Framing::connect: return "application/connect+json";
    }
    return "";
}

void append_event(std::string& out, Framing framing, EventText const& event) {
    switch (framing) {
        case Framing::bare_json: append_bare_json(out, event.data); break;
        case Framing::sse: append_sse(out, event); break;
        case Framing::ndjson: append_ndjson(out, event.data); break;
        case Framing::connect: append_connect(out, event.data, event.last); break;
    }
}

void append_json_line(std::string& out, std::string_view json) {
    while (!json.empty()) {
        // U+0085 is C2 85, U+2028 and U+2029 are E2 80 A8 and E2 80 A9.
        std::size_t const at = lead_byte_run(json);
        out += json.substr(0, at);
        json.remove_prefix(at);
        if (json.starts_with("\xC2\x85")) {
            out += "\\u0085";
            json.remove_prefix(2);
        } else if (json.starts_with("\xE2\x80\xA8") || json.starts_with("\xE2\x80\xA9")) {
            out += json[2] == '\xA8' ? "\\u2028" : "\\u2029";
            json.remove_prefix(3);
        } else if (!json.empty()) {
            out += json[0];
            json.remove_prefix(1);
        }
    }
}

void append_bare_json(std::string& out, std::string_view json) {
    append_json_line(out, json);
    out += "\n\n";
}

void append_ndjson(std::string& out, std::string_view json) {
    append_json_line(out, json);
    out += '\n';
}

void append_sse(std::string& out, EventText const& event) {
    if (!event.id.empty() && is_one_line(event.id)) append_field(out, "id", event.id);
    if (!event.event.empty() && is_one_line(event.event)) append_field(out, "event", event.event);
    std::string_view rest = event.data;
    std::string_view line;
    while (take_line(rest, line)) append_field(out, "data", line);
    append_field(out, "data", line);
    out += '\n';
}

void append_sse_comment(std::string& out, std::string_view text) {
    std::string_view line;
    bool more = true;
    while (more) {
        more = take_line(text, line);
        out += ':';
        if (!line.empty()) out += ' ';
        out += line;
        out += '\n';
    }
    out += '\n';
}

void append_sse_retry(std::string& out, std::uint32_t milliseconds) {
    append_field(out, "retry", std::to_string(milliseconds));
    out += '\n';
}

std::array<char, 5> connect_prefix(std::uint8_t flags, std::uint32_t size) noexcept {
    return {static_cast<char>(flags), static_cast<char>(size >> 24), static_cast<char>((size >> 16) & 0xFF),
            static_cast<char>((size >> 8) & 0xFF), static_cast<char>(size & 0xFF)};
}

void append_connect(std::string& out, std::string_view message, bool end_stream) {
    EXECD_REQUIRE(message.size() <= std::numeric_limits<std::uint32_t>::max());
    auto const prefix = connect_prefix(end_stream ? kConnectEndStream : std::uint8_t{0},
                                       static_cast<std::uint32_t>(message.size()));
    out.append(prefix.data(), prefix.size());
    out += message;
}

}  // namespace execd::http
