// Code, commands and code contexts of a sandbox (docs/sandbox-sdk.md).
#include "execd/dialects/sandbox_sdk/parts.hpp"
#include "execd/dialects/sandbox_sdk/results.hpp"
#include "kernels/contexts.hpp"

namespace execd::sandbox_sdk {

using http::Answer;
using http::Call;

namespace {

using ContextPtr = std::shared_ptr<kernels::Context>;

/// A context of this sandbox.
Result<ContextPtr> context_of(State& state, claims::Claim const& sandbox, std::string const& id) {
    auto context = state.services.contexts->find(id);
    if (!context || context->spec().owner != sandbox.id())
        return fail(Code::not_found, "", "context not found: " + id);
    return context;
}

Task<Result<ContextPtr>> context_for(State& state, claims::ClaimPtr sandbox, ExecuteRequest const& request) {
    if (request.context_id && !request.context_id->empty())
        co_return context_of(state, *sandbox, *request.context_id);
    auto cwd = co_await state.workspace.directory();
    if (!cwd) co_return Failure(cwd.error());
    std::string language = language_of(*sandbox, request.language);
    co_return co_await claim_context(state.services, *sandbox, std::move(language), std::move(*cwd));
}

Task<Result<Answer>> execute(State& state, Call& call, ExecuteRequest request) {
    auto entered = enter(state, call);
    if (!entered) co_return Failure(entered.error());
    auto context = co_await context_for(state, entered->claim(), request);
    if (!context) co_return Failure(context.error());
    kernels::RunSpec spec;
    spec.code = std::move(request.code);
    if (request.env_vars) spec.env = std::move(*request.env_vars);
    auto end = co_await run_code(state.services, *context, std::move(spec), Deadline::never());
    if (!end) co_return Failure(end.error());
    std::size_t const weight = end->run->log().bytes();
    auto const page = end->run->log().read(0, SIZE_MAX, SIZE_MAX);
    std::string text;
    std::function<void()> write = [&state, &page, &text, &end] {
        wire::encode(execute_answer(page, end->run->outcome()), state.dialect.writing(), text);
    };
    co_await do_work(state.services, weight, std::move(write));
    co_return Answer::bytes(200, "application/json", std::move(text));
}

Task<Result<Answer>> run_terminal(State& state, Call& call, TerminalRequest request) {
    auto entered = enter(state, call);
    if (!entered) co_return Failure(entered.error());
    auto cwd = co_await state.workspace.directory();
    if (!cwd) co_return Failure(cwd.error());
    shell::ExecutionSpec spec;
    spec.cwd = std::move(*cwd);
    spec.merge_output = true;
    if (auto set = set_shell_text(state.services, spec, std::move(request.command)); !set)
        co_return Failure(set.error());
    Variables const none;
    auto end = co_await run_command(state.services, *entered->claim(), std::move(spec), none);
    if (!end) co_return Failure(end.error());
    TerminalAnswer out;
    out.output = std::move(end->out);
    out.exit_code = out.exit_code_camel = end->verdict().shell_status();
    out.dropped_bytes = end->dropped;
    std::size_t const weight = out.output.size();
    co_return co_await answer_of(state, std::move(out), weight);
}

Task<Result<ContextBody>> create_context(State& state, Call& call, ContextRequest request) {
    auto entered = enter(state, call);
    if (!entered) co_return Failure(entered.error());
    std::string wanted = request.cwd.value_or("");
    auto cwd = co_await state.workspace.made(std::move(wanted));
    if (!cwd) co_return Failure(cwd.error());
    claims::Claim const& sandbox = *entered->claim();
    auto spec = claim_context_spec(sandbox, language_of(sandbox, request.language), std::move(*cwd));
    auto made = co_await state.services.contexts->create(std::move(spec));
    if (!made) co_return no_context(made.error());
    kernels::Context const& context = **made;
    ContextBody out;
    out.id = context.id();
    out.sandbox_id = out.sandbox_id_camel = sandbox.id();
    out.language = context.language();
    out.cwd = context.spec().cwd;
    out.created_at = out.created_at_camel = stamp_of(context.created());
    co_return out;
}

Task<Result<MessageBody>> remove_context(State& state, Call& call, http::Nothing) {
    auto entered = enter(state, call);
    if (!entered) co_return Failure(entered.error());
    auto context = context_of(state, *entered->claim(), call.param("contextId"));
    if (!context) co_return Failure(context.error());
    std::string id = (*context)->id();
    auto done = co_await state.services.contexts->remove(std::move(id));
    if (!done) co_return Failure(done.error());
    MessageBody out;
    out.message = "Context deleted successfully";
    co_return out;
}

}  // namespace

void add_execute(Table& table) {
    auto row = row_of("POST", "/api/sandboxes/{sandboxId}/execute", "Execute",
                      "Runs code and answers results, output and error; variables live on.");
    row.body_limit = 64U << 20;
    table.add<ExecuteRequest, ExecuteAnswer>(std::move(row), execute);
    row = row_of("POST", "/api/sandboxes/{sandboxId}/terminal", "Terminal",
                 "Runs shell text in the workspace and answers what it printed.");
    row.body_limit = 64U << 20;
    table.add<TerminalRequest, TerminalAnswer>(std::move(row), run_terminal);
    row = row_of("POST", "/api/sandboxes/{sandboxId}/contexts", "CreateContext", "A code context.");
    row.on_disconnect = http::OnDisconnect::keep;
    row.statuses = {{201, nullptr, "application/json", "Created"}};
    table.add<ContextRequest, ContextBody>(std::move(row), create_context);
    row = row_of("DELETE", "/api/sandboxes/{sandboxId}/contexts/{contextId}", "DeleteContext",
                 "Ends a code context.");
    row.on_disconnect = http::OnDisconnect::keep;
    table.add<http::Nothing, MessageBody>(std::move(row), remove_context);
}

}  // namespace execd::sandbox_sdk
