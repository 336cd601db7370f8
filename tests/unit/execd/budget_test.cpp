// What the HTTP core keeps in memory for others is bounded, per client and in all, before it is allocated.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <nlohmann/json.hpp>

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

// What requests and answers made large is counted while it is there and not kept by a connection that rests.
std::string large_head() {
    std::string out = "GET /ping HTTP/1.1\r\nHost: x\r\n";
    for (int i = 0; i < 100; ++i) out += "a: " + std::string(500, 'b') + "\r\n";
    return out + "\r\n";
}

Row file_row(UniqueFd const& file, std::uint64_t size) {
    return sync_row("GET", "/file", [&file, size](Call&) -> Result<Answer> {
        Answer answer;
        answer.body = FilePart{UniqueFd(::dup(file.get())), 0, size};
        return answer;
    });
}

UniqueFd file_of(std::size_t size) {
    UniqueFd file(::memfd_create("test", MFD_CLOEXEC));
    std::string const all(size, 'f');
    EXPECT_EQ(::write(file.get(), all.data(), all.size()), static_cast<ssize_t>(size));
    return file;
}

Row ping_row() {
    return sync_row("GET", "/ping",
                    [](Call&) -> Result<Answer> { return Answer::bytes(200, "text/plain", "pong"); });
}

Task<Result<Answer>> later() { co_return Answer::bytes(200, "text/plain", "later"); }

std::string receive_all(Harness& h, Client& c, std::size_t size) {
    std::string got = c.receive();
    for (int i = 0; i < 1000 && got.size() < size; ++i) {
        h.clock.settle();
        got += c.receive();
    }
    return got;
}

