// Endpoints, metadata and diagnostics of a claim, and what this façade has not (opensandbox-1.1.md §8).
#include <array>
#include <charconv>

#include "base/utf8.hpp"
#include "execd/auth/authenticator.hpp"
#include "execd/dialects/opensandbox/bodies.hpp"
#include "execd/dialects/opensandbox/claims.hpp"
#include "execd/dialects/opensandbox/dialect.hpp"
#include "execd/dialects/opensandbox/lifecycle_parts.hpp"
#include "execd/dialects/opensandbox/parts.hpp"
#include "execd/http/wire/json_text.hpp"
#include "execd/self_proxy.hpp"
#include "shell/executions.hpp"

namespace execd::opensandbox {

using http::Answer;
using http::Call;

namespace {

constexpr std::size_t kDiagnosticBytes = 256U << 10;
constexpr std::size_t kTail = 16U << 10;  // of one execution's output

// ---- endpoints

/// Where everything is protected, the endpoint carries a token of its own: valid in this dialect, until the
/// claim ends.
Result<std::string> token_of(Services& services, claims::Claim& claim) {
    if (auto known = claim.note("token"); !known.empty()) return known;
    auto made = services.authenticator->tokens().mint(auth::Dialect::open_sandbox, claim.id(),
                                                      std::chrono::hours(24 * 365 * 10));
    if (made) (void)services.claims->set_note(claim, "token", *made);
    return made;
}

Result<Answer> endpoint(Services& services, Call& call) {
    auto const claim = claim_of(services, call);
    if (!claim) return no_sandbox(call.param("sandboxId"));
    std::string const& text = call.param("port");
    unsigned port = 0;
    auto const [end, ec] = std::from_chars(text.data(), text.data() + text.size(), port);
    if (ec != std::errc() || end != text.data() + text.size() || port == 0 || port > 65535)
        return bad_request("port: a number from 1 to 65535 is expected");
    if (call.query_value("expires")) return bad_request("expires: signed endpoints are not supported");
    std::string_view const wish = call.query_value("use_server_proxy").value_or("false");
    bool const by_server = wish == "true" || wish == "True" || wish == "1";
    if (!by_server && wish != "false" && wish != "False" && wish != "0" && !wish.empty())
        return bad_request("use_server_proxy: true or false is expected");
    if (call.head->host.empty()) return bad_request("the request has no Host to build an endpoint from");
    SandboxEndpoint body;
    body.endpoint = std::string(call.head->host);
    if (by_server) body.endpoint += "/v1/sandboxes/" + claim->id();
    body.endpoint += "/proxy/" + std::to_string(port);
    std::map<std::string, std::string> headers;
    if (!by_server) headers.emplace(kClaimHeader, claim->id());
    if (services.authenticator->protected_()) {
        auto token = token_of(services, *claim);
        if (!token) return refusal(503, code::kUnavailable, token.error().message());
        headers.emplace("X-EXECD-ACCESS-TOKEN", *token);
    }
    if (!headers.empty()) body.headers = std::move(headers);
    Answer answer = json(to_json(body));
    // Without it clients look for an egress sidecar behind port 18080 (§8.4).
    answer.headers.set("OPEN-SANDBOX-ORIGIN", "template");
    return answer;
}

// ---- metadata

bool is_label(std::string_view text, std::size_t most) {
    auto const alnum = [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    };
    if (text.empty() || text.size() > most || !alnum(text.front()) || !alnum(text.back())) return false;
    for (char const c : text)
        if (!alnum(c) && c != '-' && c != '_' && c != '.') return false;
    return true;
}

/// Kubernetes' rules for labels, as the specification wants them.
std::optional<std::string> fault_of(std::string_view key, std::optional<std::string> const& value) {
    auto const slash = key.find('/');
    std::string_view const name = slash == std::string_view::npos ? key : key.substr(slash + 1);
    bool const prefixed = slash != std::string_view::npos;
    if (key.starts_with("opensandbox.io/")) return "keys below opensandbox.io/ are reserved";
    if ((prefixed && !is_label(key.substr(0, slash), 253)) || !is_label(name, 63))
        return "not the key of a label";
    if (value && !value->empty() && !is_label(*value, 63)) return "not the value of a label";
    return std::nullopt;
}

Task<Result<Answer>> patch_metadata(Services& services, Call& call) {
    MetadataPatch patch;
    BodyTexts const texts{"", "", true};
    if (auto refused = co_await read_body(call, patch, texts)) co_return std::move(*refused);
    auto const claim = claim_of(services, call);
    if (!claim) co_return no_sandbox(call.param("sandboxId"));
    claims::Texts merged = claim->metadata();
    for (auto const& [key, value] : patch) {
        if (auto const fault = fault_of(key, value))
            co_return bad_request("metadata '" + key + "': " + *fault);
        if (value)
            merged.insert_or_assign(key, *value);
        else
            merged.erase(key);
    }
    auto done = services.claims->set_metadata(*claim, std::move(merged));
    if (!done) co_return bad_request(done.error().message());
    co_return json(to_json(body_of(*claim)));
}

// ---- diagnostics

std::string tail_of(shell::Execution const& execution) {
    auto& journal = execution.journal();
    auto const total = journal.end().total;
    auto cursor = journal.reader(
        {.until = shell::Until::now, .position = journal.seek_total(total > kTail ? total - kTail : 0)});
    shell::Batch batch;
    std::string out;
    while (out.size() < kTail && cursor.poll(batch))
        for (auto const& slice : batch.slices) out += slice.bytes;
    return to_utf8(out);
}

/// What its commands wrote last, newest first until there is enough.
void logs_of(Services& services, claims::Claim const& claim, DiagnosticBody& body) {
    auto all = services.executions->list(claim.id());
    for (auto at = all.rbegin(); at != all.rend(); ++at) {
        if (body.content.size() >= kDiagnosticBytes) {
            body.truncated = true;
            return;
        }
        shell::Execution const& one = **at;
        body.content += "==> " + one.label() + " " + one.id() + " (" +
                        (one.verdict() ? one.verdict()->text() : std::string("running")) + ") " +
                        one.text().substr(0, 200) + "\n";
        body.content += tail_of(one);
        if (!body.content.ends_with('\n')) body.content += '\n';
    }
}

void events_of(Services& services, claims::Claim const& claim, DiagnosticBody& body) {
    body.content_type = "application/x-ndjson";
    for (auto const& event : services.executions->events_after(0)) {
        if (event.owner != claim.id()) continue;
        bool const own = event.kind == shell::ExecutionEvent::Kind::owner;
        std::string& out = body.content;
        auto const at = std::chrono::duration_cast<std::chrono::milliseconds>(event.wall.time_since_epoch());
        out += R"({"at_ms":)" + std::to_string(at.count()) + R"(,"what":)";
        wire::append_json_string(out, own ? "sandbox" : event.label);
        out += R"(,"state":)";
        bool const started = event.kind == shell::ExecutionEvent::Kind::started;
        wire::append_json_string(out, own ? event.label : started ? "started" : "ended");
        if (!event.id.empty()) {
            out += R"(,"id":)";
            wire::append_json_string(out, event.id);
        }
        if (!event.verdict.empty()) {
            out += R"(,"cause":)";
            wire::append_json_string(out, event.verdict);
        }
        out += "}\n";
    }
}

Result<Answer> diagnostics(Services& services, Call& call) {
    auto const claim = claim_of(services, call);
    if (!claim) return no_sandbox(call.param("sandboxId"));
    DiagnosticBody body;
    body.sandbox_id = claim->id();
    body.kind = call.param("kind");
    body.scope = std::string(call.query_value("scope").value_or("container"));
    if (body.kind == "logs")
        logs_of(services, *claim, body);
    else if (body.kind == "events")
        events_of(services, *claim, body);
    else
        return refusal(404, "NOT_FOUND", "there are diagnostics of kind logs and events");
    body.content_length = static_cast<std::int64_t>(body.content.size());
    return json(to_json(body));
}

// ---- what there is not

Task<Result<Answer>> absent(std::string what) {
    co_return refusal(501, code::kNotSupported, what + " are not supported by this sandbox");
}

Task<Result<Answer>> capabilities() {
    co_return json(
        R"({"available":false,"isolator":"","version":"","message":"isolated sessions are not offered: )"
        R"(every claim shares this container","setpriv_available":false,"userns_available":false,)"
        R"("commit_supported":false,"diff_supported":false,"runtime_init":{"version":1}})");
}

