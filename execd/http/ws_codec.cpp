#include "execd/http/ws_codec.hpp"

#include <algorithm>
#include <cstring>

#include "base/base64.hpp"
#include "base/check.hpp"
#include "base/digest.hpp"
#include "execd/http/fields.hpp"

namespace execd::http {

namespace {

constexpr std::uint16_t kProtocolError = 1002;
constexpr std::uint16_t kNoStatus = 1005;
constexpr std::uint16_t kBadText = 1007;
constexpr std::uint16_t kTooBig = 1009;
constexpr std::size_t kMaxControl = 125;

bool known_opcode(std::uint8_t opcode) noexcept { return opcode <= 2 || (opcode >= 8 && opcode <= 10); }

std::string base64(void const* bytes, std::size_t size) {
    std::string out;
    append_base64(out, {static_cast<char const*>(bytes), size});
    return out;
}

bool is_key(std::string_view key) noexcept {
    if (key.size() != 24 || !key.ends_with("==")) return false;
    return std::all_of(key.begin(), key.begin() + 22, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '+' ||
               c == '/';
    });
}

}  // namespace

void ws_mask(std::span<char> bytes, WsMask const& mask, std::uint64_t offset) noexcept {
    using Lanes = std::uint64_t __attribute__((vector_size(32)));
    WsMask turned;
    for (std::size_t i = 0; i < 4; ++i) turned[i] = mask[(i + offset) & 3];
    std::uint32_t word = 0;
    std::memcpy(&word, turned.data(), 4);
    std::uint64_t const pair = (static_cast<std::uint64_t>(word) << 32) | word;
    Lanes const lanes{pair, pair, pair, pair};
    char* at = bytes.data();
    std::size_t left = bytes.size();
    for (; left >= 2 * sizeof(Lanes); left -= 2 * sizeof(Lanes), at += 2 * sizeof(Lanes)) {
        Lanes one;
        Lanes two;
        std::memcpy(&one, at, sizeof(Lanes));
        std::memcpy(&two, at + sizeof(Lanes), sizeof(Lanes));
        one ^= lanes;
        two ^= lanes;
        std::memcpy(at, &one, sizeof(Lanes));
        std::memcpy(at + sizeof(Lanes), &two, sizeof(Lanes));
    }
    for (; left >= 8; left -= 8, at += 8) {
        std::uint64_t eight;
        std::memcpy(&eight, at, 8);
        eight ^= pair;
        std::memcpy(at, &eight, 8);
    }
    for (std::size_t i = 0; i < left; ++i)
        at[i] = static_cast<char>(at[i] ^ static_cast<char>(turned[i & 3]));
}

WsReader::Step WsReader::fail(std::uint16_t code, std::string_view text) noexcept {
    state_ = State::fault;
    fault_ = {code, text};
    return {Event::fault, {}};
}

WsReader::Step WsReader::next(std::span<char>& block) {
    switch (state_) {
        case State::head: return on_head(block);
        case State::payload: return on_payload(block);
        case State::frame_end: return end_frame();
        case State::control: return on_control(block);
        case State::closed: block = {}; return {};
        case State::fault: break;
    }
    return {Event::fault, {}};
}

std::size_t WsReader::head_size() const noexcept {
    if (have_ < 2) return 2;
    std::size_t const length = raw_[1] & 0x7FU;
    return 2U + (length == 126 ? 2U : 0U) + (length == 127 ? 8U : 0U) + ((raw_[1] & 0x80U) != 0 ? 4U : 0U);
}

WsReader::Step WsReader::on_head(std::span<char>& block) {
    while (have_ < head_size()) {
        if (block.empty()) return {};
        raw_[have_++] = static_cast<std::uint8_t>(block.front());
        block = block.subspan(1);
    }
    have_ = 0;
    WsFault fault = read_head();
    if (!fault) fault = admit();
    if (fault) return fail(fault.code, fault.text);
    done_ = 0;
    if (is_control(frame_.opcode)) {
        state_ = State::control;
        return on_control(block);
    }
    state_ = frame_.length > 0 ? State::payload : State::frame_end;
    return {Event::frame, {}};
}

