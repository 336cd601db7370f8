// GET /ready and POST /internal/init (contracts/opensandbox.md §9): a warm container learns whose it is. The
// route exists only where EXECD_RUNTIME_INIT says so; then it is open until it was used, and everything else
// waits for it.
#include <nlohmann/json.hpp>

#include "execd/auth/authenticator.hpp"
#include "execd/dialects/opensandbox/bodies.hpp"
#include "execd/dialects/opensandbox/claims.hpp"
#include "execd/dialects/opensandbox/dialect.hpp"
#include "execd/dialects/opensandbox/lifecycle_schemas.hpp"
#include "execd/runtime_init.hpp"
#include "kernels/contexts.hpp"

namespace execd::opensandbox {

using http::Answer;
using http::Call;

namespace {

bool empty_json(std::optional<wire::JsonText> const& value) {
    if (!value) return true;
    auto const tree = nlohmann::json::parse(value->text, nullptr, false);
    return tree.is_null() || ((tree.is_object() || tree.is_array()) && tree.empty());
}

Result<Answer> ready(Services& services) {
    RuntimeInit const& init = runtime_init();
    ReadyBody body;
    body.initialized = !services.config.runtime_init || init.done;
    body.sandbox_id = init.sandbox_id;
    body.generation = init.generation;
    bool const up = body.initialized && services.readiness.ready() && !services.readiness.stopping;
    Answer answer = json(to_json(body), up ? 200 : 503);
    if (!up) answer.headers.set("Retry-After", "0");
    return answer;
}

bool is_variable(std::string const& name, std::string const& value) {
    return !name.empty() && name.find_first_of(std::string_view("=\0", 2)) == std::string::npos &&
           value.find('\0') == std::string::npos;
}

Task<Result<Answer>> initialize(Services& services, Call& call) {
    RuntimeInitRequest request;
    BodyTexts const texts{"", "", false};
    if (auto refused = co_await read_body(call, request, texts)) co_return std::move(*refused);
    RuntimeInit& init = runtime_init();
    if (init.done) co_return refusal(409, "ALREADY_INITIALIZED", "execd is initialized already");
    if (!request.entrypoint_policy.empty() && request.entrypoint_policy != "keep")
        co_return request.entrypoint_policy == "restart"
            ? refusal(501, code::kNotSupported, "entrypointPolicy: only keep is supported")
            : refusal(400, code::kBody, "entrypointPolicy: keep or restart is expected");
    if (!empty_json(request.lifecycle))
        co_return refusal(501, code::kNotSupported, "lifecycle: hooks are not supported");
    for (auto const& [name, value] : request.envs)
        if (!is_variable(name, value) || auth::is_hidden_variable(name))
            co_return refusal(400, code::kBody, "envs: not allowed: " + name);
    if (!request.access_token_hash.empty()) {
        auto added = services.authenticator->add_token_hash(request.access_token_hash);
        if (!added) co_return refusal(400, code::kBody, "accessTokenHash: " + added.error().message());
    }
    init.sandbox_id = request.sandbox_id;
    init.generation = request.generation;
    services.contexts->add_env(request.envs);
    init.env = std::move(request.envs);
    init.done = true;
    auto answer = ready(services);
    if (answer) answer->status = 200;  // it is done, whatever is not up yet
    co_return answer;
}

}  // namespace

void add_runtime_init(Services& services, std::vector<http::Row>& out) {
    Services* s = &services;
    http::Row row;
    row.tag = "Health";
    row.method = "GET";
    row.path = "/ready";
    row.operation_id = "ready";
    row.doc = "Readiness: 200 or 503.";
    row.access = http::Access::open;
    row.statuses = {{200, &wire::Codec<ReadyBody>::ops, "application/json", "Ready"},
                    {503, &wire::Codec<ReadyBody>::ops, "application/json", "Not yet"}};
    row.sync = [s](Call&) { return ready(*s); };
    out.push_back(row);
    if (!services.config.runtime_init) return;
    row.method = "POST";
    row.path = "/internal/init";
    row.operation_id = "initialize";
    row.doc = "Once: whose sandbox this is, its environment and its token.";
    row.body = http::BodyPolicy::json;
    row.on_disconnect = http::OnDisconnect::keep;
    row.request = &wire::Codec<RuntimeInitRequest>::ops;
    row.statuses = {{200, &wire::Codec<ReadyBody>::ops, "application/json", "Ready"},
                    {409, nullptr, "application/json", "Done before"}};
    row.sync = nullptr;
    row.invoke = [s](Call& call) { return initialize(*s, call); };
    out.push_back(row);
}

}  // namespace execd::opensandbox
