// ReverseProxy: HTTP and WebSockets to a port of this container, both ways without buffering: 127.0.0.1
// first, ::1 when nobody listens there. Hop-by-hop headers and our own credentials stay here. Upstream
// connections are kept and used again. Source: contracts/opensandbox.md §1.11.
//
// Thread: the reactor. Owner: the daemon.
#pragma once
#include <list>
#include <map>
#include <memory>
#include <string>

#include "execd/http/route.hpp"
#include "execd/http/stream.hpp"

namespace execd::http {

class ReverseProxy {
  public:
    struct Options {
        Duration connect = std::chrono::seconds(5);
        Duration stall = std::chrono::seconds(60);
        Duration keep_idle = std::chrono::seconds(30);  // below the usual 60 to 75 s of servers
        std::size_t idle_per_port = 32;
        std::size_t head_bytes = 64U << 10;
        /// True for a header that carries one of our own credentials.
        std::function<bool(std::string_view name, std::string_view value)> is_credential;
        /// The same for a query pair ("Authorization", "ticket").
        std::function<bool(std::string_view name, std::string_view value)> is_query_credential;
        /// A cookie of ours that stays here.
        std::string session_cookie;
    };
    ReverseProxy(Loop& loop, Options options);
    ~ReverseProxy();
    ReverseProxy(ReverseProxy const&) = delete;
    ReverseProxy& operator=(ReverseProxy const&) = delete;

    /// `target` is the raw path and query for the upstream ("/x?y=1"). Code::unavailable with the port in its
    /// text when nothing answers there.
    [[nodiscard]] Task<Result<Answer>> forward(Call& call, unsigned short port, std::string target);

    [[nodiscard]] std::size_t idle_upstreams() const;

    struct Upstream;

  private:
    friend class ProxyExchange;
    /// One that waits and is still good, or null.
    std::unique_ptr<Upstream> take(unsigned short port);
    Task<Result<std::unique_ptr<Upstream>>> connect(unsigned short port);
    void give_back(std::unique_ptr<Upstream> upstream);
    /// Closes what waited for keep_idle and comes again for the next.
    void drop_idle();
    void drop_idle_at(TimePoint idle_since);
    std::string without_credentials(std::string target) const;
    std::string request_head(Call const& call, unsigned short port, std::string const& target) const;

    Loop* loop_;
    Options options_;
    std::map<unsigned short, std::list<std::unique_ptr<Upstream>>> idle_;  // each port's oldest first
    Timer idle_timer_;                                                     // armed while anything waits
};

/// Bytes both ways until one side ended and the other was given a moment; neither frames nor messages are
/// looked at.
[[nodiscard]] Task<void> tunnel(Stream& a, Stream& b, std::string early_for_a, std::string early_for_b,
                                Duration stall);

}  // namespace execd::http