Task<Result<Answer>> no_isolation() { co_return refusal(503, code::kUnavailable, "isolation unavailable"); }

}  // namespace

void add_lifecycle_more(Services& services, std::vector<http::Row>& out) {
    Services* s = &services;
    services.claims->when_ended([s](claims::Claim const& claim) {
        if (claim.kind() == kKind)
            s->authenticator->tokens().revoke_subject(auth::Dialect::open_sandbox, claim.id());
    });
    auto row = lifecycle_row(
        "GET", "/v1/sandboxes/{sandboxId}/endpoints/{port}", "getSandboxEndpoint",
        "Where a port of this container is reached; 44772 is execd. ?use_server_proxy=true names "
        "the claim in the path instead of a header.");
    row.statuses = {{200, &wire::Codec<SandboxEndpoint>::ops, "application/json", "The endpoint"}};
    row.sync = [s](Call& call) { return endpoint(*s, call); };
    out.push_back(row);

    row = lifecycle_row("PATCH", "/v1/sandboxes/{sandboxId}/metadata", "patchSandboxMetadata",
                        "Merge patch: a value sets, null deletes.");
    row.body = http::BodyPolicy::json;
    row.request = &wire::Codec<MetadataPatch>::ops;
    row.statuses = {{200, &wire::Codec<SandboxBody>::ops, "application/json", "The claim"}};
    row.invoke = [s](Call& call) { return patch_metadata(*s, call); };
    out.push_back(row);

    row = lifecycle_row("GET", "/v1/sandboxes/{sandboxId}/diagnostics/{kind}", "getSandboxDiagnostics",
                        "logs: the last output of its commands; events: what happened to it.");
    row.statuses = {{200, &wire::Codec<DiagnosticBody>::ops, "application/json", "Text"}};
    row.sync = [s](Call& call) { return diagnostics(*s, call); };
    out.push_back(row);

    row = lifecycle_row("POST", "/v1/metrics/events", "reportClientEvent", "Taken and forgotten.");
    row.body = http::BodyPolicy::raw;
    row.statuses = {{204, nullptr, "", "Taken"}};
    row.sync = [](Call&) -> Result<Answer> { return Answer::empty(204); };
    out.push_back(row);
}

