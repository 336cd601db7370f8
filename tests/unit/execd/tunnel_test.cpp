// Tunnels between in-memory sockets under virtual time: every byte arrives, in both directions at once,
// whatever the blocks; what a tunnel holds is paid for and given back.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <random>

#include "base/scope.hpp"
#include "execd/http/proxy.hpp"
#include "http_harness.hpp"

namespace execd::http {
namespace {

using namespace std::chrono_literals;

struct Ends {
    asio::io_context io{1};
    VirtualClock clock{io};
    WorkPool pool;
    Loop loop{io, clock, pool};
    ByteBudget budget{8U << 20, 8U << 20};
    Scope scope{loop, "test"};
    std::unique_ptr<Stream> a, b;
    int left = -1, right = -1;  // what talks to a, and to b

    explicit Ends(std::uint64_t allowed = 8U << 20) : budget(allowed, allowed) {
        loop.bind_thread();
        std::tie(a, left) = pair();
        std::tie(b, right) = pair();
        a->charge_to(&budget, "client");
    }
    ~Ends() {
        end(left);
        end(right);
        for (int i = 0; i < 20 && scope.running() > 0; ++i) clock.advance(1s);
        EXPECT_EQ(scope.running(), 0U);
        EXPECT_EQ(budget.held(), 0U);
    }
    std::pair<std::unique_ptr<Stream>, int> pair() {
        int fds[2];
        EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
        return {std::make_unique<Stream>(loop, UniqueFd(fds[0]), AF_UNIX), fds[1]};
    }
    void start(std::string for_a = {}, std::string for_b = {}) {
        scope.spawn("tunnel", tunnel(*a, *b, std::move(for_a), std::move(for_b), 60s));
        clock.settle();
    }
    static void end(int& fd) {
        if (fd >= 0) ::close(std::exchange(fd, -1));
    }
    static std::size_t put(int fd, std::string_view bytes) {
        ssize_t const n = ::send(fd, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
        return n > 0 ? static_cast<std::size_t>(n) : 0;
    }
    /// At most `most` bytes of what is there; `ended` at the end.
    static std::string take(int fd, std::size_t most, bool& ended) {
        std::string out(most, '\0');
        ssize_t const n = ::recv(fd, out.data(), out.size(), MSG_DONTWAIT);
        ended = n == 0;
        out.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
        return out;
    }
};

std::string noise(std::size_t size, unsigned seed) {
    std::mt19937 random(seed);
    std::string out(size, '\0');
    for (auto& c : out) c = static_cast<char>(random());
    return out;
}

// Sends `up` and `down` at once in pieces of changing size and reads them in others; what arrived.
std::pair<std::string, std::string> exchange(Ends& t, std::string const& up, std::string const& down) {
    std::mt19937 random(7);
    std::string got_up, got_down;
    std::size_t sent_up = 0, sent_down = 0;
    auto const size = [&random] { return std::size_t{1} << (random() % 21); };
    bool ended = false;
    for (int idle = 0; got_up.size() < up.size() || got_down.size() < down.size();) {
        std::size_t const before = sent_up + sent_down + got_up.size() + got_down.size();
        sent_up += Ends::put(t.left, std::string_view(up).substr(sent_up, size()));
        sent_down += Ends::put(t.right, std::string_view(down).substr(sent_down, size()));
        t.clock.settle();
        got_up += Ends::take(t.right, size(), ended);
        got_down += Ends::take(t.left, size(), ended);
        t.clock.settle();
        bool const stuck = before == sent_up + sent_down + got_up.size() + got_down.size();
        idle = stuck ? idle + 1 : 0;
        if (idle > 3) break;
    }
    return {got_up, got_down};
}

TEST(Tunnel, EveryByteArrivesInBothDirections) {
    Ends t;
    std::string const up = noise(2U << 20, 1);
    std::string const down = noise(3U << 20, 2);
    t.start("early down ", "early up ");
    auto const [got_up, got_down] = exchange(t, up, down);
    bool ended = false;
    EXPECT_TRUE(got_up + Ends::take(t.right, 100, ended) == "early up " + up);
    EXPECT_TRUE(got_down + Ends::take(t.left, 100, ended) == "early down " + down);
}

TEST(Tunnel, LargeBlocksArePaidForAndGivenBackWhenNothingComes) {
    Ends t;
    t.start();
    EXPECT_EQ(t.budget.held(), 0U) << "a conversation needs none";
    auto const got = exchange(t, noise(1U << 20, 3), "");
    EXPECT_EQ(got.first.size(), 1U << 20);
    EXPECT_EQ(t.budget.held(), 1U << 20);
    t.clock.advance(2s);
    EXPECT_EQ(t.budget.held(), 0U);
    EXPECT_EQ(exchange(t, "x", "y").second, "y") << "it goes on";
}

TEST(Tunnel, SmallMessagesAfterMuchGiveTheBlockBack) {
    Ends t;
    t.start();
    exchange(t, noise(1U << 20, 3), "");
    for (int i = 0; i < 64; ++i) EXPECT_EQ(exchange(t, "ping", "pong").first, "ping");
    EXPECT_EQ(t.budget.held(), 0U);
}

TEST(Tunnel, WithoutTheBudgetForALargeBlockASmallOneDoes) {
    Ends t(100U << 10);
    t.start();
    std::string const up = noise(2U << 20, 4);
    EXPECT_TRUE(exchange(t, up, "").first == up);
    EXPECT_EQ(t.budget.held(), 0U);
    EXPECT_GT(t.budget.refused(), 0U);
}

TEST(Tunnel, AHalfThatEndedLeavesTheOtherAMoment) {
    Ends t;
    t.start();
    ::shutdown(t.left, SHUT_WR);
    t.clock.settle();
    bool ended = false;
    Ends::take(t.right, 1, ended);
    EXPECT_TRUE(ended);
    EXPECT_EQ(exchange(t, "", "last words").second, "last words");
    t.clock.advance(11s);
    Ends::take(t.left, 1, ended);
    EXPECT_TRUE(ended);
    EXPECT_EQ(t.scope.running(), 0U);
}

TEST(Tunnel, AReaderThatStopsHoldsTheSenderBackAndIsCutAtTheStallDeadline) {
    Ends t;
    t.start();
    std::string const much(32U << 20, 'm');
    std::size_t sent = 0;
    for (int i = 0; i < 100; ++i) {
        sent += Ends::put(t.right, std::string_view(much).substr(sent));
        t.clock.settle();
    }
    EXPECT_LT(sent, 4U << 20);
    EXPECT_LE(t.budget.held(), 1U << 20);
    t.clock.advance(61s);
    EXPECT_EQ(t.scope.running(), 0U);
    EXPECT_EQ(Ends::put(t.right, "x"), 0U);
}

TEST(Tunnel, VanishedPeersAreProbedFor) {
    Ends t;
    int const listener = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof at;
    ASSERT_EQ(::bind(listener, reinterpret_cast<sockaddr*>(&at), length), 0);
    ASSERT_EQ(::listen(listener, 1), 0);
    ASSERT_EQ(::getsockname(listener, reinterpret_cast<sockaddr*>(&at), &length), 0);
    int const peer = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ASSERT_EQ(::connect(peer, reinterpret_cast<sockaddr*>(&at), length), 0);
    UniqueFd accepted(::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    Ends::end(t.right);
    t.b = std::make_unique<Stream>(t.loop, std::move(accepted), AF_INET);
    t.right = peer;
    ::close(listener);
    t.start();
    int on = 0, idle = 0, every = 0, times = 0;
    length = sizeof on;
    ASSERT_EQ(::getsockopt(t.b->native(), SOL_SOCKET, SO_KEEPALIVE, &on, &length), 0);
    ASSERT_EQ(::getsockopt(t.b->native(), IPPROTO_TCP, TCP_KEEPIDLE, &idle, &length), 0);
    ASSERT_EQ(::getsockopt(t.b->native(), IPPROTO_TCP, TCP_KEEPINTVL, &every, &length), 0);
    ASSERT_EQ(::getsockopt(t.b->native(), IPPROTO_TCP, TCP_KEEPCNT, &times, &length), 0);
    EXPECT_NE(on, 0);
    EXPECT_LE(idle + every * times, 120);
    EXPECT_EQ(exchange(t, "up", "down").second, "down");
}

}  // namespace
}  // namespace execd::http
