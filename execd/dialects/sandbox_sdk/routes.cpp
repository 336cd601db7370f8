#include "execd/dialects/sandbox_sdk/routes.hpp"

#include "base/ids.hpp"
#include "execd/dialects/sandbox_sdk/parts.hpp"

namespace execd::sandbox_sdk {

using http::Call;

namespace {

constexpr auto kKeyLife = std::chrono::hours(24 * 365);

Failure unknown(std::string const& id) { return fail(Code::not_found, "", "sandbox not found: " + id); }

// Minted with a credential, or freely where nothing is protected; what was minted begets nothing.
Task<Result<RegisterAnswer>> register_user(State& state, Call& call, RegisterRequest) {
    if (state.authenticator.protected_() && !call.principal.dialect.empty())
        co_return fail(Code::permission_denied, "", "a registered key cannot register others");
    RegisterAnswer out;
    out.user_id = uuid();
    auto key = state.authenticator.tokens().mint(auth::Dialect::sandbox_sdk, out.user_id, kKeyLife);
    if (!key) co_return Failure(key.error());
    out.user_id_camel = out.user_id;
    out.api_key = *key;
    out.api_key_camel = std::move(*key);
    co_return out;
}

Task<Result<HealthBody>> health(State& state, Call&, http::Nothing) {
    HealthBody out;
    out.timestamp = stamp_of(state.services.loop.clock().wall());
    co_return out;
}

}  // namespace

http::Row row_of(std::string method, std::string path, std::string operation, std::string doc) {
    http::Row row;
    row.method = std::move(method);
    row.path = std::move(path);
    row.operation_id = "sandboxSdk" + std::move(operation);
    row.doc = std::move(doc);
    return row;
}

Result<claims::ClaimPtr> sandbox_of(State& state, Call& call) {
    std::string const& id = call.param("sandboxId");
    auto claim = state.services.claims->find(id, kKind);
    if (!claim || !claim->alive() || claim->note("user") != caller_of(call)) return unknown(id);
    return claim;
}

Result<claims::Activity> enter(State& state, Call& call) {
    auto claim = sandbox_of(state, call);
    if (!claim) return Failure(claim.error());
    auto entered = state.services.claims->enter((*claim)->id(), kKind);
    if (!entered && entered.error().code == Code::conflict)
        return fail(Code::conflict, "", "the sandbox is paused: " + (*claim)->id());
    return entered;
}

std::string language_of(claims::Claim const& sandbox, std::optional<std::string> asked) {
    return asked && !asked->empty() ? std::move(*asked) : sandbox.note("language");
}

void add_account(Table& table) {
    auto row = row_of("GET", "/api/health", "Health", "Liveness.");
    row.access = http::Access::open;
    table.add<http::Nothing, HealthBody>(std::move(row), health);
    row = row_of("POST", "/api/auth/register", "Register",
                 "A user of one's own and its API key, which is good for this dialect alone.");
    row.statuses = {{201, nullptr, "application/json", "Registered"}};
    table.add<RegisterRequest, RegisterAnswer>(std::move(row), register_user);
}

std::vector<http::Row> rows(Services& services, Dialect& dialect, auth::Authenticator& authenticator) {
    Table table(std::make_shared<State>(services, dialect, authenticator));
    add_account(table);
    add_templates(table);
    add_sandboxes(table);
    add_execute(table);
    add_files(table);
    return std::move(table.rows());
}

}  // namespace execd::sandbox_sdk
