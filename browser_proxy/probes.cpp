#include "browser_proxy/probes.hpp"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <boost/asio/buffer.hpp>

#include <algorithm>
#include <cstring>

#include "base/unique_fd.hpp"

namespace execd::browser_proxy {

namespace {

using Protocol = asio::generic::stream_protocol;

// One short conversation under a deadline.
class Talk {
  public:
    Talk(Loop& loop, Deadline deadline) : socket_(loop.executor()), timer_(loop.clock()) {
        timer_.arm(deadline, [this] {
            late_ = true;
            boost::system::error_code ec;
            socket_.close(ec);
        });
    }
    Task<Result<void>> connect(Protocol::endpoint endpoint) {
        if (late_) co_return failed({});
        UniqueFd fd(::socket(endpoint.protocol().family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
        boost::system::error_code assigned;
        socket_.assign(endpoint.protocol(), fd.get(), assigned);
        if (assigned) co_return failed(assigned);
        (void)fd.release();
        auto [ec] = co_await socket_.async_connect(endpoint, kAsTuple);
        if (ec) co_return failed(ec);
        co_return Result<void>();
    }
    void again() {
        boost::system::error_code ec;
        socket_.close(ec);
    }
    Result<void> say(std::string_view bytes) {
        ssize_t const n = ::send(socket_.native_handle(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (n != static_cast<ssize_t>(bytes.size())) return fail(Code::unavailable, "", "it hung up");
        return {};
    }
    Task<Result<void>> hear(char* into, std::size_t size) {
        for (std::size_t have = 0; have < size;) {
            auto [ec, n] = co_await socket_.async_read_some(asio::buffer(into + have, size - have), kAsTuple);
            if (ec) co_return failed(ec);
            have += n;
        }
        co_return Result<void>();
    }

  private:
    Failure failed(boost::system::error_code ec) const {
        if (late_) return fail(Code::timed_out, "", "it did not answer in time");
        return fail(Code::unavailable, "", ec ? ec.message() : std::string("it hung up"));
    }
    Socket socket_;
    Timer timer_;
    bool late_ = false;
};

Protocol::endpoint unix_endpoint(std::string const& path, bool abstract) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::size_t const size = std::min(path.size(), sizeof address.sun_path - 2);
    std::memcpy(address.sun_path + (abstract ? 1 : 0), path.data(), size);
    return {&address, offsetof(sockaddr_un, sun_path) + size + 1, 0};
}

}  // namespace

Task<Result<void>> probe_x(Loop& loop, std::string directory, unsigned display, Deadline deadline) {
    std::string const path = directory + "/X" + std::to_string(display);
    Talk talk(loop, deadline);
    auto connected = co_await talk.connect(unix_endpoint(path, true));
    if (!connected) {
        talk.again();
        connected = co_await talk.connect(unix_endpoint(path, false));
    }
    if (!connected) co_return connected;
    // Little endian, protocol 11.0, no authorisation.
    char const hello[12] = {'l', 0, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    auto said = talk.say({hello, sizeof hello});
    if (!said) co_return said;
    char answer[8] = {};
    auto heard = co_await talk.hear(answer, sizeof answer);
    if (!heard) co_return heard;
    if (answer[0] != 1) co_return fail(Code::unavailable, "", "the X server refused the connection");
    co_return Result<void>();
}

Task<Result<void>> probe_rfb(Loop& loop, unsigned short port, Deadline deadline) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    Talk talk(loop, deadline);
    Protocol::endpoint const endpoint(&address, sizeof address, IPPROTO_TCP);
    auto step = co_await talk.connect(endpoint);
    if (!step) co_return step;
    char version[12] = {};
    step = co_await talk.hear(version, sizeof version);
    if (!step) co_return step;
    if (std::string_view(version, 4) != "RFB ")
        co_return fail(Code::unavailable, "", "what answers there is no RFB server");
    step = talk.say("RFB 003.008\n");
    if (!step) co_return step;
    unsigned char count = 0;
    step = co_await talk.hear(reinterpret_cast<char*>(&count), 1);
    if (!step) co_return step;
    char types[255] = {};
    step = co_await talk.hear(types, count);
    if (!step) co_return step;
    if (std::find(types, types + count, 1) == types + count)
        co_return fail(Code::unavailable, "", "the RFB server wants a password");
    co_return Result<void>();
}

}  // namespace execd::browser_proxy
