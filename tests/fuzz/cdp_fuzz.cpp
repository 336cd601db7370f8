// Both ends of Chromium's protocol: what clients send up (any chunking gives the same), and what a browser,
// or something that took its place, writes on its pipe.
#include <sys/socket.h>

#include <nlohmann/json.hpp>

#include "base/check.hpp"
#include "base/scope.hpp"
#include "base/work_pool.hpp"
#include "browser_proxy/cdp_pipe.hpp"
#include "execd/browser/cdp_filter.hpp"
#include "execd/http/wire/json_parse.hpp"
#include "tests/fuzz/target.hpp"

namespace execd::browser {
namespace {

struct Taken {
    std::string up, replies;
    bool closed = false, broken = false;
};

Taken feed(std::string bytes, std::size_t step) {
    CdpFilter filter;
    Taken out;
    for (std::size_t at = 0; at < bytes.size() && !out.closed && !out.broken; at += step) {
        auto const block = std::span(bytes).subspan(at, std::min(step, bytes.size() - at));
        auto const one = filter.take(block, out.up);
        out.replies += one.replies;
        out.closed = one.closed;
        out.broken = one.broken;
    }
    return out;
}

void from_clients(std::string_view input) {
    std::size_t const step = 2 + fuzz::take_byte(input);
    auto const whole = feed(std::string(input), input.size() + 1);
    for (std::size_t const each : {std::size_t{1}, step}) {
        auto const pieces = feed(std::string(input), each);
        EXECD_REQUIRE(pieces.broken == whole.broken && pieces.closed == whole.closed);
        EXECD_REQUIRE(pieces.replies == whole.replies);
        EXECD_REQUIRE(pieces.up == whole.up || whole.broken);
    }
    auto const reply = reply_instead(input);
    EXECD_REQUIRE(reply.empty() || wire::parse_json(reply).has_value());
}

Task<void> ask(std::shared_ptr<browser_proxy::CdpPipe> pipe, Deadline deadline) {
    auto const said = co_await pipe->version(deadline);
    EXECD_REQUIRE(said || !said.error().message().empty());
}

/// Never destroyed: a pool's threads end with the process.
struct World {
    asio::io_context io{1};
    VirtualClock clock{io};
    WorkPool pool;
    Loop loop{io, clock, pool};
};

void from_browser(std::string_view input) {
    static auto& world = *new World;
    int ends[2] = {-1, -1};
    EXECD_REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
    UniqueFd const browser(ends[1]);
    unsigned targets = 0;
    auto const pipe = std::make_shared<browser_proxy::CdpPipe>(
        world.loop, UniqueFd(ends[0]), [&targets](browser_proxy::TargetEvent const& event) {
            EXECD_REQUIRE(!event.target.id.empty());
            ++targets;
        });
    Scope scope(world.loop, "fuzz");
    scope.spawn("run", browser_proxy::CdpPipe::run(pipe));
    scope.spawn("ask", ask(pipe, Deadline::in(world.clock, std::chrono::seconds(1))));
    world.clock.settle();
    for (auto const part : {input.substr(0, input.size() / 2), input.substr(input.size() / 2)}) {
        (void)::send(browser.get(), part.data(), part.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        world.clock.settle();
    }
    EXECD_REQUIRE(targets <= input.size());
    pipe->close();
    world.clock.advance(std::chrono::seconds(2));
    EXECD_REQUIRE(scope.running() == 0);
}

void run(std::string_view input) {
    fuzz::take_byte(input) % 2 == 0 ? from_clients(input) : from_browser(input);
}

fuzz::Target const kTarget("cdp", run);

}  // namespace
}  // namespace execd::browser
