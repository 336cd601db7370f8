#include "browser_proxy/talk.hpp"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>

#include <algorithm>
#include <cstring>

namespace execd::browser_proxy {

namespace {

asio::generic::stream_protocol::endpoint unix_endpoint(std::string const& path, bool abstract) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::size_t const size = std::min(path.size(), sizeof address.sun_path - 2);
    std::memcpy(address.sun_path + (abstract ? 1 : 0), path.data(), size);
    return {&address, offsetof(sockaddr_un, sun_path) + size + 1, 0};
}

}  // namespace

Talk::Talk(Loop& loop, Deadline deadline) : socket_(loop.executor()), timer_(loop.clock()) {
    timer_.arm(deadline, [this] {
        late_ = true;
        boost::system::error_code ec;
        socket_.close(ec);
    });
}

Failure Talk::failed(boost::system::error_code ec) const {
    if (late_) return fail(Code::timed_out, "", "it did not answer in time");
    // A unix socket whose queue is full is not connected and says nothing about it (connect(2), EAGAIN).
    if (ec == asio::error::not_connected) return fail(Code::timed_out, "", "it takes no more connections");
    return fail(Code::unavailable, "", ec ? ec.message() : std::string("it hung up"));
}

Task<Result<void>> Talk::connect(Protocol::endpoint endpoint) {
    if (late_) co_return failed({});
    boost::system::error_code ignored, assigned;
    socket_.close(ignored);
    UniqueFd fd(::socket(endpoint.protocol().family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    socket_.assign(endpoint.protocol(), fd.get(), assigned);
    if (assigned) co_return failed(assigned);
    (void)fd.release();
    auto [ec] = co_await socket_.async_connect(endpoint, kAsTuple);
    if (ec) co_return failed(ec);
    co_return Result<void>();
}

Task<Result<void>> Talk::connect_tcp(unsigned short port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    co_return co_await connect(Protocol::endpoint(&address, sizeof address, IPPROTO_TCP));
}

Task<Result<void>> Talk::connect_x(std::string directory, unsigned number) {
    std::string const path = directory + "/X" + std::to_string(number);
    auto connected = co_await connect(unix_endpoint(path, true));
    if (!connected && !late_) connected = co_await connect(unix_endpoint(path, false));
    co_return connected;
}

Task<Result<void>> Talk::say(std::string bytes) {
    for (std::size_t at = 0; at < bytes.size();) {
        auto [ec, n] =
            co_await socket_.async_write_some(asio::buffer(bytes.data() + at, bytes.size() - at), kAsTuple);
        if (ec) co_return failed(ec);
        at += n;
    }
    co_return Result<void>();
}

Task<Result<void>> Talk::hear(char* into, std::size_t size) {
    for (std::size_t have = 0; have < size;) {
        auto [ec, n] = co_await socket_.async_read_some(asio::buffer(into + have, size - have), kAsTuple);
        if (ec) co_return failed(ec);
        have += n;
    }
    co_return Result<void>();
}

}  // namespace execd::browser_proxy
