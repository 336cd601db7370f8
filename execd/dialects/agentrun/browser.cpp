// The browser's and the desktop's sockets (contracts/agentrun.md §2).
#include "execd/browser/sockets.hpp"
#include "execd/dialects/agentrun/parts.hpp"

namespace execd::agentrun {

void add_browser(Table& table) {
    auto const add = [&table](std::string path, std::string operation, std::string doc, auto open) {
        auto row = row_of("GET", std::move(path), std::move(operation), std::move(doc));
        row.tag = "AgentRun";
        row.statuses = {{101, nullptr, "", "The frames"}};
        row.invoke = [state = table.state(), open](http::Call& call) { return open(state->services, call); };
        table.add_both(std::move(row));
    };
    auto const cdp = [](Services& services, http::Call& call) {
        return browser::open_cdp(services, call, {});
    };
    auto const vnc = [](Services& services, http::Call& call) { return browser::open_vnc(services, call); };
    add("/ws/automation", "openAutomation", "WebSocket: Chrome DevTools Protocol of the browser.", cdp);
    add("/ws/liveview", "openLiveview", "WebSocket: the desktop, RFB in binary messages.", vnc);
    add("/ws/livestream", "openLivestream", "The same.", vnc);
}

}  // namespace execd::agentrun
