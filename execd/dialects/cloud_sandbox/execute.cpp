// POST /api/v1/execute (docs/cloud-sandbox.md, "Execute").
#include "execd/dialects/cloud_sandbox/outcome.hpp"
#include "execd/dialects/cloud_sandbox/parts.hpp"
#include "kernels/contexts.hpp"

namespace execd::cloud_sandbox {

using http::Answer;
using http::Call;

namespace {

constexpr double kDefaultSeconds = 300;  // the client's own socket limit where nobody gives one

struct Clocked {
    explicit Clocked(Clock& clock, Duration limit)
        : clock_(&clock), began(clock.now()), times(times_of(limit)) {}
    [[nodiscard]] Deadline answer() const { return Deadline(began + times.answer); }
    /// Of what starts now; never 0, which would be no limit.
    [[nodiscard]] Duration left() const {
        return std::max<Duration>(began + times.stop - clock_->now(), std::chrono::milliseconds(1));
    }
    [[nodiscard]] std::int64_t elapsed_ms() const {
        return std::chrono::duration_cast<std::chrono::milliseconds>(clock_->now() - began).count();
    }

    Clock* clock_;
    TimePoint began;
    Times times;
};

ExecuteAnswer described(CommandEnd&& end) {
    ExecuteAnswer out;
    out.stdout_text = std::move(end.out);
    out.stderr_text = std::move(end.err);
    out.dropped_bytes = end.dropped;
    if (!end.ended) {
        out.timed_out = true;
        out.exit_code = -1;
        return out;
    }
    shell::Verdict const& verdict = end.verdict();
    out.exit_code = verdict.shell_status();
    if (std::holds_alternative<shell::TimedOut>(verdict.ending)) {
        out.timed_out = true;
        out.exit_code = -1;
    } else if (std::holds_alternative<shell::FailedToStart>(verdict.ending)) {
        out.error = verdict.text();
        out.stderr_text += *out.error + "\n";
    } else if (!std::holds_alternative<shell::Exited>(verdict.ending) &&
               !std::holds_alternative<shell::Signaled>(verdict.ending)) {
        out.error = verdict.text();
    }
    return out;
}

Task<Result<ExecuteAnswer>> run_program(State& state, claims::ClaimPtr session, ExecuteRequest request,
                                        std::string cwd, Clocked const& clocked) {
    shell::ExecutionSpec spec;
    spec.argv = std::move(*request.command);
    spec.cwd = std::move(cwd);
    spec.timeout = clocked.left();
    Variables const variables = request.env.value_or(Variables());
    auto end = co_await run_command(state.services, *session, std::move(spec), variables, clocked.answer());
    if (!end) co_return Failure(end.error());
    co_return described(std::move(*end));
}

Task<Result<ExecuteAnswer>> run_source(State& state, claims::ClaimPtr session, ExecuteRequest request,
                                       std::string cwd, Clocked const& clocked) {
    auto home = co_await state.workspace.directory();
    if (!home) co_return Failure(home.error());
    std::string language = request.language.value_or("");
    if (language.empty()) language = "python";
    auto context = co_await claim_context(state.services, *session, std::move(language), std::move(*home));
    if (!context) co_return Failure(context.error());
    kernels::RunSpec spec;
    spec.code = std::move(*request.code);
    if (request.work_dir && !request.work_dir->empty()) spec.cwd = std::move(cwd);
    if (request.env) spec.env = std::move(*request.env);
    spec.timeout = clocked.left();
    auto end = co_await run_code(state.services, *context, std::move(spec), clocked.answer());
    if (!end) co_return Failure(end.error());
    std::optional<kernels::RunOutcome> outcome;
    if (end->ended) outcome = end->run->outcome();
    if (outcome && outcome->kind == kernels::RunOutcome::Kind::failed)
        co_return fail(outcome->code, "", outcome->why);
    std::size_t const weight = end->run->log().bytes();
    auto const page = end->run->log().read(0, SIZE_MAX, SIZE_MAX);
    ExecuteAnswer out;
    std::function<void()> make = [&out, &page, &outcome] { out = code_answer(page, outcome); };
    co_await do_work(state.services, weight, std::move(make));
    co_return out;
}

Task<Result<Answer>> execute(State& state, Call& call, ExecuteRequest request) {
    constexpr double kSecond = 1e9;
    auto entered = enter(state, call, request.sandbox_id);
    if (!entered) co_return Failure(entered.error());
    bool const program = request.command && !request.command->empty();
    if (!program && !request.code) co_return fail(Code::invalid_argument, "", "code or command is required");
    double const seconds = request.timeout.value_or(0) > 0 ? *request.timeout : kDefaultSeconds;
    Clocked const clocked(state.services.loop.clock(), bounded(seconds * kSecond));
    std::string wanted = request.work_dir.value_or("");
    auto cwd = co_await state.workspace.made(std::move(wanted));
    if (!cwd) co_return Failure(cwd.error());
    claims::ClaimPtr const session = entered->claim();
    Result<ExecuteAnswer> made;
    if (program)
        made = co_await run_program(state, session, std::move(request), std::move(*cwd), clocked);
    else
        made = co_await run_source(state, session, std::move(request), std::move(*cwd), clocked);
    if (!made) co_return Failure(made.error());
    made->duration_ms = clocked.elapsed_ms();
    std::size_t const weight = made->stdout_text.size() + made->stderr_text.size();
    std::string text;
    std::function<void()> write = [&state, &made, &text] {
        wire::encode(*made, state.dialect.writing(), text);
    };
    co_await do_work(state.services, weight, std::move(write));
    co_return Answer::bytes(200, "application/json", std::move(text));
}

}  // namespace

void add_execute(Table& table) {
    auto row =
        row_of("POST", "/execute", "Execute",
               "Runs code where the session's earlier code ran, or a program, and answers how it ended.");
    row.body_limit = 64U << 20;
    table.add<ExecuteRequest, ExecuteAnswer>(std::move(row), execute);
}

}  // namespace execd::cloud_sandbox
