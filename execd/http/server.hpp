// Server: listeners, connections and their budgets. Hands each request through DESIGN's order: raw-header
// scan, target stage, route lookup, authorisation (unknown paths too), body, handler.
//
// Thread: the reactor. Owner: the daemon. Shutdown: stop_accepting(), then drain(deadline): idle connections
// close at once, busy ones get `Connection: close` and until the deadline to finish.
#pragma once
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/loop.hpp"
#include "base/scope.hpp"
#include "execd/http/byte_budget.hpp"
#include "execd/http/request_figures.hpp"
#include "execd/http/route.hpp"

namespace execd::http {

struct Limits {
    std::size_t head_bytes = 64U << 10;
    Duration head = std::chrono::seconds(30);   // from a request's first byte to its empty line
    Duration idle = std::chrono::seconds(120);  // between requests (clients keep theirs for 30 to 60 s)
    Duration body_progress = std::chrono::seconds(60);  // without a byte of the body
    /// Bytes a second that a body must bring on average once body_progress was spent on waiting for it. Not
    /// for a chunked body that the handler reads as it comes: that may be a conversation.
    std::uint64_t body_rate = 100;
    Duration write_stall = std::chrono::seconds(60);  // without the client taking a byte
    Duration linger = std::chrono::seconds(5);  // reading on after the last answer, so that it is not reset
    std::uint64_t requests_per_connection = 1'000'000;
    std::uint64_t drain_body = 256U << 10;  // unread body bytes swallowed to keep a connection alive
    std::size_t connections = 20'000;
    std::size_t connections_per_client = 16'000;
    std::uint64_t buffered = 256U << 20;             // bytes held in memory over all connections
    std::uint64_t buffered_per_client = 128U << 20;  // and over those of one client address
    /// A first byte that took longer is a line in the log; zero: none is.
    Duration slow = std::chrono::seconds(5);
};

/// May rewrite `call.path` and `call.mount` (a proxy to ourselves) or answer by itself (a proxy to another
/// port). Runs before route lookup.
using TargetStage = std::function<void(Call& call)>;
using Authorize = std::function<Result<Principal>(Call const& call, Dialect& dialect)>;

struct Counters {
    std::uint64_t accepted = 0;
    std::uint64_t refused = 0;  // over a connection budget
    std::uint64_t requests = 0;
    std::uint64_t bad_heads = 0;
};

class Connection;
struct Traffic;

class Server {
  public:
    Server(Loop& loop, Router const& router, Limits limits, Authorize authorize,
           std::vector<TargetStage> stages);
    ~Server();
    Server(Server const&) = delete;
    Server& operator=(Server const&) = delete;

    /// Port 0 takes any free one. An empty host is dual stack (IPv4 alone where there is no IPv6). Returns
    /// what was bound; nothing is accepted before start().
    [[nodiscard]] Result<ListenerInfo> listen_tcp(std::string host, unsigned short port);
    /// Replaces a stale socket file; removed again at the end.
    [[nodiscard]] Result<ListenerInfo> listen_unix(std::string path);
    void start();
    void stop_accepting();
    [[nodiscard]] Task<void> drain(Deadline deadline);
    /// After drain(): requests had to be cut because the deadline passed.
    [[nodiscard]] bool cut() const { return cut_; }

    /// Serves one already connected socket (tests; inherited sockets).
    void adopt(UniqueFd fd, int family, ListenerInfo const& listener);

    [[nodiscard]] Counters const& counters() const { return counters_; }
    [[nodiscard]] FiguresByDialect const& figures() const { return figures_; }
    /// Bytes of clients' connections, upgraded ones too.
    [[nodiscard]] Traffic const& traffic() const { return *traffic_; }
    [[nodiscard]] ByteBudget const& budget() const { return budget_; }
    [[nodiscard]] std::size_t connections() const { return live_.size(); }
    [[nodiscard]] std::list<ListenerInfo> const& listeners() const { return infos_; }

  private:
    friend class Connection;
    struct Listener;
    Task<void> accept_loop(Listener& listener);
    void accepted(UniqueFd fd, int family, ListenerInfo const& listener);
    Result<ListenerInfo> add_listener(UniqueFd fd, int family, ListenerInfo info);
    /// "<this process>-<number>": what a request is called that brought no name.
    [[nodiscard]] std::string next_request_id();

    Loop* loop_;
    Router const* router_;
    Limits limits_;
    Authorize authorize_;
    std::vector<TargetStage> stages_;
    ByteBudget budget_;  // before the scope: what runs in it holds claims
    Scope scope_;
    std::list<ListenerInfo> infos_;
    std::vector<std::unique_ptr<Listener>> listeners_;
    std::set<Connection*> live_;
    std::map<std::string, std::size_t> per_client_;
    Counters counters_;
    FiguresByDialect figures_;
    std::shared_ptr<Traffic> traffic_;
    std::string process_id_;
    std::uint64_t named_ = 0;  // requests that brought no name, those that nobody could read too
    bool draining_ = false;
    bool cut_ = false;
};

}  // namespace execd::http
