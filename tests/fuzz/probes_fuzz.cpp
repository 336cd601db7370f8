// What answers where an X server or an RFB server should be says anything, in two pieces, and may hang up.
#include <arpa/inet.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <optional>

#include "base/check.hpp"
#include "base/scope.hpp"
#include "base/unique_fd.hpp"
#include "base/work_pool.hpp"
#include "browser_proxy/probes.hpp"
#include "tests/fuzz/target.hpp"

namespace execd::browser_proxy {
namespace {

/// Never destroyed: a pool's threads end with the process.
struct World {
    asio::io_context io{1};
    VirtualClock clock{io};
    WorkPool pool;
    Loop loop{io, clock, pool};
    std::string folder;
    UniqueFd x, rfb;
    unsigned short port = 0;

    World() {
        char name[] = "/tmp/execd-fuzz-XXXXXX";
        EXECD_REQUIRE(::mkdtemp(name) != nullptr);
        folder = name;
        sockaddr_un at{};
        at.sun_family = AF_UNIX;
        std::string const path = folder + "/X7";
        std::memcpy(at.sun_path, path.data(), path.size());
        x = listener(AF_UNIX, reinterpret_cast<sockaddr const*>(&at), sizeof at);
        sockaddr_in any{};
        any.sin_family = AF_INET;
        any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        rfb = listener(AF_INET, reinterpret_cast<sockaddr const*>(&any), sizeof any);
        socklen_t size = sizeof any;
        EXECD_REQUIRE(::getsockname(rfb.get(), reinterpret_cast<sockaddr*>(&any), &size) == 0);
        port = ntohs(any.sin_port);
    }
    static UniqueFd listener(int family, sockaddr const* at, socklen_t size) {
        UniqueFd out(::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
        EXECD_REQUIRE(::bind(out.get(), at, size) == 0 && ::listen(out.get(), 8) == 0);
        return out;
    }
    void forget() const {
        ::unlink((folder + "/X7").c_str());
        ::rmdir(folder.c_str());
    }
};

World& world() {
    static World* const one = new World;
    static int const at_end = std::atexit([] { world().forget(); });
    (void)at_end;
    return *one;
}

Task<void> probe(Loop* loop, bool is_x, std::string folder, unsigned short port, Deadline deadline,
                 std::optional<Result<void>>* out) {
    if (is_x) {
        *out = co_await probe_x(*loop, std::move(folder), 7, deadline);
    } else {
        *out = co_await probe_rfb(*loop, port, deadline);
    }
}

void run(std::string_view input) {
    auto& w = world();
    unsigned const how = fuzz::take_byte(input);
    bool const is_x = (how & 1U) != 0;
    std::optional<Result<void>> said;
    Scope scope(w.loop, "fuzz");
    scope.spawn("probe", probe(&w.loop, is_x, w.folder, w.port,
                               Deadline::in(w.clock, std::chrono::seconds(1)), &said));
    w.clock.settle();
    {
        UniqueFd const peer(
            ::accept4((is_x ? w.x : w.rfb).get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
        auto const half = input.size() * (how >> 4U) / 16;
        for (auto const part : {input.substr(0, half), input.substr(half)}) {
            if (peer && !part.empty()) (void)::send(peer.get(), part.data(), part.size(), MSG_NOSIGNAL);
            w.clock.settle();
        }
        if ((how & 2U) != 0) w.clock.advance(std::chrono::seconds(2));  // it waits longer than its time
    }
    w.clock.advance(std::chrono::seconds(2));
    EXECD_REQUIRE(scope.running() == 0 && said.has_value());
    // Only what an X server or an RFB server without a password says is believed.
    if (*said) EXECD_REQUIRE(is_x ? input.starts_with('\1') : input.starts_with("RFB "));
}

fuzz::Target const kTarget("probes", run);

}  // namespace
}  // namespace execd::browser_proxy
