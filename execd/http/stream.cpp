#include "execd/http/stream.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>

#include <cerrno>

#include "base/fault.hpp"

namespace execd::http {

namespace {

ledger::Name const kStreams{"http.stream"};
constexpr std::size_t kSendFileStep = 4U << 20;  // bytes for one turn on the bulk lane

Failure io_failure(std::string_view where, int err) {
    if (err == EPIPE || err == ECONNRESET || err == ENOTCONN || err == ECONNABORTED)
        return fail(Code::disconnected, where, errno_text(err));
    return Failure(Error{Code::io, std::string(where), err, {}});
}

// Ends one pending operation (and not its neighbours on the same socket) when the deadline passes. The
// coroutine's own cancellation is passed on: binding a slot would otherwise cut it off.
class OpDeadline {
  public:
    OpDeadline(asio::cancellation_state const& outer, Clock& clock, Deadline at)
        : outer_(outer.slot()), timer_(clock) {
        if (outer_.is_connected())
            outer_.assign([this](asio::cancellation_type type) { signal_.emit(type); });
        timer_.arm(at, [this] { expire(); });
    }
    ~OpDeadline() {
        if (outer_.is_connected()) outer_.clear();
    }
    OpDeadline(OpDeadline const&) = delete;
    OpDeadline& operator=(OpDeadline const&) = delete;
    [[nodiscard]] bool expired() const { return expired_; }
    [[nodiscard]] asio::cancellation_slot slot() { return signal_.slot(); }

