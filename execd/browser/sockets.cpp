#include "execd/browser/sockets.hpp"

#include <array>

#include "browser_proxy/supervisor.hpp"
#include "execd/browser/cdp_relay.hpp"
#include "execd/browser/vnc_relay.hpp"
#include "execd/http/websocket.hpp"

namespace execd::browser {

using http::Answer;
using http::Call;

namespace {

constexpr auto kPatience = std::chrono::seconds(25);

// A relay may take its own time: messages pass as they are, and Chromium answers pings itself.
class Refused final : public http::WebSocketHandler {
  public:
    Task<void> serve(http::WebSocket&) override { co_return; }
};

// Its value counts: clients send recording=false, too (contracts/agentrun.md §2.1).
Result<std::shared_ptr<void>> recording_lease(browser_proxy::Supervisor& supervisor, Call const& call) {
    auto const asked = call.query_value("recording");
    if (!asked || (*asked != "true" && *asked != "1")) return std::shared_ptr<void>();
    if (auto why = supervisor.recorder().missing(); !why.empty())
        return fail(Code::unavailable, "recording", std::move(why));
    return supervisor.recorder().lease();
}

std::string_view field(Call const& call, std::string_view name) { return call.header(name).value_or(""); }

}  // namespace

Result<browser_proxy::Supervisor*> supervisor_of(Services& services) {
    if (services.browser == nullptr)
        return fail(Code::unavailable, "browser", "it is switched off here (EXECD_BROWSER=off)");
    return services.browser;
}

bool is_desktop_port(Services const& services, unsigned short port) {
    if (services.browser == nullptr || port == 0) return false;
    return port == services.browser->chromium().port() || port == services.browser->vnc_server().port();
}

Task<Result<Answer>> open_cdp(Services& services, Call& call, std::string path) {
    auto supervisor = supervisor_of(services);
    if (!supervisor) co_return Failure(supervisor.error());
    // The refusals of a broken handshake, before anything is started for it.
    Answer answer = http::upgrade_to_websocket(*call.head, std::make_unique<Refused>());
    if (answer.status != 101) co_return answer;
    Deadline const deadline = Deadline::in(services.loop.clock(), kPatience);
    auto endpoint = co_await (*supervisor)->browser(deadline);
    if (!endpoint) co_return Failure(endpoint.error());
    std::string where = path.empty() ? endpoint->path : std::move(path);
    auto upstream = co_await connect_cdp(services.loop, endpoint->port, std::move(where), deadline);
    if (!upstream) co_return Failure(upstream.error());
    auto lease = recording_lease(**supervisor, call);
    if (!lease) co_return Failure(lease.error());
    answer.body = std::make_unique<CdpRelay>(**supervisor, std::move(*upstream), endpoint->generation,
                                             std::move(*lease));
    co_return answer;
}

Task<Result<Answer>> open_vnc(Services& services, Call& call) {
    auto supervisor = supervisor_of(services);
    if (!supervisor) co_return Failure(supervisor.error());
    static constexpr std::array<std::string_view, 1> kKnown{"binary"};
    auto const chosen = http::ws_choose_protocol(field(call, "Sec-WebSocket-Protocol"), kKnown);
    Answer answer = http::upgrade_to_websocket(*call.head, std::make_unique<Refused>(), chosen);
    if (answer.status != 101) co_return answer;
    Deadline const deadline = Deadline::in(services.loop.clock(), kPatience);
    auto port = co_await (*supervisor)->vnc(deadline);
    if (!port) co_return Failure(port.error());
    auto upstream = co_await http::Stream::connect(services.loop, "127.0.0.1", *port, deadline);
    if (!upstream) co_return fail(Code::unavailable, "vnc", upstream.error().message());
    auto lease = recording_lease(**supervisor, call);
    if (!lease) co_return Failure(lease.error());
    auto relay = std::make_unique<VncRelay>(**supervisor, std::move(*upstream), std::move(*lease));
    co_return http::upgrade_to_websocket(*call.head, std::move(relay), chosen, VncRelay::options());
}

}  // namespace execd::browser
