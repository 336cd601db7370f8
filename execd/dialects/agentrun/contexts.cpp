// /contexts* (contracts/agentrun.md §4).
#include "kernels/contexts.hpp"
#include "execd/dialects/agentrun/execute.hpp"
#include "execd/dialects/agentrun/large_answer.hpp"
#include "execd/dialects/agentrun/parts.hpp"
#include "fs/executor.hpp"
#include "fs/ops.hpp"

namespace execd::agentrun {

using http::Answer;
using http::Call;
using kernels::Context;

namespace {

using ContextPtr = std::shared_ptr<Context>;

ContextBody described(State& state, Context const& context) {
    ContextBody out;
    out.id = context.id();
    out.language = context.language();
    out.cwd = context.spec().cwd;
    if (out.cwd.empty()) out.cwd = state.services.config.cwd;
    if (out.cwd.empty()) out.cwd = "/";  // SDKs take an empty one for a failure (§4.1)
    return out;
}

// A kernel that is not installed is the client's wish that cannot be met, no outage: nothing becomes better
// by a new sandbox, which is what the toolset tries after a 5xx (§4.3).
Failure no_context(Error error) {
    if (error.where == "kernel.find") error.code = Code::invalid_argument;
    return Failure(std::move(error));
}

Task<Result<kernels::ContextSpec>> spec_of(State& state, ContextRequest request) {
    kernels::ContextSpec spec;
    spec.language = request.language && !request.language->empty() ? *request.language : "python";
    if (!request.cwd || request.cwd->empty()) {
        spec.cwd = co_await home_to_start_in(state);
        co_return spec;
    }
    auto path = co_await path_of(state, *request.cwd);
    if (!path) co_return Failure(path.error());
    fs::MakeDirectory make(*path);
    auto made = co_await state.services.files->run(std::move(make));
    if (!made) co_return Failure(made.error());
    spec.cwd = std::move(*path);
    co_return spec;
}

kernels::ContextSpec given(kernels::ContextSpec spec, claims::ClaimPtr const& claim) {
    if (!claim) return spec;
    spec.owner = claim->id();
    for (auto const& [name, value] : claim->env()) spec.env[name] = value;
    return spec;
}

Task<Result<ContextBodies>> list(State& state, Call& call, http::Nothing) {
    ContextBodies out;
    std::string const owner = owner_of(claim_of(state.services, call));
    for (auto const& context : state.services.contexts->list({}, owner))
        out.push_back(described(state, *context));
    co_return out;
}

Task<Result<ContextBody>> create(State& state, Call& call, ContextRequest request) {
    auto const claim = claim_of(state.services, call);
    auto spec = co_await spec_of(state, std::move(request));
    if (!spec) co_return Failure(spec.error());
    auto wanted = given(std::move(*spec), claim);
    auto made = co_await state.services.contexts->create(std::move(wanted));
    if (!made) co_return no_context(made.error());
    co_return described(state, **made);
}

Result<ContextPtr> find(State& state, claims::ClaimPtr const& claim, std::string const& id) {
    auto context = state.services.contexts->find(id);
    if (!context || !sees(claim, context->spec().owner))
        return fail(Code::not_found, "", "context not found: " + id);
    return context;
}

Task<Result<ContextBody>> get(State& state, Call& call, http::Nothing) {
    auto context = find(state, claim_of(state.services, call), call.param("contextId"));
    if (!context) co_return Failure(context.error());
    co_return described(state, **context);
}

Task<Result<http::Nothing>> remove(State& state, Call& call, http::Nothing) {
    std::string const id = call.param("contextId");
    Result<void> done;
    auto const visible = find(state, claim_of(state.services, call), id);
    if (!visible)
        done = Failure(visible.error());
    else
        done = co_await state.services.contexts->remove(id);
    if (!done && done.error().code != Code::not_found) co_return Failure(done.error());
    if (!done && !state.ended_contexts.knows(id))
        co_return fail(Code::not_found, "", "context not found: " + id);
    state.ended_contexts.add(id);
    co_return http::Nothing();
}

// ---- execute

/// The context that a request without an id runs in: one a language, started in the user's home.
Task<Result<ContextPtr>> default_context(State& state, claims::ClaimPtr claim, std::string language) {
    std::string const id = (claim ? claim->id() + "-default-" : "default-") + language;
    std::string home = co_await home_to_start_in(state);  // also for a kernel that has to be started again
    if (auto known = state.services.contexts->find(id); known && known->generation() > 0) co_return known;
    kernels::ContextSpec spec;
    spec.id = id;
    spec.language = std::move(language);
    spec.cwd = std::move(home);
    spec = given(std::move(spec), claim);
    auto made = co_await state.services.contexts->create_or_attach(std::move(spec));
    if (!made) co_return no_context(made.error());
    co_return std::move(made->context);
}

/// A client that went has no use for its run: nobody else can ever see what it prints.
struct Leaving {
    ContextPtr context;
    std::shared_ptr<kernels::Run> run;
    bool stays = true;
    ~Leaving() {
        if (stays && run->state() != kernels::RunState::finished) (void)context->cancel(run->id());
    }
};

Task<Answer> result_of(State& state, ContextPtr context, std::shared_ptr<kernels::Run> run,
                       kernels::RunOutcome outcome) {
    std::size_t const weight = run->log().bytes();
    auto const page = run->log().read(0, SIZE_MAX, SIZE_MAX);
    std::string text;
    std::function<void()> write = [&state, &page, &text, &outcome, &context] {
        ExecuteAnswer out = execute_answer(page, outcome);
        out.context_id = context->id();
        wire::encode(out, state.dialect.writing(), text);
    };
    co_await do_work(state, weight, std::move(write));
    co_return json_answer(state.services.loop, std::move(text));
}

/// Waits for the end of a run whose time counts from now, its wait behind others included (§10: a timeout is
/// real, and the default contexts are shared by clients that know nothing of each other). False: this daemon
/// ends. From where it begins the room counts on its own, and kills what heeds no interrupt.
Task<bool> until_over(State& state, Context& context, kernels::Run& run, bool waits, bool& late) {
    Clock& clock = state.services.loop.clock();
    Duration const limit = run.spec().timeout;
    Deadline const own = waits && limit > Duration::zero() ? Deadline::in(clock, limit) : Deadline::never();
    bool const ended = co_await run.wait(clock, own);
    if (ended || !own.passed(clock)) co_return ended;
    late = true;
    (void)context.cancel(run.id());
    co_return co_await run.wait(clock, Deadline::never());
}

kernels::RunOutcome outcome_of(kernels::Run const& run, bool late) {
    kernels::RunOutcome out = run.outcome();
    if (!late || out.kind == kernels::RunOutcome::Kind::ok) return out;
    out.kind = kernels::RunOutcome::Kind::timed_out;
    out.why = run.started() ? "the time for this run was over, its wait for other runs included"
                            : "the time for this run was over before other runs of its context had ended";
    return out;
}

Task<Result<Answer>> execute(State& state, Call& call, ExecuteRequest request) {
    std::string id =
        call.row->path.find("{contextId}") == std::string::npos ? std::string() : call.param("contextId");
    if (id.empty()) id = request.context_id.value_or("");
    auto const claim = claim_of(state.services, call);
    Result<ContextPtr> context;
    if (!id.empty()) {
        context = find(state, claim, id);
    } else {
        // Named, and no ?: inside the co_await: g++ 12 frees such a text twice.
        std::string language = request.language.value_or("");
        if (language.empty()) language = "python";
        context = co_await default_context(state, claim, std::move(language));
    }
    if (!context) co_return Failure(context.error());
    kernels::RunSpec spec;
    spec.code = std::move(request.code);
    spec.timeout = limit_of(request.timeout);
    bool const waits = (*context)->current() != nullptr || (*context)->queued() > 0;
    auto run = (*context)->submit(std::move(spec));
    if (!run) co_return Failure(run.error());
    // From here on the code may have begun: no status but 200 (§4.3).
    Leaving leaving{*context, *run};
    bool late = false;
    bool const ended = co_await until_over(state, **context, **run, waits, late);
    leaving.stays = !ended;
    if (!ended) co_return fail(Code::cancelled, "execute");
    co_return co_await result_of(state, *context, *run, outcome_of(**run, late));
}

}  // namespace

void add_contexts(Table& table) {
    table.add<http::Nothing, ContextBodies>(row_of("GET", "/contexts", "listContexts", "All code contexts."),
                                            list);
    auto row = row_of("POST", "/contexts", "createContext", "Creates a code context.");
    row.on_disconnect = http::OnDisconnect::keep;
    table.add<ContextRequest, ContextBody>(std::move(row), create);
    table.add<http::Nothing, ContextBody>(
        row_of("GET", "/contexts/{contextId}", "getContext", "One context."), get);
    row = row_of("DELETE", "/contexts/{contextId}", "deleteContext",
                 "Ends a context; a second time is no fault.");
    row.on_disconnect = http::OnDisconnect::keep;
    row.statuses = {{204, nullptr, "", "Ended"}};
    table.add<http::Nothing, http::Nothing>(std::move(row), remove);
    row = row_of("POST", "/contexts/execute", "executeCode",
                 "Runs code in a context, or in the default one of a language, and answers what came of it.");
    row.body_limit = 64U << 20;
    table.add<ExecuteRequest, ExecuteAnswer>(row, execute);
    row.path = "/contexts/{contextId}/execute";
    row.operation_id = "executeCodeIn";
    table.add<ExecuteRequest, ExecuteAnswer>(std::move(row), execute);
}

}  // namespace execd::agentrun