WsFault WsReader::read_head() noexcept {
    if ((raw_[0] & 0x70U) != 0) return {kProtocolError, "a reserved bit is set"};
    std::uint8_t const opcode = raw_[0] & 0x0FU;
    if (!known_opcode(opcode)) return {kProtocolError, "a reserved opcode"};
    frame_.opcode = static_cast<WsOpcode>(opcode);
    frame_.fin = (raw_[0] & 0x80U) != 0;
    frame_.masked = (raw_[1] & 0x80U) != 0;
    std::size_t const bytes = (raw_[1] & 0x7FU) == 126 ? 2 : (raw_[1] & 0x7FU) == 127 ? 8 : 0;
    std::uint64_t length = raw_[1] & 0x7FU;
    if (bytes > 0) {
        length = 0;
        for (std::size_t i = 0; i < bytes; ++i) length = (length << 8) | raw_[2 + i];
        if (length < (bytes == 2 ? 126U : 65536U))
            return {kProtocolError, "a length that is not in its shortest form"};
        if ((length >> 63) != 0) return {kProtocolError, "a length out of range"};
    }
    frame_.length = length;
    frame_.mask = {};
    if (frame_.masked) std::memcpy(frame_.mask.data(), raw_.data() + 2 + bytes, 4);
    return {};
}

// May this frame come now, from this side, of this size?
WsFault WsReader::admit() noexcept {
    if (options_.role == WsRole::server && !frame_.masked) return {kProtocolError, "a frame without mask"};
    if (options_.role == WsRole::client && frame_.masked)
        return {kProtocolError, "a masked frame from the server"};
    if (is_control(frame_.opcode)) {
        if (!frame_.fin) return {kProtocolError, "a fragmented control frame"};
        if (frame_.length > kMaxControl) return {kProtocolError, "a control frame over 125 bytes"};
        return {};
    }
    bool const continues = frame_.opcode == WsOpcode::continuation;
    if (continues && !in_message_) return {kProtocolError, "a continuation of nothing"};
    if (!continues && in_message_) return {kProtocolError, "a new message inside a fragmented one"};
    if (!continues) {
        message_ = frame_.opcode;
        message_size_ = 0;
        in_message_ = true;
        utf8_.reset();
    }
    if (frame_.length > options_.max_frame) return {kTooBig, "frame too large"};
    if (frame_.length > options_.max_message - message_size_) return {kTooBig, "message too large"};
    message_size_ += frame_.length;
    return {};
}

WsReader::Step WsReader::on_payload(std::span<char>& block) {
    if (block.empty()) return {};
    auto const size = static_cast<std::size_t>(std::min<std::uint64_t>(block.size(), frame_.length - done_));
    std::span<char> const bytes = block.first(size);
    block = block.subspan(size);
    bool const readable = options_.unmask || !frame_.masked;
    if (frame_.masked && options_.unmask) ws_mask(bytes, frame_.mask, done_);
    done_ += size;
    if (done_ == frame_.length) state_ = State::frame_end;
    std::string_view const text(bytes.data(), bytes.size());
    if (readable && options_.check_utf8 && message_ == WsOpcode::text && !utf8_.push(text))
        return fail(kBadText, "text that is not UTF-8");
    return {Event::payload, text};
}

WsReader::Step WsReader::end_frame() {
    state_ = State::head;
    if (frame_.fin) {
        in_message_ = false;
        if (!utf8_.complete()) return fail(kBadText, "text that ends inside a character");
    }
    return {Event::frame_end, {}};
}

WsReader::Step WsReader::on_control(std::span<char>& block) {
    auto const size = std::min<std::size_t>(block.size(), static_cast<std::size_t>(frame_.length - done_));
    if (size > 0) std::memcpy(control_.data() + done_, block.data(), size);
    block = block.subspan(size);
    done_ += size;
    if (done_ < frame_.length) return {};
    control_size_ = static_cast<std::uint8_t>(done_);
    if (frame_.masked) ws_mask(std::span(control_).first(control_size_), frame_.mask);
    state_ = State::head;
    std::string_view const payload(control_.data(), control_size_);
    if (frame_.opcode == WsOpcode::ping) return {Event::ping, payload};
    if (frame_.opcode == WsOpcode::pong) return {Event::pong, payload};
    return on_close();
}

WsReader::Step WsReader::on_close() {
    std::string_view const payload(control_.data(), control_size_);
    if (payload.size() == 1) return fail(kProtocolError, "a close frame of one byte");
    close_code_ = kNoStatus;
    std::string_view reason;
    if (payload.size() >= 2) {
        close_code_ = static_cast<std::uint16_t>((static_cast<unsigned char>(payload[0]) << 8) |
                                                 static_cast<unsigned char>(payload[1]));
        if (!ws_close_code_valid(close_code_))
            return fail(kProtocolError, "a close code that may not be sent");
        reason = payload.substr(2);
        if (!is_utf8(reason)) return fail(kBadText, "a close reason that is not UTF-8");
    }
    state_ = State::closed;
    return {Event::close, reason};
}

