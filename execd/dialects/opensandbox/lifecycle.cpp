// /v1/sandboxes (the lifecycle specification; opensandbox-1.1.md §8): the daemon answers for its own
// container, and each sandbox that is created is a claim on it.
#include <sys/utsname.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "execd/dialects/opensandbox/bodies.hpp"
#include "execd/dialects/opensandbox/claims.hpp"
#include "execd/dialects/opensandbox/dialect.hpp"
#include "execd/dialects/opensandbox/lifecycle_parts.hpp"
#include "execd/http/fields.hpp"
#include "execd/http/target.hpp"

namespace execd::opensandbox {

using http::Answer;
using http::Call;

namespace {

constexpr std::int64_t kLongest = 100LL * 365 * 24 * 3600;  // seconds
constexpr auto kKillGrace = Duration::zero();

bool says_something(std::optional<wire::JsonText> const& value) {
    if (!value) return false;
    auto const tree = nlohmann::json::parse(value->text, nullptr, false);
    return !tree.is_null() && !((tree.is_array() || tree.is_object()) && tree.empty());
}

bool proxy_enabled(std::optional<wire::JsonText> const& value) {
    if (!value) return false;
    auto const tree = nlohmann::json::parse(value->text, nullptr, false);
    return tree.is_object() && tree.contains("enabled") && tree["enabled"] == true;
}

std::string_view own_architecture() {
    utsname names{};
    ::uname(&names);
    return std::string_view(names.machine) == "aarch64" ? "arm64" : "amd64";
}

/// What would change who can reach what is refused, what cannot be had at all is not pretended; the rest is
/// taken as it comes (§8.1).
std::optional<Answer> refuse(CreateSandboxRequest const& request) {
    if (says_something(request.network_policy))
        return bad_request("networkPolicy: this sandbox cannot enforce one");
    if (says_something(request.volumes))
        return bad_request("volumes: nothing can be mounted into this sandbox");
    if (request.secure_access) return bad_request("secureAccess: not offered by this sandbox");
    if (proxy_enabled(request.credential_proxy))
        return bad_request("credentialProxy: not offered by this sandbox");
    if (request.snapshot_id && !request.snapshot_id->empty())
        return refusal(501, code::kNotSupported, "snapshotId: snapshots are not supported");
    if (request.extensions.contains("poolRef"))
        return refusal(501, code::kNotSupported, "extensions.poolRef: pools are not supported");
    if (request.platform && (request.platform->os != "linux" || request.platform->arch != own_architecture()))
        return bad_request("platform: this sandbox is linux/" + std::string(own_architecture()));
    if (request.timeout && (*request.timeout < 1 || *request.timeout > kLongest))
        return bad_request("timeout: between 1 second and a century is expected");
    for (auto const& [name, value] : request.metadata)
        if (name.starts_with("opensandbox.io/"))
            return bad_request("metadata: keys below opensandbox.io/ are reserved: " + name);
    return std::nullopt;
}

Answer failure(Error const& error) {
    switch (error.code) {
        case Code::invalid_argument:
        case Code::too_large: return bad_request(error.message());
        case Code::exhausted: return refusal(429, "TOO_MANY_SANDBOXES", error.message());
        case Code::conflict: return wrong_state(error.message());
        case Code::gone:
        case Code::not_found: return refusal(404, "DOCKER::SANDBOX_NOT_FOUND", error.message());
        case Code::unavailable: return refusal(503, code::kUnavailable, error.message());
        default: return refusal(500, "INTERNAL_ERROR", error.message());
    }
}

Task<Result<Answer>> create(Services& services, Call& call) {
    CreateSandboxRequest request;
    BodyTexts const texts{"", "", false};
    if (auto refused = co_await read_body(call, request, texts)) co_return std::move(*refused);
    if (auto refused = refuse(request)) co_return std::move(*refused);
    auto limits = limits_of(request.resource_limits);
    if (!limits) co_return bad_request(limits.error().message());
    claims::Spec spec;
    spec.kind = kKind;
    spec.limits = *limits;
    spec.env.insert(request.env.begin(), request.env.end());
    spec.metadata.insert(request.metadata.begin(), request.metadata.end());
    if (request.entrypoint.empty()) request.entrypoint = {"tail", "-f", "/dev/null"};
    spec.notes["entrypoint"] =
        nlohmann::json(request.entrypoint).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    if (request.image) spec.notes["image"] = request.image->uri;
    if (request.platform) spec.notes["platform"] = request.platform->os + "/" + request.platform->arch;
    if (request.timeout) spec.expires = services.loop.clock().wall() + std::chrono::seconds(*request.timeout);
    auto made = co_await services.claims->create(std::move(spec));
    if (!made) co_return failure(made.error());
    SandboxBody body = body_of(**made);
    body.image.reset();  // not in this answer, says the specification
    Answer answer = json(to_json(body), 202);
    answer.headers.set("Location", "/v1/sandboxes/" + (*made)->id());
    co_return answer;
}

struct Filter {
    std::vector<std::string> states;
    http::Pairs metadata;
    std::int64_t page = 1;
    std::int64_t page_size = 20;