  private:
    void expire() {
        expired_ = true;
        signal_.emit(asio::cancellation_type::terminal);
    }
    asio::cancellation_slot outer_;
    asio::cancellation_signal signal_;
    Timer timer_;
    bool expired_ = false;
};

Failure failure_of(boost::system::error_code ec, bool expired, std::string_view where) {
    if (expired) return fail(Code::timed_out, where);
    if (ec == asio::error::operation_aborted || ec == asio::error::bad_descriptor)
        return fail(Code::cancelled, where);
    return io_failure(where, ec.value());
}

}  // namespace

Stream::Stream(Loop& loop, UniqueFd fd, int family) : loop_(&loop), socket_(loop.io()), token_(kStreams) {
    // Throws where the kernel can watch no more descriptors; this one is closed then.
    if (int const e = fault::hit("http.watch"))
        throw boost::system::system_error(e, boost::system::system_category(), "watch");
    socket_.assign(asio::generic::stream_protocol(family, family == AF_UNIX ? 0 : IPPROTO_TCP), fd.get());
    (void)fd.release();
    if (family != AF_UNIX) {
        int const one = 1;
        ::setsockopt(native(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    }
}

Stream::~Stream() { close(); }

Task<Result<std::unique_ptr<Stream>>> Stream::connect(Loop& loop, std::string ip, unsigned short port,
                                                      Deadline deadline) {
    sockaddr_storage address{};
    socklen_t length = 0;
    if (auto* v4 = reinterpret_cast<sockaddr_in*>(&address);
        ::inet_pton(AF_INET, ip.c_str(), &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        length = sizeof *v4;
    } else if (auto* v6 = reinterpret_cast<sockaddr_in6*>(&address);
               ::inet_pton(AF_INET6, ip.c_str(), &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons(port);
        length = sizeof *v6;
    } else {
        co_return fail(Code::invalid_argument, "connect", "not a numeric address: " + ip);
    }
    if (int const e = fault::hit("connect")) co_return fail_errno("connect", e, ip);
    UniqueFd fd(::socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!fd) co_return fail_errno("socket", errno);
    int const raw = fd.get();
    auto stream = std::make_unique<Stream>(loop, std::move(fd), address.ss_family);
    if (::connect(raw, reinterpret_cast<sockaddr*>(&address), length) == 0) co_return stream;
    if (errno != EINPROGRESS) co_return fail_errno("connect", errno, ip);
    if (auto ready = co_await stream->wait_writable(deadline); !ready) co_return Failure(ready.error());
    int err = 0;
    socklen_t size = sizeof err;
    ::getsockopt(raw, SOL_SOCKET, SO_ERROR, &err, &size);
    if (err != 0) co_return fail_errno("connect", err, ip);
    co_return stream;
}

Task<Result<std::size_t>> Stream::read_some(std::span<char> into, Deadline deadline) {
    if (int const e = fault::hit("http.read")) co_return io_failure("read", e);
    if (deadline.is_never()) {
        auto [ec, n] = co_await socket_.async_read_some(asio::buffer(into.data(), into.size()), kAsTuple);
        if (ec == asio::error::eof) co_return std::size_t{0};
        if (ec) co_return failure_of(ec, false, "read");
        if (traffic_) traffic_->received += n;
        co_return n;
    }
    OpDeadline limit(co_await asio::this_coro::cancellation_state, loop_->clock(), deadline);
    auto [ec, n] = co_await socket_.async_read_some(asio::buffer(into.data(), into.size()),
                                                    asio::bind_cancellation_slot(limit.slot(), kAsTuple));
    if (ec == asio::error::eof) co_return std::size_t{0};
    if (ec) co_return failure_of(ec, limit.expired(), "read");
    if (traffic_) traffic_->received += n;
    co_return n;
}

void Stream::start_read(std::span<char> into, std::function<void(Result<std::size_t>)> done) {
    socket_.async_read_some(
        asio::buffer(into.data(), into.size()),
        [done = std::move(done), traffic = traffic_](boost::system::error_code ec, std::size_t n) {
            if (ec == asio::error::eof) return done(std::size_t{0});
            if (ec) return done(failure_of(ec, false, "read"));
            if (traffic) traffic->received += n;
            done(n);
        });
}

void Stream::cancel_read() {
    boost::system::error_code ignored;
    socket_.cancel(ignored);
}

Result<std::size_t> Stream::try_read(std::span<char> into, bool& would_block) {
    would_block = false;
    if (int const e = fault::hit("http.read")) return io_failure("read", e);
    for (;;) {
        ssize_t const n = ::recv(native(), into.data(), into.size(), MSG_DONTWAIT);
        if (n > 0 && traffic_) traffic_->received += static_cast<std::size_t>(n);
        if (n >= 0) return static_cast<std::size_t>(n);
        if (errno == EINTR) continue;
        if (errno == EAGAIN) {
            would_block = true;
            return std::size_t{0};
        }
        return io_failure("read", errno);
    }
}

Result<std::size_t> Stream::try_write(std::span<iovec const> pieces) {
    if (int const e = fault::hit("http.write")) return io_failure("write", e);
    msghdr message{};
    message.msg_iov = const_cast<iovec*>(pieces.data());
    message.msg_iovlen = std::min<std::size_t>(pieces.size(), 64);
    for (;;) {
        ssize_t const n = ::sendmsg(native(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n > 0 && traffic_) traffic_->sent += static_cast<std::size_t>(n);
        if (n >= 0) return static_cast<std::size_t>(n);
        if (errno == EINTR) continue;
        if (errno == EAGAIN) return std::size_t{0};
        return io_failure("write", errno);
    }
}

Task<Result<void>> Stream::write(std::span<iovec> pieces, Duration stall) {
    std::size_t at = 0;
    while (at < pieces.size()) {
        if (pieces[at].iov_len == 0) {
            ++at;
            continue;
        }
        if (!socket_.is_open()) co_return fail(Code::disconnected, "write");
        auto sent = try_write(pieces.subspan(at));
        if (!sent) co_return Failure(sent.error());
        if (*sent == 0) {
            auto ready = co_await wait_for_reader(stall);
            if (!ready) co_return Failure(ready.error());
            continue;
        }
        taken_ += *sent;
        for (std::size_t left = *sent; left > 0;) {
            std::size_t const step = std::min(left, pieces[at].iov_len);
            pieces[at].iov_base = static_cast<char*>(pieces[at].iov_base) + step;
            pieces[at].iov_len -= step;
            left -= step;
            if (pieces[at].iov_len == 0) ++at;
        }
    }
    co_return Result<void>();
}

Task<Result<void>> Stream::write(std::string_view bytes, Duration stall) {
    iovec piece{const_cast<char*>(bytes.data()), bytes.size()};
    co_return co_await write(std::span(&piece, 1), stall);
}

// A reader that takes a byte now and then is not one that is still there for the whole of it. What it took
// pays for what it kept us waiting; taking much at once buys no longer rest later.
Task<Result<void>> Stream::wait_for_reader(Duration stall) {
    constexpr std::uint64_t kEnough = 1'000'000 * kLeastRate;
    constexpr Duration kEach = Duration(std::chrono::seconds(1)) / kLeastRate;
    auto const taken = static_cast<std::int64_t>(std::min(std::exchange(taken_, 0), kEnough));
    late_ = std::max(late_ - kEach * taken, Duration{});
    Clock const& clock = loop_->clock();
    TimePoint const since = clock.now();
    auto ready = co_await wait_writable(Deadline::in(clock, std::max(stall - late_, Duration{})));
    late_ += clock.now() - since;
    co_return ready;
}

Task<Result<void>> Stream::wait_writable(Deadline deadline) {
    OpDeadline limit(co_await asio::this_coro::cancellation_state, loop_->clock(), deadline);
    auto [ec] =
        co_await socket_.async_wait(Socket::wait_write, asio::bind_cancellation_slot(limit.slot(), kAsTuple));
    if (ec) co_return failure_of(ec, limit.expired(), "write");
    co_return Result<void>();
}

Task<Result<void>> Stream::wait_readable(Deadline deadline) {
    OpDeadline limit(co_await asio::this_coro::cancellation_state, loop_->clock(), deadline);
    auto [ec] =
        co_await socket_.async_wait(Socket::wait_read, asio::bind_cancellation_slot(limit.slot(), kAsTuple));
    if (ec) co_return failure_of(ec, limit.expired(), "read");
    co_return Result<void>();
}

Task<Result<void>> Stream::send_file(int file, std::uint64_t offset, std::uint64_t length, Duration stall) {
    while (length > 0) {
        struct Turn {
            std::uint64_t sent = 0;
            int err = 0;
            bool shrank = false;
        };
        // The thread works on a duplicate: this stream may be closed while it runs.
        UniqueFd out(::fcntl(native(), F_DUPFD_CLOEXEC, 0));
        if (!out) co_return fail_errno("sendfile", errno);
        Turn const turn = co_await loop_->pool().run(Lane::bulk, [to = out.get(), file, offset, length] {
            Turn t;
            while (t.sent < length && t.sent < kSendFileStep * 16) {
                off_t at = static_cast<off_t>(offset + t.sent);
                if (int const e = fault::hit("sendfile")) {
                    t.err = e;
                    break;
                }
                ssize_t const n = ::sendfile(
                    to, file, &at,
                    static_cast<std::size_t>(std::min<std::uint64_t>(length - t.sent, kSendFileStep)));
                if (n > 0) {
                    t.sent += static_cast<std::uint64_t>(n);
                } else if (n == 0) {
                    t.shrank = true;
                    break;
                } else if (errno != EINTR) {
                    t.err = errno;
                    break;
                }
            }
            return t;
        });
        offset += turn.sent;
        length -= turn.sent;
        taken_ += turn.sent;
        if (traffic_) traffic_->sent += turn.sent;
        if (length == 0) break;
        if (turn.shrank) co_return fail(Code::io, "sendfile", "the file became shorter while it was sent");
        if (turn.err == EAGAIN) {
            if (!socket_.is_open()) co_return fail(Code::disconnected, "sendfile");
            auto ready = co_await wait_for_reader(stall);
            if (!ready) co_return Failure(ready.error());
        } else if (turn.err != 0) {
            co_return io_failure("sendfile", turn.err);
        }
    }
    co_return Result<void>();
}

void Stream::shutdown_write() {
    boost::system::error_code ignored;
    socket_.shutdown(Socket::shutdown_send, ignored);
}

void Stream::close() {
    boost::system::error_code ignored;
    if (socket_.is_open()) socket_.close(ignored);
}

void Stream::abort() {
    if (!socket_.is_open()) return;
    linger const now{1, 0};
    ::setsockopt(native(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close();
}

std::string Stream::peer_address() {
    sockaddr_storage address{};
    socklen_t length = sizeof address;
    char text[INET6_ADDRSTRLEN] = "";
    if (::getpeername(native(), reinterpret_cast<sockaddr*>(&address), &length) != 0) return "unknown";
    if (address.ss_family == AF_INET) {
        ::inet_ntop(AF_INET, &reinterpret_cast<sockaddr_in*>(&address)->sin_addr, text, sizeof text);
        return text;
    }
    if (address.ss_family == AF_INET6) {
        auto const* v6 = reinterpret_cast<sockaddr_in6*>(&address);
        if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr))
            ::inet_ntop(AF_INET, &v6->sin6_addr.s6_addr[12], text, sizeof text);
        else
            ::inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof text);
        return text;
    }
    return "unix";
}

}  // namespace execd::http
