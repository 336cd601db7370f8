#include "execd/dialects/cloud_sandbox/routes.hpp"

#include "base/ids.hpp"
#include "execd/dialects/cloud_sandbox/parts.hpp"

namespace execd::cloud_sandbox {

using http::Call;

namespace {

constexpr auto kTokenLife = std::chrono::hours(24);
constexpr std::size_t kUuid = 36;  // characters of a session's id

// The next acquire names no session and a resumed client brings a new token: the user is all that binds them.
Task<Result<TokenAnswer>> token(State& state, Call& call, TokenRequest request) {
    if (state.authenticator.protected_() && !call.principal.dialect.empty())
        co_return fail(Code::permission_denied, "", "an issued token cannot issue others");
    auto made = state.authenticator.tokens().mint(auth::Dialect::cloud_sandbox, std::move(request.user_id),
                                                  kTokenLife);
    if (!made) co_return Failure(made.error());
    TokenAnswer out;
    out.access_token = std::move(*made);
    out.expires_in = std::chrono::duration_cast<std::chrono::seconds>(kTokenLife).count();
    co_return out;
}

std::string milliseconds_text(WallTime at) {
    return std::to_string(
        std::chrono::duration_cast<std::chrono::milliseconds>(at.time_since_epoch()).count());
}

}  // namespace

http::Row row_of(std::string method, std::string path, std::string operation, std::string doc) {
    http::Row row;
    row.method = std::move(method);
    row.path = "/api/v1" + std::move(path);
    row.operation_id = "cloudSandbox" + std::move(operation);
    row.doc = std::move(doc);
    return row;
}

void take_turn(State& state, claims::Claim& session) {
    (void)state.services.claims->set_note(session, "turn", std::to_string(++state.turn));
}

Task<Result<claims::ClaimPtr>> open_session(State& state, std::string user, claims::Spec spec,
                                            Duration life) {
    WallTime const now = state.services.loop.clock().wall();
    spec.kind = kKind;
    spec.notes["user"] = std::move(user);
    spec.notes["active"] = milliseconds_text(now);
    spec.expires = now + std::chrono::duration_cast<WallTime::duration>(life);
    auto made = co_await state.services.claims->create(std::move(spec));
    if (made) take_turn(state, **made);
    co_return made;
}

Result<claims::ClaimPtr> session_of(State& state, Call const& call, std::string const& id) {
    auto claim = state.services.claims->find(id, kKind);
    if (!claim || !claim->alive() || claim->note("user") != caller_of(call) || !claim->note("pooled").empty())
        return fail(Code::not_found, "", "session not found: " + id);
    return claim;
}

Result<claims::ClaimPtr> sandbox_of(State& state, Call const& call, std::string const& id) {
    auto claim = state.services.claims->find(std::string_view(id).substr(0, kUuid), kKind);
    if (id.empty() || !claim || !claim->alive() || claim->note("sandbox") != id ||
        claim->note("user") != caller_of(call))
        return fail(Code::not_found, "", "sandbox not found: " + id);
    return claim;
}

Result<claims::Activity> enter(State& state, Call const& call, std::string const& id) {
    auto claim = sandbox_of(state, call, id);
    if (!claim) return Failure(claim.error());
    auto entered = state.services.claims->enter((*claim)->id(), kKind);
    if (!entered && entered.error().code == Code::conflict)
        return fail(Code::conflict, "", "the session is paused: " + (*claim)->id());
    if (entered)
        (void)state.services.claims->set_note(**claim, "active",
                                              milliseconds_text(state.services.loop.clock().wall()));
    return entered;
}

std::vector<http::Row> rows(Services& services, Dialect& dialect, auth::Authenticator& authenticator) {
    Table table(std::make_shared<State>(services, dialect, authenticator));
    auto row = row_of("POST", "/auth/token", "Token",
                      "A token that names a user; where secrets are set only with one of them.");
    table.add<TokenRequest, TokenAnswer>(std::move(row), token);
    add_sessions(table);
    add_sandboxes(table);
    add_execute(table);
    add_files(table);
    return std::move(table.rows());
}

}  // namespace execd::cloud_sandbox