TEST(Budget, LargeHeadsAndSmallFilesAreCountedUntilTheConnectionRests) {
    UniqueFd const file = file_of(200'000);
    Harness h(
        {ping_row(), file_row(file, 200'000), async_row("GET", "/later", [](Call&) { return later(); })});
    for (std::string request : {large_head(), std::string("GET /file HTTP/1.1\r\nHost: x\r\n\r\n")}) {
        Client c = h.connect();
        c.send(request);
        h.clock.settle();
        bool const large_head = request.size() > 1000;
        EXPECT_GE(h.server->budget().held(), large_head ? 90'000U : 190'000U)
            << "the text, and where it was read";
        std::string const answer = receive_all(h, c, large_head ? 4 : 200'000);
        EXPECT_EQ(status_of(answer), 200);
        EXPECT_GE(body_of(answer).size(), large_head ? 4U : 199'000U);
        // A handler of its own leaves a read behind that looks into the buffer.
        c.send("GET /later HTTP/1.1\r\nHost: x\r\n\r\n");
        h.clock.settle();
        EXPECT_EQ(body_of(c.receive()), "later");
        EXPECT_GT(h.server->budget().held(), 0U) << "the next request may come at once";
        h.clock.advance(2s);
        EXPECT_EQ(h.server->budget().held(), 0U);
        c.send("GET /ping HTTP/1.1\r\nHost: x\r\n\r\n");
        h.clock.settle();
        EXPECT_EQ(body_of(c.receive()), "pong") << "it is served as before";
        h.clock.advance(121s);
        c.receive();
        EXPECT_TRUE(c.closed()) << "the rest does not prolong the idle deadline";
    }
}

Task<Result<Answer>> file_later(UniqueFd const& file, int& opened) {
    Answer answer;
    answer.body = FilePart{UniqueFd(::dup(file.get())), 0, 100};
    opened = std::get<FilePart>(answer.body).fd.get();
    co_return answer;
}

TEST(Budget, AnAnswerIsNotKeptByTheConnectionThatSentIt) {
    UniqueFd const file = file_of(100);
    int opened = -1;
    Harness h({async_row("GET", "/file", [&](Call&) { return file_later(file, opened); })});
    Client c = h.connect();
    c.send("GET /file HTTP/1.1\r\nHost: x\r\n\r\n");
    EXPECT_EQ(body_of(receive_all(h, c, 100)).size(), 100U);
    EXPECT_GE(opened, 0);
    EXPECT_EQ(::fcntl(opened, F_GETFD), -1) << "the file would stay open for as long as its reader stays";
}

TEST(Budget, WithoutItLargeHeadsAreRefusedAndFilesAreSentByTheKernel) {
    UniqueFd const file = file_of(200'000);
    Limits limits;
    limits.buffered = limits.buffered_per_client = 80'000;
    Harness h({ping_row(), file_row(file, 200'000)}, limits);
    EXPECT_EQ(status_of(h.ask(large_head())), 503);
    Client c = h.connect();
    c.send("GET /file HTTP/1.1\r\nHost: x\r\n\r\n");
    std::string got;
    auto const until = std::chrono::steady_clock::now() + 5s;  // the pool's thread runs in real time
    while (got.size() < 200'000 && std::chrono::steady_clock::now() < until) {
        h.io.restart();
        h.io.run_one_for(10ms);
        got += c.receive();
    }
    EXPECT_EQ(body_of(got).size(), 200'000U);
}

std::string ask_in_real_time(Harness& h, std::string_view request) {
    Client c = h.connect();
    c.send(request);
    std::string got;
    auto const until = std::chrono::steady_clock::now() + 5s;
    while (got.find("\r\n\r\n") == std::string::npos && std::chrono::steady_clock::now() < until) {
        h.io.restart();
        h.io.run_one_for(10ms);
        got += c.receive();
    }
    return got;
}

TEST(SmallFiles, OnesThatBecameShorterOrCannotBeReadAreErrors) {
    UniqueFd const file = file_of(1000);
    Harness h({ping_row(), file_row(file, 2000)});
    std::string const shorter = ask_in_real_time(h, "GET /file HTTP/1.1\r\nHost: x\r\n\r\n");
    EXPECT_EQ(status_of(shorter), 500);
    EXPECT_NE(shorter.find("became shorter"), std::string::npos) << shorter;
    fault::arm("read", 1, EIO);
    std::string const broken = ask_in_real_time(h, "GET /file HTTP/1.1\r\nHost: x\r\n\r\n");
    fault::disarm();
    EXPECT_NE(broken.find(errno_text(EIO)), std::string::npos) << broken;
    EXPECT_EQ(body_of(h.ask("GET /ping HTTP/1.1\r\nHost: x\r\n\r\n")), "pong");
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
    std::string const refused = fourth.receive();
    EXPECT_EQ(status_of(refused), 503);
    EXPECT_TRUE(fourth.closed());
    // Whose client it is was never read: OpenSandbox, AgentRun and AIO each find their members.
    auto const body = nlohmann::json::parse(body_of(refused), nullptr, false);
    ASSERT_TRUE(body.is_object()) << refused;
    EXPECT_EQ(body["code"], "TOO_MANY_CONNECTIONS");
    EXPECT_EQ(body["error"]["message"], body["message"]);
    EXPECT_EQ(body["detail"], body["message"]);
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

// An orderly end of the client's side is all that can be seen of a client that left, or of one that only says
// that it will not ask again.
TEST(OnDisconnect, AClientThatEndsItsSideHearsFromWhatIsKeptAndFromNothingElse) {
    for (auto const what : {OnDisconnect::keep, OnDisconnect::cancel, OnDisconnect::interrupt}) {
        Watched watched;
        Harness h({watched.row(what)});
        Client c = h.connect();
        c.send("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n");
        h.clock.settle();
        c.shutdown_write();
        h.clock.settle();
        watched.go.notify_all();
        h.clock.advance(6s);
        std::string const got = c.receive();
        EXPECT_EQ(got.empty(), what != OnDisconnect::keep) << got;
        EXPECT_EQ(watched.interrupted, what == OnDisconnect::interrupt ? 1 : 0);
        EXPECT_TRUE(c.closed());
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