WsFrameHead ws_frame_head(WsFrame const& frame) noexcept {
    WsFrameHead head;
    auto const put = [&head](std::uint64_t byte) {
        head.bytes[head.size++] = static_cast<char>(byte & 0xFF);
    };
    put((frame.fin ? 0x80U : 0U) | static_cast<std::uint8_t>(frame.opcode));
    unsigned const mask_bit = frame.masked ? 0x80U : 0U;
    int bytes = 0;
    if (frame.length < 126) {
        put(mask_bit | frame.length);
    } else {
        bytes = frame.length < 65536 ? 2 : 8;
        put(mask_bit | (bytes == 2 ? 126U : 127U));
    }
    for (int shift = (bytes - 1) * 8; shift >= 0; shift -= 8) put(frame.length >> shift);
    if (frame.masked)
        for (auto const byte : frame.mask) put(byte);
    return head;
}

WsFrameHead ws_frame_head(WsOpcode opcode, std::uint64_t length, bool fin) noexcept {
    WsFrame frame;
    frame.opcode = opcode;
    frame.fin = fin;
    frame.length = length;
    return ws_frame_head(frame);
}

std::string ws_close_payload(std::uint16_t code, std::string_view reason) {
    std::string out;
    if (code == kNoStatus) return out;
    EXECD_ASSERT(ws_close_code_valid(code));
    out += static_cast<char>(code >> 8);
    out += static_cast<char>(code & 0xFF);
    std::string const text = to_utf8(reason);
    std::string_view cut = std::string_view(text).substr(0, kMaxControl - 2);
    cut = cut.substr(0, valid_utf8_prefix(cut));
    out += cut;
    return out;
}

bool ws_close_code_valid(std::uint16_t code) noexcept {
    if (code >= 3000 && code <= 4999) return true;
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014);
}

std::string ws_accept(std::string_view key) {
    static constexpr std::string_view kMagic = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    std::string text(key);
    text += kMagic;
    auto const digest = sha1(text);
    return base64(digest.data(), digest.size());
}

std::string ws_key(std::array<std::uint8_t, 16> const& random) {
    return base64(random.data(), random.size());
}

WsRefusal ws_check_request(WsRequest const& request) noexcept {
    if (request.method != "GET") return WsRefusal::not_get;
    if (request.minor < 1) return WsRefusal::old_http;
    if (!has_token(request.connection, "upgrade") || !has_token(request.upgrade, "websocket"))
        return WsRefusal::no_upgrade;
    if (trim(request.version) != "13") return WsRefusal::bad_version;
    return is_key(trim(request.key)) ? WsRefusal::none : WsRefusal::bad_key;
}

unsigned status_of(WsRefusal refusal) noexcept {
    if (refusal == WsRefusal::none) return 0;
    return refusal == WsRefusal::bad_version ? 426 : 400;
}

std::string_view to_string(WsRefusal refusal) noexcept {
    switch (refusal) {
        case WsRefusal::none: return "";
        case WsRefusal::not_get: return "a WebSocket handshake must be a GET";
        case WsRefusal::old_http: return "a WebSocket handshake needs HTTP/1.1";
        case WsRefusal::no_upgrade: return "the request is no WebSocket handshake";
        case WsRefusal::bad_version: return "only WebSocket version 13 is spoken here";
        case WsRefusal::bad_key: return "malformed Sec-WebSocket-Key";
    }
    return "";
}

std::string_view ws_choose_protocol(std::string_view offered,
                                    std::span<std::string_view const> known) noexcept {
    while (!offered.empty()) {
        std::size_t const comma = std::min(offered.find(','), offered.size());
        std::string_view const one = trim(offered.substr(0, comma));
        offered.remove_prefix(std::min(comma + 1, offered.size()));
        for (std::string_view const protocol : known)
            if (one == protocol) return protocol;
    }
    return {};
}

bool ws_check_answer(unsigned status, std::string_view upgrade, std::string_view connection,
                     std::string_view accept, std::string_view key) {
    return status == 101 && has_token(upgrade, "websocket") && has_token(connection, "upgrade") &&
           trim(accept) == ws_accept(key);
}

}  // namespace execd::http
