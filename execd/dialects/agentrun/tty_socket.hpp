// The WebSocket of a terminal (contracts/agentrun.md §2.5): a shell of its own for every connection, killed
// with it. Protocol "json": typed frames and a heartbeat; "text": keystrokes in, the terminal's text out,
// and a binary frame of 8 bytes for its size.
#pragma once
#include <memory>
#include <string>

#include "base/utf8.hpp"
#include "execd/dialects/agentrun/heartbeat.hpp"
#include "execd/dialects/agentrun/parts.hpp"
#include "execd/http/websocket.hpp"
#include "shell/terminal.hpp"

namespace execd::agentrun {

class TtySocket final : public http::WebSocketHandler {
  public:
    TtySocket(StatePtr state, std::shared_ptr<shell::Terminal> terminal, std::string cwd, bool json);
    ~TtySocket() override;
    [[nodiscard]] Task<void> serve(http::WebSocket& socket) override;
    [[nodiscard]] static http::WsOptions options();

  private:
    Task<bool> begin();
    Task<void> receive();
    Task<void> send();
    Task<bool> send_batch(shell::Batch const& batch);
    Task<bool> send_output(std::string_view bytes);
    /// False: the client was silent for too long and was told so.
    Task<bool> check_heartbeat();
    Task<void> say_end();
    Task<void> on_text(std::string text);
    Task<void> on_bytes(std::string bytes);
    Task<void> type(std::string bytes);
    void resize(std::int64_t rows, std::int64_t columns);
    /// Nothing in text mode. False: the client has gone.
    Task<bool> say(std::string frame);
    void finish();
    [[nodiscard]] TimePoint now() const { return state_->services.loop.clock().now(); }

    StatePtr state_;
    std::shared_ptr<shell::Terminal> terminal_;
    std::string cwd_;
    bool json_;
    std::shared_ptr<shell::Writer> writer_;
    http::WebSocket* socket_ = nullptr;
    Utf8Decoder decoder_;
    Heartbeat heartbeat_;
    bool over_ = false;
};

}  // namespace execd::agentrun
