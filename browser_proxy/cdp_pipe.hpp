// CdpPipe: the supervisor's own conversation with Chromium over --remote-debugging-pipe: JSON messages, each
// ended by a NUL byte, on descriptors 3 and 4 (Chromium, content/browser/devtools/devtools_pipe_handler). The
// port of clients is another one, so no client can keep us from asking.
//
// Thread: the reactor. Owner: shared by its reader (run()) and the supervisor.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.hpp"
#include "base/event.hpp"
#include "base/loop.hpp"
#include "base/unique_fd.hpp"

namespace execd::browser_proxy {

struct Target {
    std::string id;
    std::string type;  // "page", "iframe", "worker" ...
    std::string title;
    std::string url;
};

struct TargetEvent {
    enum class Kind { created, changed, destroyed, crashed } kind = Kind::created;
    Target target;  // of destroyed and crashed ones only the id
};

struct BrowserVersion {
    std::string protocol;  // "1.3"
    std::string product;   // "Chrome/156.0.8078.79"
    std::string revision;  // "@a21ce95c..."
    std::string user_agent;
    std::string javascript;  // of V8
};

class CdpPipe {
  public:
    /// `fd` is our end of a socket pair, non-blocking.
    CdpPipe(Loop& loop, UniqueFd fd, std::function<void(TargetEvent)> on_target);
    ~CdpPipe();
    CdpPipe(CdpPipe const&) = delete;
    CdpPipe& operator=(CdpPipe const&) = delete;

    /// Reads until the other side or close() ends it.
    [[nodiscard]] static Task<void> run(std::shared_ptr<CdpPipe> self);
    void close();
    [[nodiscard]] bool open() const { return open_; }

    [[nodiscard]] Task<Result<BrowserVersion>> version(Deadline deadline);
    /// From now on on_target hears of all targets, those that are there first.
    [[nodiscard]] Task<Result<void>> discover(Deadline deadline);
    [[nodiscard]] Task<Result<std::string>> create_page(std::string url, Deadline deadline);
    /// Code::not_found.
    [[nodiscard]] Task<Result<void>> activate(std::string id, Deadline deadline);
    [[nodiscard]] Task<Result<void>> close_target(std::string id, Deadline deadline);

  private:
    struct Reply;
    [[nodiscard]] Task<Result<std::unique_ptr<Reply>>> call(std::string method, std::string params,
                                                            Deadline deadline);
    [[nodiscard]] Task<Result<void>> about_target(std::string method, std::string id, Deadline deadline);
    void take(std::string_view bytes);
    void on_message(std::string_view text);

    Loop& loop_;
    Socket socket_;
    std::function<void(TargetEvent)> on_target_;
    std::map<std::int64_t, std::unique_ptr<Reply>> waiting_;  // null: no reply yet
    std::int64_t next_ = 1;
    Event replied_;
    std::string partial_;
    bool too_long_ = false;  // what comes until the next NUL is dropped
    bool open_ = true;
};

}  // namespace execd::browser_proxy
