// Connections from the outside: what goes in as bytes and what comes out, in virtual time.
#include <sys/un.h>

#include "base/fault.hpp"
#include "http_harness.hpp"

namespace execd::http {
namespace {

using namespace std::chrono_literals;

Row ping() {
    return sync_row("GET", "/ping",
                    [](Call&) -> Result<Answer> { return Answer::bytes(200, "text/plain", "pong"); });
}

Task<Result<Answer>> echo(Call& call) {
    auto body = co_await call.body->read_all(1U << 20);
    if (!body) co_return Failure(body.error());
    co_return Answer::bytes(200, "text/plain", *body);
}

Row echo_row() {
    return async_row("POST", "/echo", [](Call& call) { return echo(call); });
}

TEST(Connection, AnswersAndKeepsAlive) {
    Harness h({ping()});
    Client c = h.connect();
    for (int i = 0; i < 3; ++i) {
        c.send("GET /ping HTTP/1.1\r\nHost: x\r\n\r\n");
        h.clock.settle();
        std::string const answer = c.receive();
        EXPECT_EQ(status_of(answer), 200);
        EXPECT_EQ(body_of(answer), "pong");
        EXPECT_NE(answer.find("Content-Length: 4\r\n"), std::string::npos);
    }
    EXPECT_FALSE(c.closed());
}

TEST(Connection, EveryChunkingOfARequestGivesTheSameAnswer) {
    Harness h({ping(), echo_row()});
    std::string const request =
        "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n "
        "world\r\n0\r\n\r\n"
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabcGET /ping HTTP/1.1\r\nHost: x\r\n\r\n";
    std::string whole;
    for (std::size_t step = 1; step <= request.size(); step += (step < 8 ? 1 : 13)) {
        Client c = h.connect();
        std::string got;
        for (std::size_t at = 0; at < request.size(); at += step) {
            c.send(std::string_view(request).substr(at, step));
            h.clock.settle();
            got += c.receive();
        }
        // Dates and ids are the only things that may differ.
        for (auto at = got.find("Date: "); at != std::string::npos; at = got.find("Date: ", at))
            got.erase(at, 37);
        for (auto at = got.find("X-Request-Id: "); at != std::string::npos;
             at = got.find("X-Request-Id: ", at))
            got.erase(at, got.find("\r\n", at) + 2 - at);
        if (whole.empty()) whole = got;
        EXPECT_EQ(got, whole) << "step " << step;
    }
    EXPECT_NE(whole.find("hello world"), std::string::npos);
    EXPECT_NE(whole.find("abc"), std::string::npos);
    EXPECT_NE(whole.find("pong"), std::string::npos);
}

TEST(Connection, PipelinedRequestsAreAnsweredInOrderWhileAHandlerWaits) {
    Event go;
    struct Wait {
        static Task<Result<Answer>> run(Event& event) {
            bool const woken = co_await event.wait();
            co_return Answer::bytes(200, "text/plain", woken ? "waited" : "cancelled");
        }
    };
    Harness h({ping(), async_row("GET", "/wait", [&go](Call&) { return Wait::run(go); })});
    Client c = h.connect();
    c.send("GET /wait HTTP/1.1\r\nHost: x\r\n\r\nGET /ping HTTP/1.1\r\nHost: x\r\n\r\n");
    h.clock.settle();
    EXPECT_EQ(c.receive(), "");
    go.notify_all();
    h.clock.settle();
    std::string const both = c.receive();
    EXPECT_LT(both.find("waited"), both.find("pong"));
}

TEST(Connection, TheSmugglingCorpusIsRefusedAndTheConnectionClosed) {
    Harness h({ping(), echo_row()});
    char const* corpus[] = {
        "GET /ping HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: identity\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
        "POST /echo HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET /ping HTTP/1.1\nHost: x\n\n",
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET /ping HTTP/1.1\r\nHost : x\r\n\r\n",
        "GET /ping HTTP/1.1\r\n\r\n",
        "GET /ping HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    };
    for (char const* request : corpus) {
        Client c = h.connect();
        c.send(std::string(request) + "GET /ping HTTP/1.1\r\nHost: x\r\n\r\n");
        h.clock.settle();
        std::string const answer = c.receive();
        EXPECT_GE(status_of(answer), 400) << request;
        EXPECT_EQ(answer.find("pong"), std::string::npos) << request;
        h.clock.advance(6s);
        c.receive();
        EXPECT_TRUE(c.closed()) << request;
    }
}

TEST(Connection, ExpectContinueIsAnsweredByTheFirstPullAfterTheRowWasFound) {
    Harness h({echo_row()});
    Client c = h.connect();
    c.send("POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    h.clock.settle();
    EXPECT_EQ(c.receive(), "HTTP/1.1 100 Continue\r\n\r\n");
    c.send("hi");
    h.clock.settle();
    EXPECT_EQ(body_of(c.receive()), "hi");
    // Nobody pulls on an unknown path: the final answer comes at once and the connection ends.
    Client d = h.connect();
    d.send("POST /nope HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    h.clock.settle();
    std::string const answer = d.receive();
    EXPECT_EQ(status_of(answer), 404);
    EXPECT_NE(answer.find("Connection: close"), std::string::npos);
}

TEST(Connection, HeadSendsTheLengthAndNoBody) {
    Harness h({ping()});
    std::string const answer = h.ask("HEAD /ping HTTP/1.1\r\nHost: x\r\n\r\n");
    EXPECT_NE(answer.find("Content-Length: 4\r\n"), std::string::npos);
    EXPECT_EQ(body_of(answer), "");
}

TEST(Connection, TrailingSlashIsTheSameResource) {
    Harness h({ping()});
    EXPECT_EQ(body_of(h.ask("GET /ping/ HTTP/1.1\r\nHost: x\r\n\r\n")), "pong");
}

TEST(Connection, SlowHeadGets408AtTheHeadDeadline) {
    Limits limits;
    limits.head = 30s;
    Harness h({ping()}, limits);
    Client c = h.connect();
    c.send("GET /ping HTTP/1.1\r\nHo");
    h.clock.advance(29s);
    EXPECT_EQ(c.receive(), "");
    c.send("st: x\r\n");  // another byte does not buy more time
    h.clock.advance(2s);
    EXPECT_EQ(status_of(c.receive()), 408);
    h.clock.advance(6s);
    c.receive();
    EXPECT_TRUE(c.closed());
}

TEST(Connection, IdleConnectionsEndSilently) {
    Harness h({ping()});
    Client c = h.connect();
    h.clock.advance(119s);
    c.receive();
    EXPECT_FALSE(c.closed());
    h.clock.advance(6s);
    EXPECT_EQ(c.receive(), "");
    EXPECT_TRUE(c.closed());
}

TEST(Connection, StalledBodyIs408) {
    Harness h({echo_row()});
    Client c = h.connect();
    c.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc");
    h.clock.advance(61s);
    EXPECT_EQ(status_of(c.receive()), 408);
}

// A byte every 50 s would hold its connection for ever if only silence counted.
TEST(Connection, BodiesThatTrickleInAre408) {
    std::string const head = "POST /echo HTTP/1.1\r\nHost: x\r\n";
    Row whole = echo_row();
    whole.body = BodyPolicy::json;
    for (bool const chunked : {false, true}) {
        Harness h({chunked ? whole : echo_row()});
        Client c = h.connect();
        c.send(head + (chunked ? "Transfer-Encoding: chunked\r\n\r\n" : "Content-Length: 100000\r\n\r\n"));
        std::string got;
        int turns = 0;
        for (; got.empty() && turns < 10; ++turns) {
            h.clock.advance(50s);
            c.try_send(chunked ? "1\r\na\r\n" : "a");
            h.clock.settle();
            got += c.receive();
        }
        EXPECT_EQ(status_of(got), 408) << chunked;
        EXPECT_EQ(turns, 2) << chunked;
    }
}

TEST(Connection, SlowButSteadyBodiesAndConversationsAreServed) {
    Harness h({echo_row()});
    Client steady = h.connect();
    steady.send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n");
    Client talk = h.connect();
    talk.send("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int turn = 0; turn < 12; ++turn) {  // ten minutes
        h.clock.advance(50s);
        steady.send(std::string(5000, 's'));
        talk.send("1\r\nt\r\n");
        h.clock.settle();
    }
    talk.send("0\r\n\r\n");
    h.clock.settle();
    EXPECT_EQ(body_of(steady.receive()), std::string(60000, 's'));
    EXPECT_EQ(body_of(talk.receive()), std::string(12, 't'));
}

TEST(Connection, BodiesOverTheRowsLimitAreRefusedBeforeTheyAreRead) {
    Row row = echo_row();
    row.body_limit = 4;
    Harness h({row});
    EXPECT_EQ(status_of(h.ask("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n")), 413);
    EXPECT_EQ(
        status_of(h.ask(
            "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")),
        413);
}

TEST(Connection, LargeHeadsGet431) {
    Harness h({ping()});
    EXPECT_EQ(status_of(h.ask("GET /ping HTTP/1.1\r\nHost: x\r\nA: " + std::string(70000, 'a'))), 431);
}

// ---- streams
// --------------------------------------------------------------------------------------------------------

class Ticks final : public Producer {
  public:
    Ticks(Clock& clock, int count, bool fail_first) : clock_(clock), count_(count), fail_first_(fail_first) {}
    Task<Result<void>> produce(Writer& writer) override {
        if (fail_first_) co_return fail(Code::io, "produce", "nothing came");
        for (int i = 0; i < count_; ++i) {
            writer.out() += "tick " + std::to_string(i) + "\n";
            auto sent = co_await writer.flush();
            if (!sent) co_return sent;
            bool const slept = co_await clock_.sleep_for(1s);
            if (!slept) co_return fail(Code::cancelled, "tick");
        }
        writer.out() += "end\n";
        co_return Result<void>();
    }

  private:
    Clock& clock_;
    int count_;
    bool fail_first_;
};

Task<Result<Answer>> ticks(Call& call, int count, bool fail_first) {
    co_return Answer::stream("text/event-stream",
                             std::make_unique<Ticks>(call.loop->clock(), count, fail_first));
}

Row stream_row(int count, bool fail_first = false) {
    return async_row("GET", "/ticks",
                     [count, fail_first](Call& call) { return ticks(call, count, fail_first); });
}

TEST(Stream, ChunksComeAsTheyAreMadeAndTheEndWithTheLast) {
    Harness h({stream_row(2)});
    Client c = h.connect();
    c.send("GET /ticks HTTP/1.1\r\nHost: x\r\n\r\n");
    h.clock.settle();
    std::string const first = c.receive();
    EXPECT_NE(first.find("Transfer-Encoding: chunked"), std::string::npos);
    EXPECT_EQ(body_of(first), "7\r\ntick 0\n\r\n");
    h.clock.advance(1s);
    EXPECT_EQ(c.receive(), "7\r\ntick 1\n\r\n");
    h.clock.advance(1s);
    EXPECT_EQ(c.receive(), "4\r\nend\n\r\n0\r\n\r\n");
    EXPECT_FALSE(c.closed());
}

TEST(Stream, AnErrorBeforeTheFirstByteIsAnOrdinaryAnswer) {
    Harness h({stream_row(1, true)});
    std::string const answer = h.ask("GET /ticks HTTP/1.1\r\nHost: x\r\n\r\n");
    EXPECT_EQ(status_of(answer), 500);
    EXPECT_NE(answer.find("nothing came"), std::string::npos);
}

TEST(Stream, Http10GetsItWithoutChunksUntilTheEndOfTheConnection) {
    Harness h({stream_row(0)});
    Client c = h.connect();
    c.send("GET /ticks HTTP/1.0\r\n\r\n");
    h.clock.settle();
    std::string const answer = c.receive();
    EXPECT_EQ(answer.find("chunked"), std::string::npos);
    EXPECT_EQ(body_of(answer), "end\n");
    h.clock.advance(6s);
    c.receive();
    EXPECT_TRUE(c.closed());
}

TEST(Stream, AClientThatLeavesCancelsAHandlerThatWorksForItAlone) {
    Harness h({stream_row(1000)});
    {
        Client c = h.connect();
        c.send("GET /ticks HTTP/1.1\r\nHost: x\r\n\r\n");
        h.clock.advance(3s);
        EXPECT_EQ(h.server->connections(), 1U);
    }
    h.clock.settle();
    EXPECT_EQ(h.server->connections(), 0U);
}

TEST(Stream, AReaderThatStopsIsCutOffAtTheStallDeadlineWithBoundedMemory) {
    struct Flood final : Producer {
        Task<Result<void>> produce(Writer& writer) override {
            for (;;) {
                writer.out().append(64U << 10, 'x');
                EXPECT_LE(writer.out().size(), 64U << 10);
                auto sent = co_await writer.flush();
                if (!sent) co_return sent;
            }
        }
    };
    struct Start {
        static Task<Result<Answer>> run() {
            co_return Answer::stream("text/plain", std::make_unique<Flood>());
        }
    };
    Harness h({async_row("GET", "/flood", [](Call&) { return Start::run(); })});
    Client c = h.connect();
    c.send("GET /flood HTTP/1.1\r\nHost: x\r\n\r\n");
    h.clock.settle();
    EXPECT_EQ(h.server->connections(), 1U);
    h.clock.advance(59s);
    EXPECT_EQ(h.server->connections(), 1U);
    h.clock.advance(2s);
    EXPECT_EQ(h.server->connections(), 0U);
}

// ---- order of the stages
// ----------------------------------------------------------------------------------------------

TEST(Order, UnknownPathsNeedACredentialToo) {
    Row open = ping();
    open.access = Access::open;
    Harness h({open, echo_row()});
    h.server = std::make_unique<Server>(
        h.loop, *h.router, Limits(),
        [](Call const&, Dialect&) -> Result<Principal> { return fail(Code::permission_denied, "auth"); },
        std::vector<TargetStage>());
    EXPECT_EQ(status_of(h.ask("GET /ping HTTP/1.1\r\nHost: x\r\n\r\n")), 200);
    EXPECT_EQ(status_of(h.ask("GET /nope HTTP/1.1\r\nHost: x\r\n\r\n")), 401);
    EXPECT_EQ(status_of(h.ask("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx")), 401);
}

TEST(Order, MethodsAreToldApart) {
    Harness h({ping()});
    EXPECT_EQ(status_of(h.ask("DELETE /ping HTTP/1.1\r\nHost: x\r\n\r\n")), 405);
    EXPECT_EQ(status_of(h.ask("GET /nope HTTP/1.1\r\nHost: x\r\n\r\n")), 404);
}

// ---- every failure point
// ------------------------------------------------------------------------------------------------

TEST(Faults, TheNthReadOrWriteFailsAndNothingLeaks) {
    for (char const* name : {"http.read", "http.write"}) {
        for (std::uint64_t n = 1;; ++n) {
            bool struck = false;
            {
                Harness h({ping(), echo_row(), stream_row(3)});
                fault::arm(name, n, ECONNRESET);
                Client c = h.connect();
                c.try_send(
                    "GET /ping HTTP/1.1\r\nHost: x\r\n\r\nPOST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: "
                    "3\r\n\r\nabc"
                    "GET /ticks HTTP/1.1\r\nHost: x\r\n\r\n");
                h.clock.advance(10s);
                struck = fault::struck();
                fault::disarm();
                // The connection is gone or has answered: in both cases the server still serves others.
                EXPECT_EQ(body_of(h.ask("GET /ping HTTP/1.1\r\nHost: x\r\n\r\n")), "pong")
                    << name << " " << n;
            }
            if (!struck) break;
            ASSERT_LT(n, 50U);
        }
    }
}

}  // namespace
}  // namespace execd::http
