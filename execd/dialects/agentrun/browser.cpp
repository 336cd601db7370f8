// The browser's and the desktop's sockets (contracts/agentrun.md §2).
#include "execd/browser/sockets.hpp"
#include "execd/browser/viewer.hpp"
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
    auto page =
        row_of("GET", "/static/{file...}", "viewDesktopPage", "vnc.html: a page that shows the desktop.");
    page.tag = "AgentRun";
    page.access = http::Access::open;  // the page alone: its socket wants a credential
    page.statuses = {{200, nullptr, "text/html", "The page, or a script of it"}};
    page.invoke = [state = table.state()](http::Call& call) {
        std::string file = call.param("file");
        if (file.empty()) file = "index";  // no page of ours
        return browser::viewer_file(state->services, call, std::move(file));
    };
    table.add_both(std::move(page));
}

}  // namespace execd::agentrun
