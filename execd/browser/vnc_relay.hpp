// VncRelay: a viewer's WebSocket and the VNC server's TCP connection: RFB in binary messages, as noVNC and
// websockify speak it. Nothing is read from the server before the viewer took what came before, so a viewer
// that stops reading costs one block and is dropped after five seconds.
//
// Thread: the reactor. Owner: the connection that was upgraded.
#pragma once
#include <memory>
#include <string>

#include "browser_proxy/supervisor.hpp"
#include "execd/http/stream.hpp"
#include "execd/http/websocket.hpp"

namespace execd::browser {

class VncRelay final : public http::WebSocketHandler {
  public:
    VncRelay(browser_proxy::Supervisor& supervisor, std::unique_ptr<http::Stream> server,
             std::shared_ptr<void> lease);
    Task<void> serve(http::WebSocket& socket) override;
    [[nodiscard]] static http::WsOptions options();

  private:
    Task<void> up();
    Task<void> down();

    browser_proxy::Supervisor& supervisor_;
    std::unique_ptr<http::Stream> server_;
    std::shared_ptr<void> lease_;
    http::WebSocket* socket_ = nullptr;
    bool viewer_left_ = false;
};

}  // namespace execd::browser
