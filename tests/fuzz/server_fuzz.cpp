// A whole connection: any bytes from a client, in pieces, to rows of every kind; and behind the proxy any
// bytes from an upstream. What comes back is HTTP, and nothing stays behind.
#include <arpa/inet.h>
#include <sys/socket.h>

#include "base/check.hpp"
#include "base/work_pool.hpp"
#include "execd/http/head_scan.hpp"
#include "execd/http/proxy.hpp"
#include "execd/http/server.hpp"
#include "execd/http/websocket.hpp"
#include "tests/fuzz/target.hpp"

namespace execd::http {
namespace {

class Plain final : public Dialect {
  public:
    [[nodiscard]] std::string_view name() const override { return "fuzz"; }
    [[nodiscard]] Answer error(Error const& error, Call const*) override {
        return Answer::bytes(500, "text/plain", error.message());
    }
    [[nodiscard]] Answer not_found(Head const&) override { return Answer::empty(404); }
    [[nodiscard]] Answer method_not_allowed(Head const&, std::vector<std::string> const&) override {
        return Answer::empty(405);
    }
    [[nodiscard]] Answer unauthorized(Head const&, Error const&) override { return Answer::empty(401); }
};

/// The body as it comes, while it comes.
class Back final : public Producer {
  public:
    explicit Back(BodyReader& body) : body_(body) {}
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

Task<Result<Answer>> whole(Call& call) {
    auto body = co_await call.body->read_all(1U << 16);
    if (!body) co_return Failure(body.error());
    co_return Answer::bytes(200, "text/plain", *body);
}
Task<Result<Answer>> piecewise(Call& call) {
    co_return Answer::stream("text/plain", std::make_unique<Back>(*call.body));
}
Task<Result<Answer>> socket_of(Call& call) {
    co_return upgrade_to_websocket(*call.head, std::make_unique<Echo>());
}
Task<Result<Answer>> forward(ReverseProxy* proxy, Call& call, unsigned short port) {
    co_return co_await proxy->forward(call, port, "/" + call.param("rest"));
}

Row row(std::string method, std::string path, Handler handler) {
    Row out;
    out.operation_id = method + path;
    out.method = std::move(method);
    out.path = std::move(path);
    out.body = BodyPolicy::raw;
    out.invoke = std::move(handler);
    return out;
}

/// Never destroyed: a pool's threads end with the process.
struct World {
    asio::io_context io{1};
    VirtualClock clock{io};
    WorkPool pool;
    Loop loop{io, clock, pool};
    Plain dialect;
    Authorize everybody = [](Call const&, Dialect&) -> Result<Principal> { return Principal(); };
    ReverseProxy proxy{loop, {}};
    std::unique_ptr<Router> router;
    std::unique_ptr<Server> server;
    UniqueFd upstream{::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
    unsigned short port = 0;

    World() {
        sockaddr_in at{};
        at.sin_family = AF_INET;
        at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof at;
        auto* const address = reinterpret_cast<sockaddr*>(&at);
        EXECD_REQUIRE(::bind(upstream.get(), address, size) == 0 && ::listen(upstream.get(), 8) == 0);
        EXECD_REQUIRE(::getsockname(upstream.get(), address, &size) == 0);
        port = ntohs(at.sin_port);
        std::vector<Row> rows;
        rows.push_back(row("POST", "/whole", [](Call& call) { return whole(call); }));
        rows.push_back(row("*", "/piecewise", [](Call& call) { return piecewise(call); }));
        rows.push_back(row("GET", "/ws", [](Call& call) { return socket_of(call); }));
        rows.push_back(row("*", "/p/{rest...}", [this](Call& call) { return forward(&proxy, call, port); }));
        auto built = Router::build(std::move(rows), {{"", &dialect}});
        EXECD_REQUIRE(built.has_value());
        router = std::move(*built);
        server = std::make_unique<Server>(loop, *router, Limits(), everybody, std::vector<TargetStage>());
    }
    UniqueFd connect() {
        int ends[2] = {-1, -1};
        EXECD_REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
        server->adopt(UniqueFd(ends[0]), AF_UNIX, ListenerInfo{"fuzz", 0});
        clock.settle();
        return UniqueFd(ends[1]);
    }
};

void send(int fd, std::string_view bytes) {
    (void)::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
}

std::string receive(int fd) {
    std::string out;
    char buffer[16384];
    for (ssize_t n = 0; (n = ::recv(fd, buffer, sizeof buffer, MSG_DONTWAIT)) > 0;)
        out.append(buffer, static_cast<std::size_t>(n));
    return out;
}

void from_client(World& world, std::string_view input) {
    std::size_t const step = 1 + fuzz::take_byte(input) * 4U;
    auto const client = world.connect();
    std::string got;
    for (std::size_t at = 0; at < input.size(); at += step) {
        send(client.get(), input.substr(at, step));
        world.clock.settle();
        got += receive(client.get());
    }
    EXECD_REQUIRE(got.empty() || got.starts_with("HTTP/1."));
    if (auto const end = got.find("\r\n\r\n"); end != std::string::npos)
        EXECD_REQUIRE(scan_response_head(got.substr(0, end + 4), false).ok());
}

constexpr std::string_view kRequests[] = {
    "GET /p/x HTTP/1.1\r\nHost: x\r\n\r\n",
    "HEAD /p/x HTTP/1.1\r\nHost: x\r\n\r\n",
    "POST /p/x HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
    "POST /p/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "GET /p/x HTTP/1.0\r\n\r\n",
    "GET /p/x HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: "
    "13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"};

void from_upstream(World& world, std::string_view input) {
    auto const request = kRequests[fuzz::take_byte(input) % std::size(kRequests)];
    std::size_t const step = 1 + fuzz::take_byte(input) * 4U;
    auto const client = world.connect();
    send(client.get(), request);
    world.clock.settle();
    std::string got;
    {
        UniqueFd const peer(::accept4(world.upstream.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
        if (!peer) return;
        for (std::size_t at = 0; at < input.size(); at += step) {
            send(peer.get(), input.substr(at, step));
            world.clock.settle();
            got += receive(client.get());
            (void)receive(peer.get());
        }
    }
    world.clock.settle();
    got += receive(client.get());
    EXECD_REQUIRE(got.empty() || got.starts_with("HTTP/1.1 "));
    if (auto const end = got.find("\r\n\r\n"); end != std::string::npos)
        EXECD_REQUIRE(scan_response_head(got.substr(0, end + 4), false).ok());
}

void run(std::string_view input) {
    static World& world = *new World;
    fuzz::take_byte(input) % 2 == 0 ? from_client(world, input) : from_upstream(world, input);
    world.clock.settle();
    world.clock.advance(std::chrono::minutes(5));  // whatever may still be waited for is over
    EXECD_REQUIRE(world.server->connections() == 0 && world.proxy.idle_upstreams() == 0);
    EXECD_REQUIRE(Scope::exceptions() == 0);
}

fuzz::Target const kTarget("server", run);

}  // namespace
}  // namespace execd::http
