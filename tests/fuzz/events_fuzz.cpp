// What is written as an event is read as one event by a reader that follows the standard, whatever its text.
#include "base/check.hpp"
#include "execd/http/sse.hpp"
#include "execd/http/wire/json_text.hpp"
#include "tests/fuzz/target.hpp"

namespace execd::http {
namespace {

struct Read {
    std::string data, event, id;
    unsigned events = 0;
};

/// As WHATWG HTML, section 9.2.6 "Interpreting an event stream", reads it.
Read read(std::string_view text) {
    Read out;
    std::string data;
    bool any = false;
    while (!text.empty()) {
        auto const end = text.find_first_of("\r\n");
        auto line = text.substr(0, end);
        EXECD_REQUIRE(end != std::string_view::npos);
        text.remove_prefix(end + (text.substr(end, 2) == "\r\n" ? 2 : 1));
        if (line.empty()) {
            if (any) {
                ++out.events;
                out.data = data.substr(0, data.size() - 1);
            }
            any = false;
            data.clear();
            continue;
        }
        auto const colon = line.find(':');
        auto const name = line.substr(0, colon);
        auto value = colon == std::string_view::npos ? std::string_view() : line.substr(colon + 1);
        if (value.starts_with(' ')) value.remove_prefix(1);
        if (name == "data") {
            any = true;
            data.append(value) += '\n';
        } else if (name == "event") {
            out.event = value;
        } else if (name == "id") {
            out.id = value;
        } else {
            EXECD_REQUIRE(name.empty() || name == "retry");  // a comment
        }
    }
    return out;
}

std::string with_line_feeds(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '\r' && i + 1 < text.size() && text[i + 1] == '\n') continue;
        out += text[i] == '\r' ? '\n' : text[i];
    }
    return out;
}

void standard(std::string_view data, std::string_view name) {
    std::string out;
    append_sse_comment(out, "hello");
    append_sse_retry(out, 7);
    append_sse(out, {.data = data, .event = name, .id = name});
    append_sse_comment(out);
    auto const got = read(out);
    EXECD_REQUIRE(got.events == 1 && got.data == with_line_feeds(data));
    EXECD_REQUIRE(got.event.empty() || got.event == name);
    EXECD_REQUIRE(got.id.empty() || got.id == name);
}

void lines(std::string_view text) {
    std::string json;
    wire::append_json_string(json, text);
    for (auto const framing : {Framing::bare_json, Framing::ndjson}) {
        std::string out;
        append_event(out, framing, {.data = json});
        EXECD_REQUIRE(out.ends_with(framing == Framing::ndjson ? "\n" : "\n\n"));
        EXECD_REQUIRE(out.find('\n') == out.size() - (framing == Framing::ndjson ? 1 : 2));
        for (std::string_view const separator : {"\xC2\x85", "\xE2\x80\xA8", "\xE2\x80\xA9"})
            EXECD_REQUIRE(framing == Framing::ndjson || out.find(separator) == std::string::npos);
    }
    std::string out;
    append_event(out, Framing::connect, {.data = text, .last = true});
    EXECD_REQUIRE(out.size() == text.size() + 5 && out.front() == kConnectEndStream);
    EXECD_REQUIRE(std::string_view(out).substr(5) == text);
}

void run(std::string_view input) {
    auto const name = fuzz::take_line(input);
    standard(input, name);
    lines(input);
}

fuzz::Target const kTarget("events", run);

}  // namespace
}  // namespace execd::http
