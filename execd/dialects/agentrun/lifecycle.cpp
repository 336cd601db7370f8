// /sandboxes (contracts/agentrun.md §1.4): what the cloud's gateway answers, so that create, connect and
// `with` work against one execd alone. Answers are enveloped: the SDK takes nothing else.
#include "base/ids.hpp"
#include "execd/dialects/agentrun/parts.hpp"

namespace execd::agentrun {

using http::Call;

namespace {

// Notes of a claim: the template's name; whether an idle time was asked for (0 is none, and is answered).
constexpr std::string_view kTemplate = "template";
constexpr std::string_view kIdle = "idle";

/// Any id is this sandbox (architecture §8): one that was never created is as good as one that was.
Envelope enveloped(State& state, std::string const& id, claims::Claim const* claim, bool ended) {
    Envelope out;
    out.request_id = uuid();
    SandboxBody& body = out.data;
    WallTime const now = state.services.loop.clock().wall();
    body.sandbox_id = id;
    // Clients compare it with what their template says; theirs is made of the name too (§7.2).
    body.template_id = claim != nullptr ? claim->note(kTemplate) : "execd";
    body.template_name = body.template_id;
    body.status = ended ? "TERMINATED" : "READY";
    body.created_at = stamp_of(claim != nullptr ? claim->created() : now);
    body.last_updated_at = stamp_of(claim != nullptr ? claim->updated() : now);
    if (ended) body.ended_at = stamp_of(claim != nullptr ? claim->ended().value_or(now) : now);
    if (claim == nullptr) return out;
    if (!claim->note(kIdle).empty())
        body.idle_timeout_seconds = std::chrono::floor<std::chrono::seconds>(claim->idle()).count();
    body.idle_timeout_in_seconds = body.idle_timeout_seconds;
    return out;
}

Task<Result<Envelope>> create(State& state, Call&, CreateRequest request) {
    constexpr std::int64_t kLongest = 100LL * 365 * 24 * 3600;  // seconds
    claims::Spec spec;
    spec.kind = kKind;
    spec.id = request.sandbox_id.value_or("");
    if (spec.id.empty()) spec.id = new_sandbox_id(state.services.loop.clock().wall());
    spec.may_reuse_id = true;
    spec.notes.emplace(kTemplate, request.template_name.empty() ? "execd" : std::move(request.template_name));
    if (request.idle_timeout_seconds) {
        spec.idle = std::chrono::seconds(std::min(*request.idle_timeout_seconds, kLongest));
        spec.notes.emplace(kIdle, "said");
    }
    std::string const id = spec.id;
    auto made = co_await state.services.claims->create(std::move(spec));
    if (!made && made.error().code == Code::already_exists)
        co_return fail(Code::already_exists, "", "sandbox already exists: " + id);
    if (!made) co_return Failure(made.error());
    co_return enveloped(state, id, made->get(), false);
}

Task<Result<Envelope>> get(State& state, Call& call, http::Nothing) {
    std::string const id = call.param("sandboxId");
    auto const claim = state.services.claims->find(id, kKind);
    co_return enveloped(state, id, claim.get(), claim && !claim->alive());
}

// Its own work ends with it; the sandbox is execd's and has other users.
Task<Result<Envelope>> end(State& state, Call& call, http::Nothing) {
    std::string const id = call.param("sandboxId");
    auto const claim = state.services.claims->find(id, kKind);
    if (claim && !claim->alive() && call.head->method == "DELETE")
        co_return fail(Code::not_found, "", "sandbox not found: " + id);
    if (claim) co_await state.services.claims->end(claim, claims::Cause::killed);
    co_return enveloped(state, id, claim.get(), true);
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
