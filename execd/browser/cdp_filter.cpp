#include "execd/browser/cdp_filter.hpp"

#include <nlohmann/json.hpp>

#include "execd/http/wire/json_parse.hpp"

namespace execd::browser {

using http::WsFrame;
using http::WsOpcode;
using http::WsReader;

namespace {

http::WsReaderOptions options() {
    http::WsReaderOptions out;
    out.max_frame = out.max_message = std::uint64_t{1} << 62;  // nothing is kept of them
    out.unmask = false;
    out.check_utf8 = false;
    return out;
}

// Frames that are ours to write carry a mask of zeros: their payload stays readable.
void append_control(std::string& up, WsOpcode opcode, std::string_view payload) {
    WsFrame frame;
    frame.opcode = opcode;
    frame.masked = true;
    frame.length = payload.size();
    up.append(http::ws_frame_head(frame).view()).append(payload);
}

std::string_view text_member(wire::Json const& object, char const* key) {
    auto const at = object.find(key);
    if (at == object.end() || !at->is_string()) return {};
    return at->get_ref<std::string const&>();
}

}  // namespace

// Browser.close is what puppeteer sends to end its use of a browser; the crash commands are for tests of
// Chromium itself.
std::string reply_instead(std::string_view text) {
    bool const suspect = text.find("Browser.c") != std::string_view::npos ||
                         text.find("\\u00") != std::string_view::npos;  // the same, spelt with escapes
    if (!suspect) return {};
    auto const message = wire::parse_json(text);
    if (!message || !message->is_object()) return {};
    std::string_view const method = text_member(*message, "method");
    bool const close = method == "Browser.close";
    if (!close && method != "Browser.crash" && method != "Browser.crashGpuProcess") return {};
    auto const id = message->find("id");
    std::string out = R"({"id":)";
    out += id != message->end() && id->is_number_integer() ? std::to_string(id->get<std::int64_t>()) : "0";
    out += close ? R"(,"result":{})"
                 : R"(,"error":{"code":-32000,"message":"not allowed: others use this browser too"})";
    std::string_view const session = text_member(*message, "sessionId");
    bool const plain = session.find_first_of("\"\\") == std::string_view::npos;
    if (!session.empty() && plain) out.append(R"(,"sessionId":")").append(session).append("\"");
    return out + "}";
}

CdpFilter::CdpFilter() : reader_(options()) {}

CdpFilter::Step CdpFilter::take(std::span<char> block, std::string& up) {
    Step out;
    for (;;) {
        auto const step = reader_.next(block);
        switch (step.event) {
            case WsReader::Event::need_more: return out;
            case WsReader::Event::frame: begin_frame(); break;
            case WsReader::Event::payload: payload(step.data, up); break;
            case WsReader::Event::frame_end: end_frame(up, out); break;
            // Between the frames of a message that is held they go ahead of it, which changes nothing.
            case WsReader::Event::ping: append_control(up, WsOpcode::ping, step.data); break;
            case WsReader::Event::pong: append_control(up, WsOpcode::pong, step.data); break;
            case WsReader::Event::close:
                append_control(up, WsOpcode::close, http::ws_close_payload(reader_.close_code(), step.data));
                out.closed = true;
                return out;
            case WsReader::Event::fault: out.broken = true; return out;
        }
    }
}

void CdpFilter::begin_frame() {
    WsFrame const& frame = reader_.frame();
    if (frame.opcode != WsOpcode::continuation) {
        looking_ = frame.opcode == WsOpcode::text;
        held_.clear();
        text_.clear();
    }
    held_.append(http::ws_frame_head(frame).view());
    at_ = 0;
}

void CdpFilter::give_up_looking(std::string& up) {
    looking_ = false;
    up.append(held_);
    held_.clear();
    text_.clear();
}

void CdpFilter::payload(std::string_view data, std::string& up) {
    WsFrame const& frame = reader_.frame();
    if (looking_ && text_.size() + (frame.length - at_) > kLookedAt) looking_ = false;
    if (!looking_) {
        if (!held_.empty()) give_up_looking(up);
        up.append(data);
        at_ += data.size();
        return;
    }
    held_.append(data);
    std::size_t const from = text_.size();
    text_.append(data);
    if (frame.masked) http::ws_mask(std::span(text_.data() + from, data.size()), frame.mask, at_);
    at_ += data.size();
}

void CdpFilter::end_frame(std::string& up, Step& step) {
    if (!reader_.frame().fin && looking_) return;
    std::string reply = looking_ ? reply_instead(text_) : std::string();
    if (reply.empty()) {
        give_up_looking(up);
        return;
    }
    step.replies.append(http::ws_frame_head(WsOpcode::text, reply.size()).view()).append(reply);
    held_.clear();
    text_.clear();
}

}  // namespace execd::browser
