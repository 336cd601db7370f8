// The reverse proxy between two servers of ours on loopback sockets, in real time.
#include "execd/http/proxy.hpp"

#include <arpa/inet.h>
#include <sys/socket.h>

#include "base/scope.hpp"
#include "execd/http/websocket.hpp"
#include "http_harness.hpp"

namespace execd::http {
namespace {

using namespace std::chrono_literals;

Task<Result<Answer>> show(Call& call) {
    std::string text(call.head->method);
    text += " " + std::string(call.head->target) + "\n";
    for (auto const& [name, value] : call.head->fields)
        text += std::string(name) + ": " + std::string(value) + "\n";
    auto body = co_await call.body->read_all(64U << 20);
    if (!body) co_return Failure(body.error());
    text += "\n" + *body;
    co_return Answer::bytes(200, "text/plain", std::move(text));
}

class Events final : public Producer {
  public:
    explicit Events(Event& next) : next_(next) {}
    Task<Result<void>> produce(Writer& writer) override {
        for (int i = 0; i < 3; ++i) {
            writer.out() += "data: " + std::to_string(i) + "\n\n";
            auto sent = co_await writer.flush();
            if (!sent) co_return sent;
            bool const woken = co_await next_.wait();
            if (!woken) co_return fail(Code::cancelled, "events");
        }
        co_return Result<void>();
    }

  private:
    Event& next_;
};

Task<Result<Answer>> events(Event& next) {
    co_return Answer::stream("text/event-stream", std::make_unique<Events>(next));
}

// Answers each piece of the body while the rest is still on its way.
class Duplex final : public Producer {
  public:
    explicit Duplex(BodyReader& body) : body_(body) {}
    Task<Result<void>> produce(Writer& writer) override {
        for (;;) {
            auto piece = co_await body_.next();
            if (!piece) co_return Failure(piece.error());
            if (piece->empty()) co_return Result<void>();
            auto sent = co_await writer.write(*piece);
            if (!sent) co_return sent;
        }
    }

  private:
    BodyReader& body_;
};
Task<Result<Answer>> duplex(Call& call) {
    co_return Answer::stream("text/plain", std::make_unique<Duplex>(*call.body));
}

class Echo final : public WebSocketHandler {
  public:
    Task<void> serve(WebSocket& socket) override {
        for (;;) {
            auto message = co_await socket.receive();
            if (!message) co_return;
            auto sent = co_await socket.send_text(message->data);
            if (!sent) co_return;
        }
    }
};
Task<Result<Answer>> websocket(Call& call) {
    co_return upgrade_to_websocket(*call.head, std::make_unique<Echo>());
}

struct Pair {
    asio::io_context io{1};
    RealClock clock{io};
    WorkPool pool;
    Loop loop{io, clock, pool};
    TestDialect dialect;
    Authorize everybody = [](Call const&, Dialect&) -> Result<Principal> { return Principal(); };
    Event next;
    ReverseProxy proxy{loop, [] {
                           ReverseProxy::Options options;
                           options.is_credential = [](std::string_view name, std::string_view) {
                               return name == "X-Secret";
                           };
                           options.is_query_credential = [](std::string_view, std::string_view value) {
                               return value == "secret one";
                           };
                           options.session_cookie = "session";
                           return options;
                       }()};
    std::unique_ptr<Router> upstream_router;
    std::unique_ptr<Router> front_router;
    std::unique_ptr<Server> upstream;
    std::unique_ptr<Server> front;
    unsigned short port = 0;
    unsigned short front_port = 0;

    static Task<Result<Answer>> forward(ReverseProxy& proxy, Call& call, unsigned short port) {
        std::string target = "/" + call.param("rest");
        if (!call.head->query.empty()) target += "?" + std::string(call.head->query);
        co_return co_await proxy.forward(call, port, std::move(target));
    }

