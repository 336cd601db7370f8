// What the HTTP core keeps in memory for others is bounded, per client and in all, before it is allocated.
#include <sys/socket.h>

#include "base/fault.hpp"
#include "base/ledger.hpp"
#include "execd/http/websocket.hpp"
#include "http_harness.hpp"

namespace execd::http {
namespace {

using namespace std::chrono_literals;

TEST(ByteBudget, ClientsAndTheWholeAreBounded) {
    ByteBudget budget(100, 60);
    ByteBudget::Claim a(&budget, "a");
    ByteBudget::Claim more_of_a(&budget, "a");
    EXPECT_TRUE(a.grow_to(50));
    EXPECT_TRUE(a.grow_to(20)) << "it holds more already";
    EXPECT_EQ(budget.held(), 50U);
    EXPECT_FALSE(more_of_a.grow_to(11));
    EXPECT_TRUE(more_of_a.grow_to(10));
    ByteBudget::Claim b(&budget, "b");
    EXPECT_FALSE(b.grow_to(41));
    EXPECT_TRUE(b.grow_to(40));
    a.release();
    EXPECT_EQ(budget.held(), 50U);
    EXPECT_FALSE(b.grow_to(61)) << "over its own share";
    EXPECT_TRUE(b.grow_to(60));
    EXPECT_EQ(budget.refused(), 3U);
    EXPECT_TRUE(ByteBudget::Claim().grow_to(1ULL << 60)) << "a claim on nothing";
}

Task<Result<Answer>> keep_body(Call& call, Event& go) {
    auto body = co_await call.body->read_all(1U << 20);
    if (!body) co_return Failure(body.error());
    bool const woken = co_await go.wait();
    co_return Answer::bytes(200, "text/plain", std::to_string(body->size()) + (woken ? "" : "?"));
}

TEST(Budget, BodiesBeyondItAreRefusedAndTheRestGoesOn) {
    Event go;
    Limits limits;
    limits.buffered = 300U << 10;
    limits.buffered_per_client = 300U << 10;
    Harness h({async_row("POST", "/keep", [&go](Call& call) { return keep_body(call, go); })}, limits);
    std::string const request =
        "POST /keep HTTP/1.1\r\nHost: x\r\nContent-Length: 131072\r\n\r\n" + std::string(131072, 'x');
    Client first = h.connect();
    Client second = h.connect();
    Client third = h.connect();
    for (Client* client : {&first, &second, &third}) {
        std::string_view rest = request;
        while (!rest.empty()) {
            ssize_t const n = ::send(client->fd(), rest.data(), std::min<std::size_t>(rest.size(), 16384),
                                     MSG_NOSIGNAL | MSG_DONTWAIT);
            if (n < 0) break;
            rest.remove_prefix(static_cast<std::size_t>(n));
            h.clock.settle();
        }
    }
    EXPECT_LE(h.server->budget().held(), 300U << 10);
    EXPECT_NE(third.receive().find("too many bytes"), std::string::npos);
    EXPECT_EQ(first.receive(), "");
    go.notify_all();
    h.clock.settle();
    EXPECT_EQ(body_of(first.receive()), "131072");
    EXPECT_EQ(body_of(second.receive()), "131072");
    first.close();
    second.close();
    third.close();
    h.clock.advance(6s);
    EXPECT_EQ(h.server->budget().held(), 0U);
}

TEST(Budget, WhatIsOnlyAnnouncedIsNotHeld) {
    Event go;
    Limits limits;
    limits.buffered = limits.buffered_per_client = 256U << 10;
    Harness h({async_row("POST", "/keep", [&go](Call& call) { return keep_body(call, go); })}, limits);
    std::vector<Client> clients;
    for (int i = 0; i < 50; ++i) {
        clients.push_back(h.connect());
        clients.back().send("POST /keep HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n");
    }
    h.clock.settle();
    EXPECT_LT(h.server->budget().held(), 1024U);
}

class Sink final : public WebSocketHandler {
  public:
    Task<void> serve(WebSocket& socket) override {
        for (;;) {
            auto message = co_await socket.receive();
            if (!message) co_return;
        }
    }
};
Task<Result<Answer>> sink(Call& call) {
    co_return upgrade_to_websocket(*call.head, std::make_unique<Sink>());
}

TEST(Budget, AWebSocketMessageBeyondItIsClosedWith1013) {
    Limits limits;
    limits.buffered = limits.buffered_per_client = 100'000;
    Harness h({async_row("GET", "/ws", [](Call& call) { return sink(call); })}, limits);
    Client c = h.connect();
    c.send(
        "GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
    h.clock.settle();
    EXPECT_EQ(status_of(c.receive()), 101);
    WsFrame head;
    head.opcode = WsOpcode::binary;
    head.masked = true;
    head.length = 50'000;
    std::string const frame = std::string(ws_frame_head(head).view()) + std::string(50'000, 'x');
    c.send(frame);  // within
    h.clock.settle();
    EXPECT_EQ(c.receive(), "");
    head.length = 150'000;
    c.send(ws_frame_head(head).view());
    for (int i = 0; i < 10; ++i) {
        c.try_send(std::string(15'000, 'x'));
        h.clock.settle();
    }
    h.clock.advance(3s);
    std::string const close = c.receive();
    ASSERT_GE(close.size(), 4U);
    EXPECT_EQ(close.substr(2, 2), "\x03\xF5");  // 1013
    EXPECT_TRUE(c.closed());
    EXPECT_EQ(h.server->budget().held(), 0U);
}

TEST(Budget, ConnectionsOverTheBudgetAreAnswered503) {
    Limits limits;
    limits.connections = 3;
    Harness h({sync_row("GET", "/ping",
                        [](Call&) -> Result<Answer> { return Answer::bytes(200, "text/plain", "pong"); })},
              limits);
    std::vector<Client> clients;
    for (int i = 0; i < 3; ++i) clients.push_back(h.connect());
    Client fourth = h.connect();
    EXPECT_EQ(status_of(fourth.receive()), 503);
    EXPECT_TRUE(fourth.closed());
    clients.pop_back();
    h.clock.settle();
    EXPECT_EQ(body_of(h.ask("GET /ping HTTP/1.1\r\nHost: x\r\n\r\n")), "pong");
    EXPECT_EQ(h.server->counters().refused, 1U);
}

// ---- what the client's leaving does
// ---------------------------------------------------------------------------------

struct Watched {
    Event go;
    int interrupted = 0;
    int finished = 0;
    static Task<Result<Answer>> run(Watched& self) {
        bool const woken = co_await self.go.wait();
        if (!woken) co_return fail(Code::cancelled, "wait");
        ++self.finished;
        co_return Answer::empty();
    }
    Row row(OnDisconnect what) {
        Row out = async_row("GET", "/wait", [this](Call&) { return run(*this); });
        out.on_disconnect = what;
        if (what == OnDisconnect::interrupt) out.interrupt = [this](Call&) { ++interrupted; };
        return out;
    }
};

TEST(OnDisconnect, KeepCancelAndInterrupt) {
    for (auto const what : {OnDisconnect::keep, OnDisconnect::cancel, OnDisconnect::interrupt}) {
        Watched watched;
        Harness h({watched.row(what)});
        Client c = h.connect();
        c.send("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n");
        h.clock.settle();
        EXPECT_TRUE(watched.go.has_waiters());
        c.close();
        h.clock.settle();
        EXPECT_EQ(watched.go.has_waiters(), what == OnDisconnect::keep);
        EXPECT_EQ(watched.interrupted, what == OnDisconnect::interrupt ? 1 : 0);
        watched.go.notify_all();
        h.clock.settle();
        EXPECT_EQ(watched.finished, what == OnDisconnect::keep ? 1 : 0);
        EXPECT_EQ(h.server->connections(), 0U);
    }
}

TEST(Ledger, NothingIsOutstandingWhenTheServerIsGone) {
    std::string const before = ledger::report();
    {
        Watched watched;
        Harness h({watched.row(OnDisconnect::cancel)});
        Client c = h.connect();
        c.send("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n");
        h.clock.settle();
        EXPECT_NE(ledger::report().find("http.connection"), std::string::npos);
        EXPECT_NE(ledger::report().find("http.stream"), std::string::npos);
    }
    EXPECT_EQ(ledger::report(), before);
}

}  // namespace
}  // namespace execd::http