    [[nodiscard]] bool admits(SandboxBody const& body) const {
        bool const in_state = states.empty() || std::any_of(states.begin(), states.end(), [&](auto const& s) {
                                  return http::iequals(s, body.status.state);
                              });
        return in_state && std::all_of(metadata.begin(), metadata.end(), [&body](auto const& wanted) {
                   if (!body.metadata) return false;
                   auto const found = body.metadata->find(wanted.first);
                   return found != body.metadata->end() && found->second == wanted.second;
               });
    }
};

Result<std::int64_t> number(Call const& call, std::string_view name, std::int64_t initial,
                            std::int64_t most) {
    auto const text = call.query_value(name);
    if (!text) return initial;
    std::int64_t value = 0;
    auto const [end, ec] = std::from_chars(text->data(), text->data() + text->size(), value);
    if (ec != std::errc() || end != text->data() + text->size() || value < 1 || value > most)
        return fail(Code::invalid_argument, name, "a number from 1 to " + std::to_string(most));
    return value;
}

Result<Filter> filter_of(Call const& call) {
    Filter out;
    out.states = call.query_values("state");
    // A query string inside the parameter: decoded once on the way here, and once more now (§8.1).
    for (auto const& text : call.query_values("metadata")) {
        auto pairs = http::parse_query(text);
        if (!pairs) return Failure(pairs.error());
        out.metadata.insert(out.metadata.end(), pairs->begin(), pairs->end());
    }
    auto page = number(call, "page", 1, 1'000'000);
    if (!page) return Failure(page.error());
    auto size = number(call, "pageSize", 20, 200);
    if (!size) return Failure(size.error());
    out.page = *page;
    out.page_size = *size;
    return out;
}

Result<Answer> list(Services& services, Call& call) {
    auto filter = filter_of(call);
    if (!filter) return bad_request(filter.error().message());
    SandboxList out;
    SandboxPages& pages = out.pagination;
    pages.page = filter->page;
    pages.page_size = filter->page_size;
    std::int64_t const first = (pages.page - 1) * pages.page_size;
    for (auto const& claim : services.claims->list(kKind)) {
        SandboxBody body = body_of(*claim);
        if (!filter->admits(body)) continue;
        std::int64_t const index = pages.total_items++;
        if (index >= first && index < first + pages.page_size) out.items.push_back(std::move(body));
    }
    pages.total_pages = (pages.total_items + pages.page_size - 1) / pages.page_size;
    pages.has_next_page = pages.page < pages.total_pages;
    return json(to_json(out));
}

Result<Answer> get(Services& services, Call& call) {
    auto const claim = claim_of(services, call);
    if (!claim) return no_sandbox(call.param("sandboxId"));
    return json(to_json(body_of(*claim)));
}

Task<Result<Answer>> kill(Services& services, Call& call) {
    auto const claim = claim_of(services, call);
    if (!claim) co_return no_sandbox(call.param("sandboxId"));
    co_await services.claims->end(claim, claims::Cause::killed, kKillGrace);
    co_return Answer::empty(204);
}

Task<Result<Answer>> pause(Services& services, Call& call) {
    auto const claim = claim_of(services, call);
    if (!claim) co_return no_sandbox(call.param("sandboxId"));
    auto done = co_await services.claims->pause(claim);
    if (!done) co_return failure(done.error());
    co_return Answer::empty(202);
}

Task<Result<Answer>> resume(Services& services, Call& call) {
    auto const claim = claim_of(services, call);
    if (!claim) co_return no_sandbox(call.param("sandboxId"));
    auto done = co_await services.claims->resume(claim);
    if (!done && done.error().code == Code::conflict)
        co_return refusal(409, "DOCKER::SANDBOX_NOT_PAUSED", done.error().message());
    if (!done) co_return failure(done.error());
    co_return Answer::empty(202);
}

Task<Result<Answer>> renew(Services& services, Call& call) {
    RenewRequest request;
    BodyTexts const texts{"", "", false};
    if (auto refused = co_await read_body(call, request, texts)) co_return std::move(*refused);
    auto const claim = claim_of(services, call);
    if (!claim) co_return no_sandbox(call.param("sandboxId"));
    auto const at = std::chrono::time_point_cast<WallTime::duration>(request.expires_at.at);
    auto done = services.claims->renew(*claim, at);
    if (!done && done.error().code == Code::invalid_argument)
        co_return refusal(400, "DOCKER::INVALID_EXPIRATION", done.error().message());
    if (!done) co_return failure(done.error());
    co_return json(to_json(request));
}

}  // namespace

http::Row lifecycle_row(std::string method, std::string path, std::string operation, std::string doc) {
    http::Row row;
    row.tag = "Sandboxes";
    row.method = std::move(method);
    row.path = std::move(path);
    row.operation_id = std::move(operation);
    row.doc = std::move(doc);
    row.on_disconnect = http::OnDisconnect::keep;
    return row;
}

void add_lifecycle(Services& services, std::vector<http::Row>& out) {
    Services* s = &services;
    std::size_t const first = out.size();
    auto row = lifecycle_row("POST", "/v1/sandboxes", "createLifecycleSandbox", "A claim on this container.");
    row.body = http::BodyPolicy::json;
    row.body_limit = 2U << 20;
    row.request = &wire::Codec<CreateSandboxRequest>::ops;
    row.statuses = {{202, &wire::Codec<SandboxBody>::ops, "application/json", "It runs"},
                    {400, nullptr, "application/json", "Cannot be had here"}};
    row.invoke = [s](Call& call) { return create(*s, call); };
    out.push_back(row);

    row = lifecycle_row("GET", "/v1/sandboxes", "listSandboxes",
                        "Living claims (?state=, repeated is or; ?metadata=; ?page=, ?pageSize=).");
    row.statuses = {{200, &wire::Codec<SandboxList>::ops, "application/json", "A page of them"}};
    row.sync = [s](Call& call) { return list(*s, call); };
    out.push_back(row);

    row = lifecycle_row("GET", "/v1/sandboxes/{sandboxId}", "getLifecycleSandbox", "One living claim.");
    row.statuses = {{200, &wire::Codec<SandboxBody>::ops, "application/json", "The claim"}};
    row.sync = [s](Call& call) { return get(*s, call); };
    out.push_back(row);

    row = lifecycle_row("DELETE", "/v1/sandboxes/{sandboxId}", "deleteLifecycleSandbox",
                        "Ends it and all of its work.");
    row.statuses = {{204, nullptr, "", "Nothing of it is left"}};
    row.invoke = [s](Call& call) { return kill(*s, call); };
    out.push_back(row);

    row = lifecycle_row("POST", "/v1/sandboxes/{sandboxId}/pause", "pauseSandbox", "Freezes its processes.");
    row.statuses = {{202, nullptr, "", "They stand still"},
                    {409, nullptr, "application/json", "Not running"}};
    row.invoke = [s](Call& call) { return pause(*s, call); };
    out.push_back(row);

    row = lifecycle_row("POST", "/v1/sandboxes/{sandboxId}/resume", "resumeSandbox", "Lets them go on.");
    row.statuses = {{202, nullptr, "", "They run"}, {409, nullptr, "application/json", "Not paused"}};
    row.invoke = [s](Call& call) { return resume(*s, call); };
    out.push_back(row);

    row = lifecycle_row("POST", "/v1/sandboxes/{sandboxId}/renew-expiration", "renewSandbox",
                        "Moves its end, earlier or later.");
    row.body = http::BodyPolicy::json;
    row.request = &wire::Codec<RenewRequest>::ops;
    row.statuses = {{200, &wire::Codec<RenewRequest>::ops, "application/json", "The new end"}};
    row.invoke = [s](Call& call) { return renew(*s, call); };
    out.push_back(row);
    add_lifecycle_more(services, out);
    guard_lifecycle(out, first);
}

}  // namespace execd::opensandbox
