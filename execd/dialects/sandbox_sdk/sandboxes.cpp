// /api/templates and /api/sandboxes without what runs in them (docs/sandbox-sdk.md).
#include "execd/dialects/sandbox_sdk/parts.hpp"
#include "execd/http/wire/json_text.hpp"
#include "kernels/contexts.hpp"
#include "shell/executions.hpp"

namespace execd::sandbox_sdk {

using http::Call;

namespace {

// ---- templates

// What stands before the name is ours ("user:...").
std::string shown(std::string const& user) {
    auto const colon = user.find(':');
    return colon == std::string::npos ? user : user.substr(colon + 1);
}

TemplateBody described(Template const& one) {
    TemplateBody out;
    out.id = one.id;
    out.name = one.name;
    out.config.text = one.config;
    out.is_public = out.is_public_camel = one.author.empty();
    out.author_id = out.author_id_camel = one.author.empty() ? "execd" : shown(one.author);
    if (one.created) {
        out.created_at = out.created_at_camel = stamp_of(*one.created);
        out.updated_at = out.updated_at_camel = out.created_at;
    }
    return out;
}

Task<Result<TemplatePage>> list_templates(State& state, Call& call, TemplatesQuery query) {
    auto const all = state.templates.list(caller_of(call));
    TemplatePage out;
    out.total = static_cast<std::int64_t>(all.size());
    out.page = query.page;
    out.page_size = out.page_size_camel = query.page_size;
    // Divided and not multiplied: a page may be any number.
    if (query.page - 1 <= out.total / query.page_size) {
        auto const first = (query.page - 1) * query.page_size;
        for (auto i = first; i < std::min(out.total, first + query.page_size); ++i)
            out.templates.push_back(described(*all[static_cast<std::size_t>(i)]));
    }
    co_return out;
}

Task<Result<TemplateBody>> get_template(State& state, Call& call, http::Nothing) {
    auto const* one = state.templates.find(call.param("templateId"), caller_of(call));
    if (one == nullptr)
        co_return fail(Code::not_found, "", "template not found: " + call.param("templateId"));
    co_return described(*one);
}

/// The text of a member; nothing when it is absent or null. invalid_argument: it is no text.
Result<std::optional<std::string>> text_member(wire::Json const& object, char const* name) {
    auto const found = object.find(name);
    if (found == object.end() || found->is_null()) return std::optional<std::string>();
    if (!found->is_string())
        return fail(Code::invalid_argument, "", std::string(name) + ": a text is expected");
    return std::optional<std::string>(found->get<std::string>());
}

// The body is the configuration, or has it under `config`.
Task<Result<TemplateBody>> create_template(State& state, Call& call, TemplateRequest request) {
    wire::Json whole = wire::Json::object();
    for (auto& [name, value] : request.all) whole[name] = std::move(value);
    auto const nested = whole.find("config");
    bool const is_nested = nested != whole.end() && nested->is_object();
    wire::Json const& config = is_nested ? *nested : whole;
    auto language = text_member(config, "language");
    if (!language) co_return Failure(language.error());
    auto name = text_member(whole, "name");
    if (!name) co_return Failure(name.error());
    Template made;
    made.language = language->value_or("").empty() ? "python" : **language;
    made.name = name->value_or("");
    made.config.clear();
    wire::append_json(made.config, config);
    made.author = caller_of(call);
    made.created = state.services.loop.clock().wall();
    auto const added = state.templates.add(std::move(made));
    if (!added) co_return Failure(added.error());
    co_return described(**added);
}

// ---- sandboxes

std::string status_of(State& state, claims::Claim const& claim) {
    if (claim.state() == claims::State::paused || claim.state() == claims::State::pausing) return "stopped";
    if (claim.state() == claims::State::pending) return "creating";
    bool const used = !claim.note("auto_start").empty() ||
                      !state.services.contexts->list({}, claim.id()).empty() ||
                      !state.services.executions->list(claim.id()).empty();
    return used ? "running" : "ready";
}

SandboxBody described(State& state, claims::Claim const& claim) {
    SandboxBody out;
    out.id = claim.id();
    out.user_id = out.user_id_camel = shown(claim.note("user"));
    out.name = claim.note("name");
    out.template_id = out.template_id_camel = claim.note("template");
    out.template_config.text = out.template_config_camel.text = claim.note("config");
    out.status = status_of(state, claim);
    out.created_at = out.created_at_camel = stamp_of(claim.created());
    out.updated_at = out.updated_at_camel = stamp_of(claim.updated());
    if (claim.expires()) out.expires_at = out.expires_at_camel = stamp_of(*claim.expires());
    out.metadata.text = claim.note("metadata");
    return out;
}

Result<claims::Spec> spec_of(State& state, Call& call, CreateRequest request) {
    if (!request.template_id || request.template_id->empty())
        return fail(Code::invalid_argument, "", "templateId is required");
    std::string const user = caller_of(call);
    auto const* from = state.templates.find(*request.template_id, user);
    if (from == nullptr) return fail(Code::not_found, "", "template not found: " + *request.template_id);
    if (request.metadata && !request.metadata->is_object())
        return fail(Code::invalid_argument, "", "metadata: an object is expected");
    claims::Spec spec;
    spec.kind = kKind;
    if (request.initial_env_vars)
        for (auto& [name, value] : *request.initial_env_vars) spec.env[name] = std::move(value);
    spec.notes["user"] = user;
    spec.notes["template"] = from->id;
    spec.notes["config"] = from->config;
    spec.notes["language"] = from->language;
    spec.notes["name"] = request.name.value_or("");
    if (request.auto_start.value_or(false)) spec.notes["auto_start"] = "1";
    std::string metadata = "{}";
    if (request.metadata) {
        metadata.clear();
        wire::append_json(metadata, *request.metadata);
    }
    spec.notes["metadata"] = std::move(metadata);
    constexpr double kMillisecond = 1e6;
    if (auto const life = bounded(request.expiry_time.value_or(0) * kMillisecond); life > Duration::zero())
        spec.expires =
            state.services.loop.clock().wall() + std::chrono::duration_cast<WallTime::duration>(life);
    return spec;
}

Task<Result<CreateAnswer>> create(State& state, Call& call, CreateRequest request) {
    auto spec = spec_of(state, call, std::move(request));
    if (!spec) co_return Failure(spec.error());
    auto claim = co_await state.services.claims->create(std::move(*spec));
    if (!claim) co_return Failure(claim.error());
    CreateAnswer out;
    out.sandbox = described(state, **claim);
    co_return out;
}

Task<Result<SandboxesAnswer>> list(State& state, Call& call, http::Nothing) {
    std::string const user = caller_of(call);
    SandboxesAnswer out;
    for (auto const& claim : state.services.claims->list(kKind))
        if (claim->note("user") == user) out.sandboxes.push_back(described(state, *claim));
    co_return out;
}

Task<Result<StatusAnswer>> status(State& state, Call& call, http::Nothing) {
    auto claim = sandbox_of(state, call);
    if (!claim) co_return Failure(claim.error());
    StatusAnswer out;
    out.status = status_of(state, **claim);
    co_return out;
}

Task<Result<MessageBody>> remove(State& state, Call& call, http::Nothing) {
    auto claim = sandbox_of(state, call);
    if (!claim) co_return Failure(claim.error());
    co_await state.services.claims->end(*claim, claims::Cause::killed);
    MessageBody out;
    out.message = "Sandbox deleted successfully";
    co_return out;
}

}  // namespace

void add_templates(Table& table) {
    table.add<TemplatesQuery, TemplatePage>(
        row_of("GET", "/api/templates", "ListTemplates", "Templates: the built-in ones and the caller's."),
        list_templates);
    table.add<http::Nothing, TemplateBody>(
        row_of("GET", "/api/templates/{templateId}", "GetTemplate", "One template."), get_template);
    auto row = row_of("POST", "/api/templates", "CreateTemplate", "A template of the caller's own.");
    row.body_limit = 64U << 10;
    row.statuses = {{201, nullptr, "application/json", "Created"}};
    table.add<TemplateRequest, TemplateBody>(std::move(row), create_template);
}

void add_sandboxes(Table& table) {
    auto row = row_of("POST", "/api/sandboxes/create", "CreateSandbox",
                      "A sandbox: a claim on this container, with its own contexts and processes.");
    row.on_disconnect = http::OnDisconnect::keep;
    row.statuses = {{201, nullptr, "application/json", "Created"}};
    table.add<CreateRequest, CreateAnswer>(std::move(row), create);
    table.add<http::Nothing, SandboxesAnswer>(
        row_of("GET", "/api/sandboxes", "ListSandboxes", "The caller's sandboxes."), list);
    table.add<http::Nothing, StatusAnswer>(
        row_of("GET", "/api/sandboxes/{sandboxId}/status", "SandboxStatus", "How one does."), status);
    row = row_of("DELETE", "/api/sandboxes/{sandboxId}", "DeleteSandbox",
                 "Ends a sandbox and all that runs in it; its id stays dead.");
    row.on_disconnect = http::OnDisconnect::keep;
    table.add<http::Nothing, MessageBody>(std::move(row), remove);
}

}  // namespace execd::sandbox_sdk
