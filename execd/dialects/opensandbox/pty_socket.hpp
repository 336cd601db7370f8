// The WebSocket of a terminal (contracts/opensandbox.md §1.9): replay, live output, input, takeover, viewers.
#pragma once
#include <cstdint>
#include <memory>
#include <string>

#include "execd/http/websocket.hpp"
#include "execd/services.hpp"
#include "shell/terminal.hpp"

namespace execd::opensandbox {

/// What the client asked for in the query.
struct PtyWish {
    bool pipes = false;
    bool takeover = false;
    bool viewer = false;
    std::uint64_t since = 0;
};

/// One attached client. A viewer neither starts nor types; everybody else holds the writer.
class PtySocket final : public http::WebSocketHandler {
  public:
    PtySocket(Services& services, std::shared_ptr<shell::Terminal> terminal, PtyWish wish);
    /// Of a client that need not take over: held before its handshake is answered, so that two cannot be let
    /// in.
    void hold(std::shared_ptr<shell::Writer> writer) { writer_ = std::move(writer); }
    [[nodiscard]] Task<void> serve(http::WebSocket& socket) override;
    [[nodiscard]] static http::WsOptions options();

  private:
    Task<bool> begin();
    Task<bool> replay(shell::Cursor& cursor);
    Task<void> receive();
    Task<void> send(shell::Cursor cursor);
    Task<bool> send_batch(shell::Batch const& batch);
    Task<void> say_end();
    Task<void> on_bytes(std::string_view bytes);
    Task<void> on_text(std::string_view text);
    Task<void> type(std::string bytes);
    Task<void> say(std::string_view type, std::string_view code, std::string_view what);
    void finish();
    [[nodiscard]] bool lost() const { return writer_ && !writer_->valid(); }

    Services& services_;
    std::shared_ptr<shell::Terminal> terminal_;
    PtyWish wish_;
    std::shared_ptr<shell::Writer> writer_;
    http::WebSocket* socket_ = nullptr;
    Timer eviction_;
    std::uint64_t replay_to_ = 0;
    bool over_ = false;  // the client is gone or was sent away
    bool gap_ = false;   // the next bytes carry their offset
};

}  // namespace execd::opensandbox
