#include "execd/http/server.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/fault.hpp"
#include "base/ids.hpp"
#include "base/log.hpp"
#include "execd/http/connection.hpp"

namespace execd::http {

namespace {
constexpr int kBacklog = 4096;
constexpr int kAcceptBurst = 64;  // connections taken in one turn of the loop

/// One over the limit is refused before anything of it is read, so nobody knows which dialect it speaks: the
/// body has the members that each of them reads.
std::string_view busy() {
    static std::string const answer = [] {
        std::string const error =
            R"("code":"TOO_MANY_CONNECTIONS","message":"too many connections; try again")";
        std::string const body = "{" + error + R"(,"error":{)" + error +
                                 R"(,"details":[]},"detail":"too many connections; try again"})" + "\n";
        return "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 1\r\n"
               "Content-Length: " +
               std::to_string(body.size()) + "\r\nConnection: close\r\n\r\n" + body;
    }();
    return answer;
}
}  // namespace

struct Server::Listener {
    Listener(Loop& loop, UniqueFd fd, int f, ListenerInfo const& i)
        : descriptor(loop.io(), fd.release()), family(f), info(&i), unix_path() {}
    Descriptor descriptor;
    int family;
    ListenerInfo const* info;
    std::string unix_path;
    bool stopped = false;
};

Server::Server(Loop& loop, Router const& router, Limits limits, Authorize authorize,
               std::vector<TargetStage> stages)
    : loop_(&loop),
      router_(&router),
      limits_(limits),
      authorize_(std::move(authorize)),
      stages_(std::move(stages)),
      budget_(limits.buffered, limits.buffered_per_client),
      scope_(loop, "http"),
      traffic_(std::make_shared<Traffic>()),
      process_id_(random_hex(4) + "-") {}

std::string Server::next_request_id() { return process_id_ + std::to_string(++named_); }

Server::~Server() {
    for (auto const& listener : listeners_)
        if (!listener->unix_path.empty()) ::unlink(listener->unix_path.c_str());
}

Result<ListenerInfo> Server::add_listener(UniqueFd fd, int family, ListenerInfo info) {
    if (::listen(fd.get(), kBacklog) != 0) return fail_errno("listen", errno, info.name);
    infos_.push_back(std::move(info));
    listeners_.push_back(std::make_unique<Listener>(*loop_, std::move(fd), family, infos_.back()));
    return infos_.back();
}

Result<ListenerInfo> Server::listen_tcp(std::string host, unsigned short port) {
    sockaddr_storage address{};
    socklen_t length = 0;
    bool const dual = host.empty();
    bool v6 = dual;
    auto* a4 = reinterpret_cast<sockaddr_in*>(&address);
    auto* a6 = reinterpret_cast<sockaddr_in6*>(&address);
    if (!dual && ::inet_pton(AF_INET, host.c_str(), &a4->sin_addr) != 1) {
        if (::inet_pton(AF_INET6, host.c_str(), &a6->sin6_addr) != 1)
            return fail(Code::invalid_argument, "listen", "not a numeric address: " + host);
        v6 = true;
    }
    UniqueFd fd;
    int family = AF_INET;
    if (v6) {
        fd.reset(::socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
        if (fd) {
            int const only = dual ? 0 : 1;
            ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof only);
            int const one = 1;
            ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
            a6->sin6_family = AF_INET6;
            a6->sin6_port = htons(port);
            if (dual) a6->sin6_addr = in6addr_any;
            length = sizeof *a6;
            family = AF_INET6;
            if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), length) != 0) {
                if (!dual || errno == EADDRINUSE || errno == EACCES)
                    return fail_errno("bind", errno, "port " + std::to_string(port));
                fd.reset();  // IPv6 switched off: IPv4 alone
            }
        }
        if (!fd && !dual) return fail_errno("socket", errno, host);
    }
    if (!fd) {
        family = AF_INET;
        fd.reset(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
        if (!fd) return fail_errno("socket", errno);
        int const one = 1;
        ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        if (dual) {
            address = {};
            a4->sin_addr.s_addr = INADDR_ANY;
        }
        a4->sin_family = AF_INET;
        a4->sin_port = htons(port);
        length = sizeof *a4;
        if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), length) != 0)
            return fail_errno("bind", errno, "port " + std::to_string(port));
    }
    length = sizeof address;
    ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &length);
    unsigned short const bound = ntohs(address.ss_family == AF_INET6 ? a6->sin6_port : a4->sin_port);
    return add_listener(std::move(fd), family, {"tcp:" + std::to_string(bound), bound});
}

