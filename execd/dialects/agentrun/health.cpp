// GET /health (contracts/agentrun.md §6): 200 while the process lives, because clients read `status` outside
// of any try; the same route answers every other system's liveness probe (DESIGN §1).
#include "execd/dialects/agentrun/parts.hpp"
#include "execd/readiness.hpp"
#include "execd/version.hpp"

namespace execd::agentrun {

namespace {

Result<http::Answer> health(State& state, http::Call&) {
    Readiness const& readiness = state.services.readiness;
    HealthBody body;
    // A client waits until the status is "ok": what will never come up is no reason to wait.
    bool const starting = still_starting(readiness);
    body.status = starting ? "starting" : "ok";
    body.code = starting ? "STARTING" : "OK";
    body.message = starting ? "starting" : readiness.ready() ? "ready" : "ready without";
    for (auto const& what : readiness.missing) body.message += ": " + what;
    body.version = version();
    body.timestamp = stamp_of(state.services.loop.clock().wall());
    body.uptime = (state.services.loop.clock().now() - state.started).count();
    std::string text;
    wire::encode(body, state.dialect.writing(), text);
    return http::Answer::bytes(200, "application/json", std::move(text));
}

}  // namespace

void add_health(Table& table) {
    auto row = row_of("GET", "/health", "health", "Liveness: 200 while the process lives; status says more.");
    row.tag = "AgentRun";
    row.access = http::Access::open;
    row.statuses = {{200, &wire::Codec<HealthBody>::ops, "application/json", "It lives"}};
    row.sync = [state = table.state()](http::Call& call) { return health(*state, call); };
    table.add_both(std::move(row));
}

}  // namespace execd::agentrun
