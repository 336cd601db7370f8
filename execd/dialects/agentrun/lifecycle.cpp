// /sandboxes (contracts/agentrun.md §1.4): what the cloud's gateway answers, so that create, connect and
// `with` work against one execd alone. Answers are enveloped: the SDK takes nothing else.
#include "base/ids.hpp"
#include "execd/dialects/agentrun/parts.hpp"

namespace execd::agentrun {

using http::Call;

namespace {

Envelope enveloped(Claim const& claim) {
    Envelope out;
    out.request_id = uuid();
    SandboxBody& body = out.data;
    body.sandbox_id = claim.id;
    // Clients compare it with what their template says; theirs is made of the name too (§7.2).
    body.template_id = claim.template_name;
    body.template_name = claim.template_name;
    body.status = claim.ended ? "TERMINATED" : "READY";
    body.created_at = stamp_of(claim.created);
    body.last_updated_at = stamp_of(claim.updated);
    if (claim.ended) body.ended_at = stamp_of(*claim.ended);
    body.idle_timeout_seconds = claim.idle_seconds;
    body.idle_timeout_in_seconds = claim.idle_seconds;
    return out;
}

// Any id is this sandbox (architecture §8): one that was never created is as good as one that was.
Claim claim_of(State& state, std::string const& id) {
    if (Claim const* known = state.claims.find(id)) return *known;
    Claim out;
    out.id = id;
    out.template_name = "execd";
    out.created = state.services.loop.clock().wall();
    out.updated = out.created;
    return out;
}

Task<Result<Envelope>> create(State& state, Call&, CreateRequest request) {
    WallTime const now = state.services.loop.clock().wall();
    Claim claim;
    claim.id = request.sandbox_id.value_or("");
    if (claim.id.empty()) claim.id = new_sandbox_id(now);
    claim.template_name = request.template_name.empty() ? "execd" : std::move(request.template_name);
    claim.created = now;
    claim.updated = now;
    claim.idle_seconds = request.idle_timeout_seconds;
    std::string const id = claim.id;
    Claim const* const made = state.claims.create(std::move(claim));
    if (made == nullptr) co_return fail(Code::already_exists, "", "sandbox already exists: " + id);
    co_return enveloped(*made);
}

Task<Result<Envelope>> get(State& state, Call& call, http::Nothing) {
    co_return enveloped(claim_of(state, call.param("sandboxId")));
}

// Neither ends what runs here: the sandbox is execd's own and has other users.
Task<Result<Envelope>> end(State& state, Call& call, http::Nothing) {
    std::string const id = call.param("sandboxId");
    WallTime const now = state.services.loop.clock().wall();
    bool const ended = state.claims.end(id, now);
    if (!ended && call.head->method == "DELETE")
        co_return fail(Code::not_found, "", "sandbox not found: " + id);
    Claim claim = claim_of(state, id);
    if (!claim.ended) claim.ended = now;
    co_return enveloped(claim);
}

}  // namespace

void add_lifecycle(Table& table) {
    auto const add = [&table]<class Req>(std::string method, std::string path, std::string operation,
                                         std::string doc,
                                         Task<Result<Envelope>> (*handler)(State&, Call&, Req)) {
        auto row = row_of(std::move(method), std::move(path), std::move(operation), std::move(doc));
        row.tag = "AgentRun";
        row.dialect = &table.state()->dialect;
        row.on_disconnect = http::OnDisconnect::keep;
        table.rows().push_back(http::route<Req, Envelope>(
            std::move(row), table.state()->dialect,
            http::TypedHandler<Req, Envelope>([state = table.state(), handler](Call& call, Req request) {
                return handler(*state, call, std::move(request));
            })));
    };
    add("POST", "/sandboxes", "createSandbox", "A claim on this sandbox, under a new or a given id.", create);
    add("GET", "/sandboxes/{sandboxId}", "getSandbox", "The claim; any id is this sandbox.", get);
    add("POST", "/sandboxes/{sandboxId}/stop", "stopSandbox", "Ends the claim; execd lives on.", end);
    add("DELETE", "/sandboxes/{sandboxId}", "deleteSandbox", "Ends the claim; execd lives on.", end);
}

}  // namespace execd::agentrun
