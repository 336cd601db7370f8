#include "execd/dialects/opensandbox/routes.hpp"

#include <charconv>

#include "execd/browser/sockets.hpp"
#include "execd/dialects/opensandbox/claims.hpp"
#include "execd/dialects/opensandbox/dialect.hpp"
#include "execd/dialects/opensandbox/parts.hpp"
#include "execd/http/proxy.hpp"
#include "execd/runtime_init.hpp"
#include "execd/self_proxy.hpp"

namespace execd::opensandbox {

using http::Answer;
using http::Call;

namespace {

// The path behind "/proxy/{port}" as it came, with its query (§1.11): what the upstream sees.
std::string upstream_target(Call const& call) {
    std::string_view path = call.path;
    path.remove_prefix(std::string_view("/proxy/").size());
    auto const slash = path.find('/');
    std::string target(slash == std::string_view::npos ? std::string_view("/") : path.substr(slash));
    if (!call.head->query.empty() || call.head->target.ends_with('?'))
        target.append("?").append(call.head->query);
    return target;
}

Task<Result<Answer>> proxy(Services& services, Call& call) {
    std::string const& text = call.param("port");
    unsigned port = 0;
    auto const [end, ec] = std::from_chars(text.data(), text.data() + text.size(), port);
    bool const number =
        ec == std::errc() && end == text.data() + text.size() && port > 0 && port < 65536 && text[0] != '0';
    auto const bad_gateway = [&text](std::string_view why) {
        Answer answer = Answer::bytes(502, "text/plain; charset=utf-8",
                                      "Bad Gateway: port " + text + ": " + std::string(why) + "\n");
        answer.headers.set("Retry-After", "0");
        return answer;
    };
    if (!number) co_return bad_gateway("not a port number");
    // The target stage takes ourselves off once and in its plain spelling; what is left is a second turn or
    // another spelling, and must not reach a program that listens there.
    if (port == kSelfPort || services.is_own_port(static_cast<unsigned short>(port)) ||
        browser::is_desktop_port(services, static_cast<unsigned short>(port)))
        co_return Answer::bytes(403, "text/plain; charset=utf-8", "port " + text + " is the daemon's own\n");
    auto answer =
        co_await services.proxy->forward(call, static_cast<unsigned short>(port), upstream_target(call));
    if (answer) co_return answer;
    if (answer.error().code == Code::unavailable) co_return bad_gateway(answer.error().detail);
    co_return answer;
}

// "/proxy/" lacks its port, "/proxy" is nothing (§1.11).
Task<Result<Answer>> no_port(Call& call) {
    if (!call.path.ends_with('/')) co_return call.dialect->not_found(*call.head);
    co_return Answer::bytes(400, "text/plain; charset=utf-8", "port is required");
}

}  // namespace

std::vector<http::Row> rows(Services& services) {
    Services* s = &services;
    std::vector<http::Row> out;
    http::Row ping;
    ping.method = "GET";
    ping.path = "/ping";
    ping.operation_id = "ping";
    ping.tag = "Health";
    ping.doc = "Liveness.";
    ping.access = http::Access::open;
    ping.sync = ping_of(services);
    out.push_back(ping);
    add_runtime_init(services, out);
    if (services.config.lifecycle) add_lifecycle(services, out);
    add_absent(services, out);
    std::size_t const data = out.size();
    add_commands(services, out);
    add_sessions(services, out);
    add_terminals(services, out);
    add_code(services, out);
    add_files(services, out);
    add_metrics(services, out);

    http::Row relay;
    relay.method = "*";
    relay.path = "/proxy/{port}/{rest...}";
    relay.operation_id = "proxy";
    relay.tag = "Proxy";
    relay.doc = "HTTP and WebSockets to a port of this container.";
    relay.body = http::BodyPolicy::raw;
    relay.body_limit = services.config.upload_limit;
    relay.on_disconnect = http::OnDisconnect::cancel;
    relay.invoke = [s](Call& call) { return proxy(*s, call); };
    out.push_back(relay);
    guard_claims(services, out, data);
    relay.path = "/proxy/{rest...}";
    relay.operation_id = "proxyWithoutPort";
    relay.doc = "400: a port is required.";
    relay.invoke = [](Call& call) { return no_port(call); };
    out.push_back(relay);
    if (services.config.runtime_init) wait_for_init(out, uninitialized);
    return out;
}

}  // namespace execd::opensandbox
