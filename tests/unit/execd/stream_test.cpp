// A stream's patience with a peer that reads slowly, in virtual time.
#include "execd/http/stream.hpp"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <optional>

#include "base/scope.hpp"

namespace execd::http {
namespace {

using namespace std::chrono_literals;

struct Wire {
    asio::io_context io{1};
    VirtualClock clock{io};
    WorkPool pool;
    Loop loop{io, clock, pool};
    Scope scope{loop, "test"};
    std::unique_ptr<Stream> stream;
    UniqueFd reader;
    std::optional<Result<void>> outcome;

    Wire() {
        loop.bind_thread();
        int fds[2];
        EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
        int const small = 2048;  // the kernel makes the least of it that it knows
        ::setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof small);
        stream = std::make_unique<Stream>(loop, UniqueFd(fds[0]), AF_UNIX);
        reader.reset(fds[1]);
    }
    ~Wire() {
        stream->close();
        clock.settle();
        EXPECT_EQ(scope.running(), 0U);
    }
    // In many small writes, as an event stream makes them.
    Task<void> send(std::size_t pieces) {
        std::string const piece(500, 'p');
        for (std::size_t i = 0; i < pieces; ++i) {
            auto sent = co_await stream->write(piece, 60s);
            outcome = sent;
            if (!sent) co_return;
        }
    }
    std::size_t take(std::size_t most) {
        std::string buffer(most, '\0');
        ssize_t const n = ::recv(reader.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
        return n > 0 ? static_cast<std::size_t>(n) : 0;
    }
    /// Reads `each` bytes every ten seconds; the seconds until the writer gave up, or none.
    std::optional<int> seconds_until_cut(std::size_t each, int seconds) {
        for (int at = 0; at < seconds; at += 10) {
            clock.advance(10s);
            if (scope.running() == 0) return at + 10;
            take(each);
            clock.settle();
        }
        return std::nullopt;
    }
};

TEST(SlowReader, TakingLessThanTheLeastRateIsNoProgress) {
    Wire t;
    t.scope.spawn("send", t.send(100'000));
    auto const cut = t.seconds_until_cut(500, 1200);  // 50 bytes a second: something is taken all the time
    ASSERT_TRUE(cut);
    EXPECT_GT(*cut, 60);
    EXPECT_EQ(t.outcome->error().code, Code::timed_out);
}

TEST(SlowReader, SteadyReadersAreServedHoweverLongItTakes) {
    Wire t;
    t.scope.spawn("send", t.send(100'000));
    EXPECT_FALSE(t.seconds_until_cut(4000, 3600));
}

TEST(SlowReader, MuchAtOnceBuysNoLongRestLater) {
    Wire t;
    t.scope.spawn("send", t.send(100'000));
    t.clock.settle();
    for (int i = 0; i < 200; ++i) {
        t.take(65536);
        t.clock.settle();
    }
    EXPECT_TRUE(t.seconds_until_cut(0, 100));
}

}  // namespace
}  // namespace execd::http
