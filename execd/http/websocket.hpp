// WebSocket: messages over an upgraded stream. Control frames are handled inside: pings answered, keep-alive
// pings sent, the close handshake ends with closing the TCP connection (contracts/opensandbox.md §13.7).
//
// Thread: the reactor. One coroutine may receive while others send; sends are taken one after the other.
#pragma once
#include <memory>
#include <string>
#include <string_view>

#include "base/event.hpp"
#include "execd/http/answer.hpp"
#include "execd/http/stream.hpp"
#include "execd/http/ws_codec.hpp"

namespace execd::http {

struct WsOptions {
    std::uint64_t max_message = 16ULL << 20;  // bytes
    Duration ping_every = std::chrono::seconds(30);
    Duration idle = std::chrono::seconds(60);  // without any frame of the peer
    Duration write_stall = std::chrono::seconds(30);
};

struct WsMessage {
    bool text = false;
    std::string data;
};

class WebSocket {
  public:
    WebSocket(Stream& stream, std::string early, WsOptions options = {});

    /// The next whole message. Code::disconnected when the peer closed (close_code() says how) or went away,
    /// Code::timed_out when it was silent too long, Code::decode when it broke the protocol (it was told so).
    [[nodiscard]] Task<Result<WsMessage>> receive();
    [[nodiscard]] Task<Result<void>> send_text(std::string_view text) {
        return send(WsOpcode::text, {}, text);
    }
    /// `prefix` and `data` are one message: a type byte in front of bytes that lie elsewhere.
    [[nodiscard]] Task<Result<void>> send_binary(std::string_view prefix, std::string_view data) {
        return send(WsOpcode::binary, prefix, data);
    }
    /// Sends a close frame, waits a moment for the peer's and closes the connection. Idempotent.
    [[nodiscard]] Task<void> close(std::uint16_t code, std::string_view reason);
    /// Closes the connection without a word; what waits on it ends with an error.
    void abort() { stream_.close(); }
    /// What the peer's close frame said; 1005 without a code, 1006 without a frame.
    [[nodiscard]] std::uint16_t close_code() const { return close_code_; }
    [[nodiscard]] bool open() const { return !closing_ && stream_.open(); }

  private:
    Task<Result<void>> send(WsOpcode opcode, std::string_view prefix, std::string_view data);
    Task<Result<void>> send_frame(WsOpcode opcode, std::string prefix, std::string_view data);
    Task<Result<std::span<char>>> more();
    Task<void> await_close_frame();

    Stream& stream_;
    WsOptions options_;
    ByteBudget::Claim held_;  // the message being received, and the last one until the next is asked for
    ledger::Token token_;
    WsReader reader_;
    std::string buffer_;
    std::span<char> unread_;
    TimePoint heard_;
    TimePoint pinged_;
    std::uint16_t close_code_ = 1006;
    bool closing_ = false;  // a close frame was sent
    bool receiving_ = false;
    Event received_;
    bool writing_ = false;
    Event write_free_;
};

/// What runs a WebSocket of a route.
class WebSocketHandler {
  public:
    virtual ~WebSocketHandler() = default;
    [[nodiscard]] virtual Task<void> serve(WebSocket& socket) = 0;
};

/// Checks the upgrade request; the answer is 101 with the handshake, or a refusal in plain text as the
/// contract has it (400 `Bad Request`, contracts/opensandbox.md §13.8). `protocol` is the chosen subprotocol,
/// or empty.
[[nodiscard]] Answer upgrade_to_websocket(Head const& head, std::unique_ptr<WebSocketHandler> handler,
                                          std::string_view protocol = {}, WsOptions options = {});
[[nodiscard]] bool is_websocket_request(Head const& head);

}  // namespace execd::http
