// What the reverse proxy keeps: connections that wait and memory, in virtual time, and the one name that a
// request has upstream.
#include <algorithm>

#include "execd/http/proxy.hpp"
#include "http_harness.hpp"

namespace execd::http {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kLarge = 4U << 20;

Result<Answer> show(Call& call) {
    std::string text;
    for (auto const& [name, value] : call.head->fields)
        text += std::string(name) + ": " + std::string(value) + "\n";
    return Answer::bytes(200, "text/plain", std::move(text));
}

// An upstream on loopback behind a front on in-memory sockets, on one clock.
struct Front {
    explicit Front(Limits limits = {})
        : front({async_row(
                    "*", "/p/{rest...}",
                    [this](Call& call) { return proxy->forward(call, port, "/" + call.param("rest")); })},
                limits) {
        std::vector<Row> rows{sync_row("GET", "/show", show),
                              sync_row("GET", "/large", [](Call&) -> Result<Answer> {
                                  return Answer::bytes(200, "text/plain", std::string(kLarge, 'l'));
                              })};
        for (auto& row : rows) row.operation_id = row.path;
        router = std::move(*Router::build(std::move(rows), {{"", &dialect}}));
        upstream = std::make_unique<Server>(front.loop, *router, Limits(), front.authorize,
                                            std::vector<TargetStage>());
        port = upstream->listen_tcp("127.0.0.1", 0)->port;
        upstream->start();
        proxy = std::make_unique<ReverseProxy>(front.loop, ReverseProxy::Options());
    }
    ~Front() {
        proxy.reset();
        Scope closing(front.loop, "test");
        closing.spawn("upstream", upstream->drain(Deadline::in(front.clock, 0s)));
        for (int i = 0; i < 50 && closing.running() > 0; ++i) front.clock.advance(100ms);
        EXPECT_EQ(closing.running(), 0U);
    }
    std::string ask(std::string_view request) {
        Client client = front.connect();
        client.send(request);
        std::string got;
        for (int i = 0; i < 50 && got.find("\r\n\r\n") == std::string::npos; ++i) {
            front.clock.settle();
            got += client.receive();
        }
        return got;
    }

    TestDialect dialect;
    std::unique_ptr<ReverseProxy> proxy;
    unsigned short port = 0;
    Harness front;
    std::unique_ptr<Router> router;
    std::unique_ptr<Server> upstream;
};

TEST(ProxyPool, WhatWaitsIsClosedAfterItsTimeWhetherAskedAgainOrNot) {
    Front t;
    ASSERT_EQ(status_of(t.ask("GET /p/show HTTP/1.1\r\nHost: x\r\n\r\n")), 200);
    EXPECT_EQ(t.proxy->idle_upstreams(), 1U);
    t.front.clock.advance(29s);
    EXPECT_EQ(t.proxy->idle_upstreams(), 1U);
    ASSERT_EQ(status_of(t.ask("GET /p/show HTTP/1.1\r\nHost: x\r\n\r\n")), 200);
    t.front.clock.advance(29s);
    EXPECT_EQ(t.proxy->idle_upstreams(), 1U) << "it was used meanwhile";
    t.front.clock.advance(2s);
    EXPECT_EQ(t.proxy->idle_upstreams(), 0U);
    EXPECT_EQ(t.upstream->connections(), 0U);
    EXPECT_EQ(t.upstream->counters().accepted, 1U);
}

TEST(ProxyPool, AServerThatIsGoneLeavesNothingBehind) {
    Front t;
    ASSERT_EQ(status_of(t.ask("GET /p/show HTTP/1.1\r\nHost: x\r\n\r\n")), 200);
    t.upstream->stop_accepting();
    t.front.clock.advance(121s);  // its own idle deadline closes its end
    EXPECT_EQ(t.proxy->idle_upstreams(), 0U);
}

TEST(ProxyHost, IsTheRequestsOneName) {
    Front t;
    std::string const own = "Host: 127.0.0.1:" + std::to_string(t.port) + "\n";
    struct Case {
        char const* request;
        std::string seen;
    };
    for (auto const& [request, seen] :
         {Case{"GET /p/show HTTP/1.1\r\nHost: me:1\r\n\r\n", "Host: me:1\n"},
          Case{"GET /p/show HTTP/1.0\r\n\r\n", own},
          Case{"GET http://real.host:8/p/show HTTP/1.1\r\nHost: other\r\n\r\n", "Host: real.host:8\n"}}) {
        std::string const got = body_of(t.ask(request));
        EXPECT_NE(got.find(seen), std::string::npos) << request << got;
        EXPECT_EQ(got.find("Host: ", got.find("Host: ") + 1), std::string::npos) << "twice: " << got;
    }
}

TEST(ProxyBudget, ReadersThatStandStillArePaidFor) {
    Front t;
    Client c = t.front.connect();
    c.send("GET /p/large HTTP/1.1\r\nHost: x\r\n\r\n");
    for (int i = 0; i < 20; ++i) t.front.clock.settle();
    EXPECT_GE(t.front.server->budget().held(), 256U << 10);
    std::string got;
    for (int i = 0; i < 2000 && got.size() < kLarge; ++i) {
        got += c.receive();
        t.front.clock.settle();
    }
    EXPECT_EQ(body_of(got).size(), kLarge);
    t.front.clock.advance(2s);
    EXPECT_EQ(t.front.server->budget().held(), 0U);
}

TEST(ProxyBudget, WithoutMemoryItGoesOnInSmallPieces) {
    Limits limits;
    limits.buffered = limits.buffered_per_client = 100U << 10;
    Front t(limits);
    Client c = t.front.connect();
    c.send("GET /p/large HTTP/1.1\r\nHost: x\r\n\r\n");
    std::string got;
    for (int i = 0; i < 2000 && got.size() < kLarge; ++i) {
        t.front.clock.settle();
        EXPECT_LE(t.front.server->budget().held(), limits.buffered);
        got += c.receive();
    }
    EXPECT_EQ(body_of(got).size(), kLarge);
    EXPECT_GT(t.front.server->budget().refused(), 0U);
}

}  // namespace
}  // namespace execd::http
