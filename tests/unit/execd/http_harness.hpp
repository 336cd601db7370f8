// A server on in-memory sockets under virtual time: requests go in as bytes, answers come out as bytes, and
// nothing waits for a real clock.
#pragma once
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <memory>
#include <string>

#include "base/loop.hpp"
#include "execd/http/server.hpp"

namespace execd::http {

class TestDialect final : public Dialect {
  public:
    [[nodiscard]] std::string_view name() const override { return "test"; }
    [[nodiscard]] Answer error(Error const& error, Call const*) override {
        unsigned const status = error.code == Code::too_large   ? 413
                                : error.code == Code::timed_out ? 408
                                                                : 500;
        return Answer::bytes(status, "text/plain", "error: " + error.message());
    }
    [[nodiscard]] Answer not_found(Head const&) override {
        return Answer::bytes(404, "text/plain", "nothing here");
    }
    [[nodiscard]] Answer method_not_allowed(Head const&, std::vector<std::string> const&) override {
        return Answer::bytes(405, "text/plain", "wrong method");
    }
    [[nodiscard]] Answer unauthorized(Head const&, Error const&) override {
        return Answer::bytes(401, "text/plain", "who are you");
    }
};

/// One client: writes and reads never block; settle() runs the server until it is idle.
class Client {
  public:
    explicit Client(int fd) : fd_(fd) {}
    void send(std::string_view bytes) {
        ssize_t const n = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        ASSERT_EQ(n, static_cast<ssize_t>(bytes.size()));
    }
    /// The same towards a server that may have closed already.
    void try_send(std::string_view bytes) {
        [[maybe_unused]] auto const ignored =
            ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    /// What has arrived; "closed" is remembered.
    std::string receive() {
        std::string out;
        char buffer[65536];
        for (;;) {
            ssize_t const n = ::recv(fd_.get(), buffer, sizeof buffer, MSG_DONTWAIT);
            if (n > 0) {
                out.append(buffer, static_cast<std::size_t>(n));
                continue;
            }
            if (n == 0) closed_ = true;
            if (n < 0 && errno == ECONNRESET) closed_ = true;
            return out;
        }
    }
    [[nodiscard]] bool closed() const { return closed_; }
    void shutdown_write() { ::shutdown(fd_.get(), SHUT_WR); }
    void close() { fd_.reset(); }
    [[nodiscard]] int fd() const { return fd_.get(); }

  private:
    UniqueFd fd_;
    bool closed_ = false;
};

class Harness {
  public:
    explicit Harness(std::vector<Row> rows, Limits limits = {}, std::vector<TargetStage> stages = {}) {
        loop.bind_thread();
        for (auto& row : rows)
            if (row.operation_id.empty()) row.operation_id = row.method + row.path;
        auto built = Router::build(std::move(rows), {{"", &dialect}});
        EXPECT_TRUE(built) << (built ? "" : built.error().message());
        router = std::move(*built);
        server = std::make_unique<Server>(loop, *router, limits, authorize, std::move(stages));
    }
    ~Harness() {
        drain_started = true;
        server->stop_accepting();
        Scope closing(loop, "test");
        closing.spawn("drain", server->drain(Deadline::in(clock, std::chrono::seconds(0))));
        for (int i = 0; i < 50 && closing.running() > 0; ++i) clock.advance(std::chrono::milliseconds(100));
        EXPECT_EQ(closing.running(), 0U);
        EXPECT_EQ(server->connections(), 0U);
    }
    Client connect() {
        int pair[2];
        EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair), 0);
        server->adopt(UniqueFd(pair[0]), AF_UNIX, ListenerInfo{"test", 0});
        clock.settle();
        return Client(pair[1]);
    }
    /// One exchange on a connection of its own.
    std::string ask(std::string_view request) {
        Client client = connect();
        client.send(request);
        clock.settle();
        return client.receive();
    }

    asio::io_context io{1};
    VirtualClock clock{io};
    WorkPool pool;
    Loop loop{io, clock, pool};
    TestDialect dialect;
    Authorize authorize = [](Call const&, Dialect&) -> Result<Principal> { return Principal(); };
    std::unique_ptr<Router> router;
    std::unique_ptr<Server> server;
    bool drain_started = false;
};

inline Row sync_row(std::string method, std::string path, SyncHandler handler) {
    Row row;
    row.method = std::move(method);
    row.path = std::move(path);
    row.sync = std::move(handler);
    return row;
}
inline Row async_row(std::string method, std::string path, Handler handler) {
    Row row;
    row.method = std::move(method);
    row.path = std::move(path);
    row.body = BodyPolicy::raw;
    row.invoke = std::move(handler);
    return row;
}
/// The body behind the empty line.
inline std::string body_of(std::string const& answer) {
    auto const at = answer.find("\r\n\r\n");
    return at == std::string::npos ? std::string() : answer.substr(at + 4);
}
inline int status_of(std::string const& answer) {
    return answer.size() > 12 ? std::stoi(answer.substr(9, 3)) : 0;
}

}  // namespace execd::http