Result<ListenerInfo> Server::listen_unix(std::string path) {
    sockaddr_un address{};
    if (path.empty() || path.size() >= sizeof address.sun_path)
        return fail(Code::invalid_argument, "listen", "a unix socket path has 1 to 107 bytes: " + path);
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.data(), path.size());
    UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!fd) return fail_errno("socket", errno);
    struct stat st {};
    if (::lstat(path.c_str(), &st) == 0 && S_ISSOCK(st.st_mode)) {
        // A socket that nobody accepts on is the leftover of a daemon that was killed.
        UniqueFd const probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
        if (::connect(probe.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0)
            return fail_errno("bind", EADDRINUSE, path);
        ::unlink(path.c_str());
    }
    if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
        return fail_errno("bind", errno, path);
    auto info = add_listener(std::move(fd), AF_UNIX, {"unix:" + path, 0});
    if (info) listeners_.back()->unix_path = path;
    return info;
}

void Server::start() {
    for (auto const& listener : listeners_)
        scope_.spawn("accept " + listener->info->name, accept_loop(*listener));
}

Task<void> Server::accept_loop(Listener& listener) {
    while (!listener.stopped) {
        auto [ec] = co_await listener.descriptor.async_wait(Descriptor::wait_read, kAsTuple);
        if (ec || listener.stopped) co_return;
        for (int i = 0; i < kAcceptBurst; ++i) {
            int err = fault::hit("accept");
            UniqueFd fd;
            if (err == 0) {
                fd.reset(::accept4(listener.descriptor.native_handle(), nullptr, nullptr,
                                   SOCK_NONBLOCK | SOCK_CLOEXEC));
                err = fd ? 0 : errno;
            }
            if (err == EAGAIN) break;
            if (err == EMFILE || err == ENFILE || err == ENOBUFS || err == ENOMEM) {
                // The waiting client keeps its place in the backlog until descriptors are free again.
                log::warn("http.accept_exhausted", {{"error", errno_text(err)}});
                if (bool const slept = co_await loop_->clock().sleep_for(std::chrono::milliseconds(50));
                    !slept)
                    co_return;
                break;
            }
            if (err != 0) continue;  // ECONNABORTED and the like: that client is gone
            try {
                accepted(std::move(fd), listener.family, *listener.info);
            } catch (
                std::exception const& e) {  // no memory: that client is cut off, the next one may be served
                log::warn("http.accept_exhausted", {{"error", e.what()}});
            }
        }
    }
}

void Server::accepted(UniqueFd fd, int family, ListenerInfo const& listener) {
    ++counters_.accepted;
    auto connection = std::make_unique<Connection>(*this, std::move(fd), family, listener);
    bool const over =
        live_.size() > limits_.connections || connection->of_its_client() > limits_.connections_per_client;
    if (over) {
        ++counters_.refused;
        log::warn("http.too_many_connections", {{"connections", live_.size()}});
        connection->refuse(busy());
        return;
    }
    scope_.spawn("connection", Connection::run(std::move(connection)));
}

void Server::adopt(UniqueFd fd, int family, ListenerInfo const& listener) {
    for (auto const& known : infos_)
        if (known.name == listener.name) return accepted(std::move(fd), family, known);
    infos_.push_back(listener);
    accepted(std::move(fd), family, infos_.back());
}

void Server::stop_accepting() {
    draining_ = true;
    for (auto const& listener : listeners_) {
        listener->stopped = true;
        boost::system::error_code ignored;
        listener->descriptor.close(ignored);
        if (!listener->unix_path.empty()) ::unlink(listener->unix_path.c_str());
        listener->unix_path.clear();
    }
}

Task<void> Server::drain(Deadline deadline) {
    stop_accepting();
    auto const now = live_;
    for (Connection* connection : now)
        if (connection->idle()) connection->stop();
    bool const quiet = co_await scope_.drain(deadline);
    if (!quiet) {
        auto const busy = live_;
        for (Connection* connection : busy) connection->stop();
    }
    auto const left = co_await scope_.close(Deadline::in(loop_->clock(), std::chrono::seconds(1)));
    if (!left.empty()) log::warn("http.stragglers", {{"count", left.size()}});
    cut_ = !quiet || !left.empty();
}

}  // namespace execd::http