    Pair() {
        loop.bind_thread();
        Row show_row = async_row("*", "/show/{x...}", [](Call& call) { return show(call); });
        show_row.body_limit = 64U << 20;
        Row duplex_row = async_row("POST", "/duplex", [](Call& call) { return duplex(call); });
        std::vector<Row> rows{show_row, duplex_row,
                              async_row("GET", "/events", [this](Call&) { return events(next); }),
                              async_row("GET", "/ws", [](Call& call) { return websocket(call); })};
        upstream_router = std::move(*Router::build(std::move(rows), {{"", &dialect}}));
        upstream =
            std::make_unique<Server>(loop, *upstream_router, Limits(), everybody, std::vector<TargetStage>());
        port = upstream->listen_tcp("127.0.0.1", 0)->port;
        upstream->start();
        Row relay = async_row("*", "/p/{rest...}", [this](Call& call) { return forward(proxy, call, port); });
        relay.body_limit = 64U << 20;
        Row dead = async_row("*", "/dead", [this](Call& call) { return forward(proxy, call, 1); });
        front_router = std::move(*Router::build({relay, dead}, {{"", &dialect}}));
        front =
            std::make_unique<Server>(loop, *front_router, Limits(), everybody, std::vector<TargetStage>());
        front_port = front->listen_tcp("127.0.0.1", 0)->port;
        front->start();
    }
    ~Pair() {
        Scope closing(loop, "test");
        closing.spawn("front", front->drain(Deadline::in(clock, 1s)));
        closing.spawn("upstream", upstream->drain(Deadline::in(clock, 1s)));
        run_until([&] { return closing.running() == 0; });
        EXPECT_EQ(closing.running(), 0U);
    }
    template <class Done>
    bool run_until(Done done) {
        auto const end = std::chrono::steady_clock::now() + 10s;
        while (!done()) {
            io.restart();
            io.run_one_for(20ms);
            if (std::chrono::steady_clock::now() > end) return false;
        }
        return true;
    }
    Client connect() {
        int const fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        sockaddr_in to{};
        to.sin_family = AF_INET;
        to.sin_port = htons(front_port);
        to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        EXPECT_EQ(::connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
        return Client(fd);
    }
    /// Sends and runs until `text` has arrived.
    std::string until(Client& c, std::string_view request, std::string_view text) {
        if (!request.empty()) c.send(request);
        std::string got;
        run_until([&] {
            got += c.receive();
            return got.find(text) != std::string::npos;
        });
        return got;
    }
};

TEST(Proxy, PassesRequestsAndKeepsOurCredentialsAndHopHeadersBack) {
    Pair t;
    Client c = t.connect();
    std::string const answer = t.until(c,
                                       "POST /p/show/a%2Fb?q=1 HTTP/1.1\r\nHost: me:1\r\nX-Secret: "
                                       "token\r\nConnection: keep-alive, X-Hop\r\n"
                                       "X-Hop: 1\r\nX-Mine: 2\r\nContent-Length: 4\r\n\r\nbody",
                                       "\n\nbody");
    EXPECT_EQ(status_of(answer), 200);
    EXPECT_NE(answer.find("Host: me:1\n"), std::string::npos);
    EXPECT_NE(answer.find("X-Mine: 2\n"), std::string::npos);
    EXPECT_NE(answer.find("X-Forwarded-For: 127.0.0.1\n"), std::string::npos);
    EXPECT_EQ(answer.find("X-Secret"), std::string::npos);
    EXPECT_EQ(answer.find("X-Hop"), std::string::npos);
}

TEST(Proxy, CredentialsInQueriesAndCookiesStayHere) {
    Pair t;
    Client c = t.connect();
    std::string const answer =
        t.until(c,
                "GET /p/show/x?a=%2F&ticket=secret+one&b&c=secret%20one HTTP/1.1\r\nHost: "
                "x\r\nCookie: a=1; session=secret; b=\"2\"\r\n\r\n"
                "GET /p/show/x?t=secret%20one HTTP/1.1\r\nHost: x\r\nCookie: "
                "session=secret\r\nX-Last: 1\r\n\r\n",
                "X-Last");
    EXPECT_NE(answer.find("GET /show/x?a=%2F&b\n"), std::string::npos) << answer;
    EXPECT_NE(answer.find("Cookie: a=1; b=\"2\"\n"), std::string::npos) << answer;
    EXPECT_NE(answer.find("GET /show/x\n"), std::string::npos) << answer;
    EXPECT_EQ(answer.find("secret"), std::string::npos) << answer;
}

TEST(Proxy, UpstreamConnectionsAreUsedAgain) {
    Pair t;
    Client c = t.connect();
    for (int i = 0; i < 5; ++i) t.until(c, "GET /p/show/x HTTP/1.1\r\nHost: x\r\n\r\n", "\n\n");
    EXPECT_EQ(t.upstream->counters().accepted, 1U);
    EXPECT_EQ(t.upstream->counters().requests, 5U);
}

TEST(Proxy, EventsPassOneByOne) {
    Pair t;
    Client c = t.connect();
    EXPECT_NE(t.until(c, "GET /p/events HTTP/1.1\r\nHost: x\r\n\r\n", "data: 0").find("text/event-stream"),
              std::string::npos);
    t.next.notify_all();
    EXPECT_NE(t.until(c, "", "data: 1").find("data: 1"), std::string::npos);
    t.next.notify_all();
    EXPECT_NE(t.until(c, "", "data: 2").find("data: 2"), std::string::npos);
    t.next.notify_all();
    EXPECT_NE(t.until(c, "", "0\r\n\r\n").find("0\r\n\r\n"), std::string::npos);
}

TEST(Proxy, ALeavingClientEndsTheUpstreamRequest) {
    Pair t;
    {
        Client c = t.connect();
        t.until(c, "GET /p/events HTTP/1.1\r\nHost: x\r\n\r\n", "data: 0");
        EXPECT_EQ(t.upstream->connections(), 1U);
    }
    EXPECT_TRUE(t.run_until([&] { return t.upstream->connections() == 0; }));
}

TEST(Proxy, BodyAndAnswerFlowAtTheSameTime) {
    Pair t;
    Client c = t.connect();
    t.until(c, "POST /p/duplex HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n", "one");
    EXPECT_NE(t.until(c, "3\r\ntwo\r\n", "two").find("two"), std::string::npos);
    EXPECT_NE(t.until(c, "0\r\n\r\n", "0\r\n\r\n").find("0\r\n\r\n"), std::string::npos);
}

TEST(Proxy, WebSocketsPassBothWays) {
    Pair t;
    Client c = t.connect();
    std::string const answer = t.until(c,
                                       "GET /p/ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: "
                                       "Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                                       "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                                       "\r\n\r\n");
    EXPECT_EQ(status_of(answer), 101);
    EXPECT_NE(answer.find("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), std::string::npos);
    WsFrame head;
    head.masked = true;
    head.mask = {9, 8, 7, 6};
    std::string payload = "through";
    head.length = payload.size();
    ws_mask(payload, head.mask);
    EXPECT_NE(
        t.until(c, std::string(ws_frame_head(head).view()) + payload, "through").find("\x81\x07through"),
        std::string::npos);
}

TEST(Proxy, ADeadPortIsNamed) {
    Pair t;
    Client c = t.connect();
    EXPECT_NE(t.until(c, "GET /dead HTTP/1.1\r\nHost: x\r\n\r\n", "port 1").find("port 1"),
              std::string::npos);
}

}  // namespace
}  // namespace execd::http