void add_absent(Services& services, std::vector<http::Row>& out) {
    struct Absent {
        std::string_view path;
        std::string_view operation;
        std::string_view what;
    };
    static constexpr std::array kAbsent{
        Absent{"/v1/sandboxes/{sandboxId}/snapshots", "createSnapshot", "Snapshots"},
        Absent{"/v1/sandboxes/{sandboxId}/networkpolicy", "networkPolicy", "Network policies"},
        Absent{"/v1/snapshots", "listSnapshots", "Snapshots"},
        Absent{"/v1/snapshots/{rest...}", "snapshots", "Snapshots"},
        Absent{"/v1/templates", "listTemplates", "Templates"},
        Absent{"/v1/templates/{rest...}", "templates", "Templates"},
        Absent{"/v1/pools", "listPools", "Pools"},
        Absent{"/v1/pools/{rest...}", "pools", "Pools"},
    };
    std::size_t const first = out.size();
    for (auto const& absent_one : kAbsent) {
        if (!services.config.lifecycle) break;
        auto row = lifecycle_row("*", std::string(absent_one.path), std::string(absent_one.operation),
                                 "501: " + std::string(absent_one.what) + " are not supported.");
        row.body = http::BodyPolicy::raw;
        row.statuses = {{501, nullptr, "application/json", "Not supported"}};
        row.invoke = [what = std::string(absent_one.what)](Call&) { return absent(what); };
        out.push_back(row);
    }
    guard_lifecycle(out, first);
    auto row = lifecycle_row("GET", "/v1/isolated/capabilities", "getIsolationCapabilities",
                             "Says that there are no isolated sessions here.");
    row.tag = "Isolation";
    row.invoke = [](Call&) { return capabilities(); };
    out.push_back(row);
    row = lifecycle_row("*", "/v1/isolated/{rest...}", "isolated", "503: isolation is unavailable.");
    row.tag = "Isolation";
    row.body = http::BodyPolicy::raw;
    row.statuses = {{503, nullptr, "application/json", "Unavailable"}};
    row.invoke = [](Call&) { return no_isolation(); };
    out.push_back(row);
}

}  // namespace execd::opensandbox
