#include "execd/dialects/own/browser.hpp"

#include <nlohmann/json.hpp>

#include "browser_proxy/supervisor.hpp"
#include "execd/browser/sockets.hpp"
#include "execd/browser/viewer.hpp"
#include "execd/http/fields.hpp"
#include "execd/http/target.hpp"

namespace execd::own {

using browser_proxy::Supervisor;
using http::Answer;
using http::Call;
using Json = nlohmann::ordered_json;

namespace {

constexpr auto kPatience = std::chrono::seconds(25);

Answer json(Json const& body, unsigned status = 200) {
    return Answer::bytes(status, "application/json; charset=utf-8",
                         body.dump(3, ' ', false, Json::error_handler_t::replace) + "\n");
}

std::string first_of(Call const& call, std::string_view name) {
    std::string_view const list = call.header(name).value_or("");
    return std::string(http::trim(list.substr(0, list.find(','))));
}

/// "wss://sandbox.example/proxy/44772": where this client reaches us, as a WebSocket URL.
std::string our_address(Call const& call) {
    std::string host = first_of(call, "X-Forwarded-Host");
    if (host.empty()) host = std::string(call.head->host);
    if (host.empty()) host = "127.0.0.1:" + std::to_string(call.listener->port);
    std::string const proto = first_of(call, "X-Forwarded-Proto");
    bool const secure = http::iequals(proto, "https") || http::iequals(proto, "wss");
    std::string const port = first_of(call, "X-Forwarded-Port");
    bool const number =
        !port.empty() && port.size() <= 5 && port.find_first_not_of("0123456789") == port.npos;
    bool const has_port = host.find(':', host.rfind(']') == host.npos ? 0 : host.rfind(']')) != host.npos;
    if (number && !has_port && port != (secure ? "443" : "80")) host += ":" + port;
    return (secure ? "wss://" : "ws://") + host + first_of(call, "X-Forwarded-Prefix") + call.mount;
}

Json described(Call const& call, browser_proxy::Target const& target) {
    std::string const address = our_address(call) + "/devtools/page/" + target.id;
    return Json{{"description", ""},
                {"devtoolsFrontendUrl", ""},
                {"id", target.id},
                {"title", target.title},
                {"type", target.type},
                {"url", target.url},
                {"webSocketDebuggerUrl", address}};
}

Task<Result<Supervisor*>> up(Services& services) {
    auto supervisor = browser::supervisor_of(services);
    if (!supervisor) co_return Failure(supervisor.error());
    auto endpoint = co_await (*supervisor)->browser(Deadline::in(services.loop.clock(), kPatience));
    if (!endpoint) co_return Failure(endpoint.error());
    co_return *supervisor;
}

Task<Result<Answer>> list(Services& services, Call& call) {
    auto supervisor = co_await up(services);
    if (!supervisor) co_return Failure(supervisor.error());
    Json out = Json::array();
    for (auto const& target : (*supervisor)->chromium().targets())
        if (target.type != "browser_ui" && target.type != "tab") out.push_back(described(call, target));
    co_return json(out);
}

Task<Result<Answer>> version(Services& services, Call& call) {
    auto supervisor = co_await up(services);
    if (!supervisor) co_return Failure(supervisor.error());
    auto const& about = (*supervisor)->chromium().version();
    co_return json(Json{{"Browser", about.product},
                        {"Protocol-Version", about.protocol},
                        {"User-Agent", about.user_agent},
                        {"V8-Version", about.javascript},
                        {"WebKit-Version", "537.36 (" + about.revision + ")"},
                        {"webSocketDebuggerUrl", our_address(call) + (*supervisor)->chromium().path()}});
}

Task<Result<Answer>> create(Services& services, Call& call) {
    auto supervisor = co_await up(services);
    if (!supervisor) co_return Failure(supervisor.error());
    auto& chromium = (*supervisor)->chromium();
    // Chromium's form is /json/new?https://example.com; other tools write ?url=.
    std::string url = http::percent_decode(call.head->query).value_or("");
    if (auto const named = call.query_value("url")) url = std::string(*named);
    if (url.empty()) url = "about:blank";
    auto const pipe = chromium.pipe();
    if (!pipe) co_return fail(Code::unavailable, "browser", chromium.reason());
    Deadline const deadline = Deadline::in(services.loop.clock(), kPatience);
    auto id = co_await pipe->create_page(url, deadline);
    if (!id) co_return Failure(id.error());
    browser_proxy::Target made{*id, "page", "", url};
    for (auto const& target : chromium.targets())
        if (target.id == *id) made = target;
    co_return json(described(call, made));
}

using PipeCall = Task<Result<void>> (browser_proxy::CdpPipe::*)(std::string, Deadline);

Task<Result<Answer>> about_target(Services& services, Call& call, PipeCall what, std::string_view done) {
    auto supervisor = co_await up(services);
    if (!supervisor) co_return Failure(supervisor.error());
    auto const pipe = (*supervisor)->chromium().pipe();
    if (!pipe) co_return fail(Code::unavailable, "browser", "it has ended");
    std::string id = call.param("id");
    auto result = co_await ((*pipe).*what)(id, Deadline::in(services.loop.clock(), kPatience));
    if (!result && result.error().code == Code::not_found)
        co_return fail(Code::not_found, "", "No such target id: " + id);
    if (!result) co_return Failure(result.error());
    co_return Answer::bytes(200, "text/html; charset=UTF-8", std::string(done));
}

Result<Answer> status(Services& services, Call& call) {
    if (services.browser == nullptr) return json(Json{{"mode", "off"}, {"units", Json::array()}});
    auto& supervisor = *services.browser;
    auto& chromium = supervisor.chromium();
    Json units = Json::array();
    for (auto const& unit : supervisor.status()) {
        Json one{{"name", unit.name},
                 {"state", unit.missing.empty() ? to_string(unit.state) : std::string_view("missing")},
                 {"pid", unit.pid},
                 {"generation", unit.generation},
                 {"ended", unit.ended}};
        if (!unit.missing.empty()) one["why"] = unit.missing;
        if (!unit.reason.empty()) one["last_end"] = unit.reason;
        units.push_back(std::move(one));
    }
    Json out{{"mode", services.config.browser.mode == BrowserMode::boot ? "boot" : "on-demand"},
             {"ready", chromium.ready()},
             {"width", supervisor.options().width},
             {"height", supervisor.options().height},
             {"profile", supervisor.options().profile},
             {"flags", supervisor.options().flags},
             {"recordings", supervisor.options().recording.directory},
             {"recording_limit", supervisor.options().recording.bytes},
             {"recording_age_s", supervisor.options().recording.age.count() / 1'000'000'000},
             {"display", supervisor.display().name()},
             {"sandbox", chromium.sandboxed()},
             {"pages_crashed", chromium.pages_crashed()}};
    if (chromium.ready()) {
        std::size_t pages = 0;
        for (auto const& target : chromium.targets()) pages += target.type == "page" ? 1 : 0;
        out["pages"] = pages;
        out["browser"] = chromium.version().product;
        out["cdp_url"] = our_address(call) + "/cdp";
    }
    auto const& trouble = supervisor.recorder().trouble();
    out["recording"] = supervisor.recorder().recording();
    if (!trouble.empty()) out["recording_trouble"] = trouble;
    out["units"] = std::move(units);
    return json(out);
}

http::Row row_of(std::string method, std::string path, std::string id, std::string doc) {
    http::Row row;
    row.method = std::move(method);
    row.path = std::move(path);
    row.operation_id = std::move(id);
    row.doc = std::move(doc);
    row.tag = "Browser";
    return row;
}

}  // namespace

std::vector<http::Row> browser_rows(Services& services) {
    Services* const s = &services;
    std::vector<http::Row> rows;
    auto const add = [&rows](http::Row row, http::Handler handler) {
        row.invoke = std::move(handler);
        rows.push_back(std::move(row));
    };
    auto about = row_of("GET", "/execd/v1/browser", "getBrowser", "The desktop's programs and how they are.");
    about.sync = [s](Call& call) { return status(*s, call); };
    rows.push_back(std::move(about));
    add(row_of("GET", "/cdp", "openBrowser", "WebSocket: Chrome DevTools Protocol of the browser."),
        [s](Call& call) { return browser::open_cdp(*s, call, {}); });
    // Whatever id a client remembers: there is one browser, also after it was started again.
    add(row_of("GET", "/devtools/browser/{id}", "openBrowserById", "The same."),
        [s](Call& call) { return browser::open_cdp(*s, call, {}); });
    add(row_of("GET", "/devtools/page/{id}", "openPage", "WebSocket: DevTools protocol of one target."),
        [s](Call& call) {
            std::string const& id = call.param("id");
            bool const plain = !id.empty() && id.find_first_not_of("0123456789ABCDEFabcdef-") == id.npos;
            return browser::open_cdp(*s, call, "/devtools/page/" + (plain ? id : std::string("none")));
        });
    add(row_of("GET", "/websockify", "openDesktop", "WebSocket: the desktop, RFB in binary messages."),
        [s](Call& call) { return browser::open_vnc(*s, call); });
    auto page = row_of("GET", "/vnc/{file...}", "viewDesktop", "A page that shows the desktop (noVNC).");
    page.access = http::Access::open;  // the page alone: its socket wants a credential
    page.statuses = {{200, nullptr, "text/html", "The page, or a script of it"}};
    add(std::move(page), [s](Call& call) { return browser::viewer_file(*s, call, call.param("file")); });
    add(row_of("GET", "/json", "listTargets", "Pages and other targets, as Chromium lists them."),
        [s](Call& call) { return list(*s, call); });
    add(row_of("GET", "/json/list", "listTargetsToo", "The same."),
        [s](Call& call) { return list(*s, call); });
    add(row_of("GET", "/json/version", "browserVersion", "Versions and the address for /cdp clients."),
        [s](Call& call) { return version(*s, call); });
    add(row_of("PUT", "/json/new", "newPage", "Opens a page: ?URL, or ?url=URL."),
        [s](Call& call) { return create(*s, call); });
    using browser_proxy::CdpPipe;
    add(row_of("GET", "/json/activate/{id}", "activatePage", "Brings a page to the front."),
        [s](Call& call) { return about_target(*s, call, &CdpPipe::activate, "Target activated"); });
    add(row_of("GET", "/json/close/{id}", "closePage", "Closes a page."),
        [s](Call& call) { return about_target(*s, call, &CdpPipe::close_target, "Target is closing"); });
    return rows;
}

}  // namespace execd::own
