// WebSocket frames (RFC 6455), pure: bytes in at any chunking, frames out; headers written; the handshake
// checked. No extension is ever negotiated, so a reserved bit is a fault. Every fault carries the close code
// to answer with.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/utf8.hpp"

namespace execd::http {

enum class WsOpcode : std::uint8_t { continuation = 0, text = 1, binary = 2, close = 8, ping = 9, pong = 10 };
[[nodiscard]] constexpr bool is_control(WsOpcode op) noexcept { return static_cast<std::uint8_t>(op) >= 8; }

enum class WsRole : std::uint8_t {
    server,
    client
};  // who *we* are: a server demands masks, a client forbids them

using WsMask = std::array<std::uint8_t, 4>;

struct WsFrame {
    WsOpcode opcode = WsOpcode::text;
    bool fin = true;
    bool masked = false;
    WsMask mask{};
    std::uint64_t length = 0;
};

/// Close code 0 = no fault.
struct WsFault {
    std::uint16_t code = 0;
    std::string_view text;
    explicit operator bool() const noexcept { return code != 0; }
};

struct WsReaderOptions {
    WsRole role = WsRole::server;
    std::uint64_t max_frame = 64ULL << 20;
    std::uint64_t max_message = 64ULL << 20;  // sum over the fragments of one message
    bool unmask = true;      // false: a relay forwards the payload with its mask and never looks inside
    bool check_utf8 = true;  // of text messages, at once at the first broken byte; needs `unmask`
};

/// Pull parser: `next` consumes a prefix of the block. The block is writable because payload is unmasked in
/// place. Data frames come as frame, payload*, frame_end; control frames come whole.
class WsReader {
  public:
    enum class Event : std::uint8_t {
        need_more,
        frame,      // frame(): the head of a data frame
        payload,    // step.data: the next bytes of that frame, a view into the block
        frame_end,  // frame().fin: the message is over
        ping,  // step.data: payload (at most 125 bytes, valid until the next call); also with unmask == false
        pong,
        close,  // close_code(), step.data = reason; nothing after it is read
        fault,  // fault()
    };
    struct Step {
        Event event = Event::need_more;
        std::string_view data;
    };

    explicit WsReader(WsReaderOptions options = {}) : options_(options) {}
    [[nodiscard]] Step next(std::span<char>& block);
    [[nodiscard]] WsFrame const& frame() const noexcept { return frame_; }
    /// The opcode of the message that is being read (text or binary), also inside continuations.
    [[nodiscard]] WsOpcode message_opcode() const noexcept { return message_; }
    /// 1005 if the close frame had no payload.
    [[nodiscard]] std::uint16_t close_code() const noexcept { return close_code_; }
    [[nodiscard]] WsFault fault() const noexcept { return fault_; }
    /// True between messages: nothing half read.
    [[nodiscard]] bool idle() const noexcept { return state_ == State::head && have_ == 0 && !in_message_; }

  private:
    enum class State : std::uint8_t { head, payload, frame_end, control, closed, fault };
    Step fail(std::uint16_t code, std::string_view text) noexcept;
    Step on_head(std::span<char>& block);
    Step on_payload(std::span<char>& block);
    Step on_control(std::span<char>& block);
    Step on_close();
    Step end_frame();
    [[nodiscard]] std::size_t head_size() const noexcept;
    WsFault read_head() noexcept;
    WsFault admit() noexcept;

    WsReaderOptions options_;
    State state_ = State::head;
    WsFrame frame_;
    WsOpcode message_ = WsOpcode::text;
    bool in_message_ = false;
    std::array<std::uint8_t, 14> raw_{};
    std::uint8_t have_ = 0;  // bytes of raw_
    std::uint8_t control_size_ = 0;
    std::array<char, 125> control_{};
    std::uint64_t done_ = 0;  // payload bytes of this frame
    std::uint64_t message_size_ = 0;
    std::uint16_t close_code_ = 0;
    Utf8Check utf8_;
    WsFault fault_;
};

/// Masks or unmasks in place; `offset` = how many bytes of the frame's payload came before.
void ws_mask(std::span<char> bytes, WsMask const& mask, std::uint64_t offset = 0) noexcept;

/// At most 14 bytes; with a mask the caller masks the payload.
struct WsFrameHead {
    std::array<char, 14> bytes{};
    std::uint8_t size = 0;
    [[nodiscard]] std::string_view view() const noexcept { return {bytes.data(), size}; }
};
[[nodiscard]] WsFrameHead ws_frame_head(WsFrame const& frame) noexcept;
[[nodiscard]] WsFrameHead ws_frame_head(WsOpcode opcode, std::uint64_t length, bool fin = true) noexcept;

/// Code and reason, the reason cut to 123 bytes at a character; empty for 1005 (no code may be sent).
[[nodiscard]] std::string ws_close_payload(std::uint16_t code, std::string_view reason = {});
/// May this code stand in a close frame on the wire? (1000-1003, 1007-1014, 3000-4999)
[[nodiscard]] bool ws_close_code_valid(std::uint16_t code) noexcept;

/// Sec-WebSocket-Accept for this key.
[[nodiscard]] std::string ws_accept(std::string_view key);
/// Sec-WebSocket-Key from 16 random bytes.
[[nodiscard]] std::string ws_key(std::array<std::uint8_t, 16> const& random);

/// The fields of an upgrade request, empty = absent; several lines of one field joined by ", ".
struct WsRequest {
    std::string_view method = {};
    int minor = 1;
    std::string_view upgrade = {};
    std::string_view connection = {};
    std::string_view version = {};
    std::string_view key = {};
};
enum class WsRefusal : std::uint8_t {
    none,
    not_get,
    old_http,
    no_upgrade,
    bad_version /* 426, offer 13 */,
    bad_key
};
[[nodiscard]] WsRefusal ws_check_request(WsRequest const& request) noexcept;
/// 400 or 426.
[[nodiscard]] unsigned status_of(WsRefusal refusal) noexcept;
[[nodiscard]] std::string_view to_string(WsRefusal refusal) noexcept;
/// The client's first offer (Sec-WebSocket-Protocol) that we know; empty if none.
[[nodiscard]] std::string_view ws_choose_protocol(std::string_view offered,
                                                  std::span<std::string_view const> known) noexcept;
/// True if the upstream's answer to our upgrade request is the right one.
[[nodiscard]] bool ws_check_answer(unsigned status, std::string_view upgrade, std::string_view connection,
                                   std::string_view accept, std::string_view key);

}  // namespace execd::http
