// CdpRelay: a client's WebSocket spliced to one of Chromium's. No message is put together: a block is passed
// on as it was read, so a screenshot of any size costs one block of memory. Chromium's end is told to the
// client as a close frame with the reason.
//
// Thread: the reactor. Owner: the connection that was upgraded.
#pragma once
#include <memory>
#include <string>

#include "base/event.hpp"
#include "browser_proxy/supervisor.hpp"
#include "execd/browser/cdp_filter.hpp"
#include "execd/http/answer.hpp"
#include "execd/http/stream.hpp"

namespace execd::browser {

/// Connects to `path` ("/devtools/page/<id>") of Chromium's debugging port and makes the WebSocket handshake,
/// with a Host that it accepts and without an Origin. `early` is what came behind its answer.
/// Code::not_found: there is no such target; Code::unavailable.
struct CdpUpstream {
    std::unique_ptr<http::Stream> stream;
    std::string early;
};
[[nodiscard]] Task<Result<CdpUpstream>> connect_cdp(Loop& loop, unsigned short port, std::string path,
                                                    Deadline deadline);

class CdpRelay final : public http::Upgrade {
  public:
    /// `lease` is held as long as the client is there (a recording).
    CdpRelay(browser_proxy::Supervisor& supervisor, CdpUpstream upstream, std::uint64_t generation,
             std::shared_ptr<void> lease);
    Task<void> run(http::Stream& client, std::string early) override;

  private:
    Task<void> up();
    Task<void> down();
    Task<void> say_end();
    /// Whole frames between those of the downward direction.
    Task<void> inject(std::string frames);
    Task<bool> write_down(std::string_view bytes);
    void finish();

    browser_proxy::Supervisor& supervisor_;
    CdpUpstream upstream_;
    std::uint64_t generation_;
    std::shared_ptr<void> lease_;
    http::Stream* client_ = nullptr;
    std::string early_;
    CdpFilter filter_;
    http::WsReader below_;       // where the downward direction stands between frames
    std::string injected_;       // waits for the end of a message
    bool writing_ = false;       // somebody writes to the client
    bool closed_below_ = false;  // Chromium sent a close frame
    bool said_end_ = false;      // the close frame was ours
    bool finished_ = false;
    Event write_free_;
};

}  // namespace execd::browser
