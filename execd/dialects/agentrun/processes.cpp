// /processes but the terminal (contracts/agentrun.md §5.4): commands, and every process of the container.
#include "shell/process_info.hpp"

#include <unistd.h>

#include <charconv>
#include <set>

#include "execd/auth/authenticator.hpp"
#include "execd/dialects/agentrun/large_answer.hpp"
#include "execd/dialects/agentrun/parts.hpp"
#include "execd/http/wire/encode.hpp"
#include "execd/idempotency.hpp"
#include "shell/executions.hpp"
#include "shell/shell_text.hpp"

namespace execd::agentrun {

using http::Answer;
using http::Call;

namespace {

constexpr std::size_t kMostOutput = 16U << 20;  // of one stream, in one answer
constexpr auto kGrace = std::chrono::seconds(2);
constexpr std::size_t kProcessWeight = 400;  // bytes of JSON, about

// ---- commands

/// A client that went has no use for its command: what it prints reaches nobody (§5.4 has no second look).
struct Leaving {
    std::shared_ptr<shell::Execution> run;
    ~Leaving() {
        if (run && run->running()) run->request_stop(kGrace);
    }
};

struct Collected {
    std::string out;
    std::string err;
    std::uint64_t dropped = 0;

    void add(shell::Batch const& batch) {
        for (auto const& slice : batch.slices) {
            std::string& to = slice.stream == shell::Stream::err ? err : out;
            std::size_t const room = kMostOutput - std::min(kMostOutput, to.size());
            to += slice.bytes.substr(0, room);
            dropped += slice.lost + slice.bytes.size() - std::min(room, slice.bytes.size());
        }
    }
};

Task<Result<shell::ExecutionSpec>> spec_of(State& state, claims::ClaimPtr claim,
                                           CommandRequest const& request) {
    shell::ExecutionSpec spec;
    if (request.cwd && !request.cwd->empty()) {
        auto path = co_await path_of(state, *request.cwd);
        if (!path) co_return Failure(path.error());
        spec.cwd = std::move(*path);
    }
    bool const at_home = spec.cwd.empty() || spec.cwd == state.home;
    if (at_home) spec.cwd = co_await home_to_start_in(state);
    shell::Environment environment = environment_of(state.services, claim);
    spec.owner = owner_of(claim);
    environment.set("PWD", spec.cwd);
    auto command = shell::shell_command(shell::find_shell(environment), request.command);
    if (!command) co_return Failure(command.error());
    spec.argv = std::move(command->argv);
    spec.direct = std::move(command->direct);
    spec.fds = std::move(command->fds);
    spec.owned = std::move(command->owned);
    spec.text = request.command;
    spec.env = environment.list();
    spec.timeout = limit_of(request.timeout);
    spec.label = "command";
    co_return spec;
}

/// Without what it printed.
CommandAnswer described(shell::Execution const& run, std::string cwd) {
    shell::Verdict const& verdict = *run.verdict();
    CommandAnswer out;
    out.execution_id = run.id();
    out.exit_code = verdict.shell_status();
    out.status = verdict.success() ? "completed" : "failed";
    out.timed_out = std::holds_alternative<shell::TimedOut>(verdict.ending);
    if (!std::holds_alternative<shell::Exited>(verdict.ending)) out.error = verdict.text();
    out.cwd = std::move(cwd);
    out.execution_time_ms =
        std::chrono::duration_cast<std::chrono::milliseconds>(verdict.at - run.started_at()).count();
    return out;
}

Result<std::optional<StartKey>> key_of(Call const& call, CommandRequest const& request) {
    std::string canonical;
    if (call.header(kIdempotencyKey)) wire::encode(request, wire::EncodePolicy{}, canonical);
    return start_key(call, canonical);
}

/// With a key of the client's the same start is found again, also while the first one is still under way.
Task<Result<std::shared_ptr<shell::Execution>>> start_once(State& state, shell::ExecutionSpec spec,
                                                           std::optional<StartKey> key) {
    if (!key) co_return co_await state.services.executions->start(std::move(spec));
    spec.id = std::move(key->id);
    spec.digest = std::move(key->digest);
    spec.journal.keep = shell::Keep::all;  // whoever asks again wants all of the output
    std::string const owner = spec.owner;
    auto attached = co_await state.services.executions->start_or_attach(std::move(spec));
    if (!attached) co_return Failure(attached.error());
    if (attached->execution->owner() != owner)
        co_return fail(Code::conflict, kIdempotencyKey, "it was used for another sandbox");
    co_return std::move(attached->execution);
}

Task<Result<Answer>> run_command(State& state, Call& call, CommandRequest request) {
    auto key = key_of(call, request);
    if (!key) co_return Failure(key.error());
    bool const named = key->has_value();
    auto const claim = claim_of(state.services, call);
    auto spec = co_await spec_of(state, claim, request);
    if (!spec) co_return Failure(spec.error());
    std::string cwd = spec->cwd;
    auto started = co_await start_once(state, std::move(*spec), std::move(*key));
    if (!started) co_return Failure(started.error());
    // From here on the command may have begun: no status but 200 (§4.3). A client with a key may come back.
    auto const kept = *started;
    Leaving leaving{named ? nullptr : kept};
    shell::Execution& run = *kept;
    Collected collected;
    {
        shell::Cursor cursor = run.journal().reader({.until = shell::Until::verdict});
        shell::Batch batch;
        for (;;) {
            auto const next = co_await cursor.next(batch, Deadline::never());
            if (next != shell::Next::data) break;
            collected.add(batch);
        }
    }
    bool const ended = co_await run.ended(Deadline::never());
    if (!ended) co_return fail(Code::cancelled, "cmd");
    auto const* failed = std::get_if<shell::FailedToStart>(&run.verdict()->ending);
    if (failed != nullptr && failed->step == shell::Step::cwd)
        co_return fail(Code::invalid_argument, "", "cwd: " + cwd + ": " + errno_text(failed->error));
    CommandAnswer out = described(run, std::move(cwd));
    out.dropped_bytes = collected.dropped;
    std::size_t const weight = 2 * (collected.out.size() + collected.err.size());
    std::string text;
    std::function<void()> write = [&state, &out, &collected, &text] {
        out.stdout_text = std::move(collected.out);
        out.stderr_text = std::move(collected.err);
        out.result = out;
        wire::encode(out, state.dialect.writing(), text);
        CommandAnswer const gone = std::move(out);  // large ones are freed here, not on the reactor
    };
    co_await do_work(state, weight, std::move(write));
    co_return json_answer(state.services.loop, std::move(text));
}

// ---- processes

/// What execd itself started, by pid: its label.
std::map<pid_t, std::string> labels(State& state) {
    std::map<pid_t, std::string> out;
    for (auto const& run : state.services.executions->list())
        if (run->running() && run->pid() > 0) out[run->pid()] = run->label();
    return out;
}

/// What belongs to other claims than the request's: below the leaders of their executions, or marked by one
/// of them. Nothing for a request without a claim.
struct Foreign {
    Foreign(State& state, claims::ClaimPtr const& claim) : own(owner_of(claim)) {
        if (!claim) return;
        for (auto const& run : state.services.executions->list()) {
            if (run->owner().empty() || run->owner() == own) continue;
            executions.insert(run->id());
            if (run->running() && run->pid() > 0) leaders.insert(run->pid());
        }
    }
    [[nodiscard]] bool owns(shell::ProcessInfo const& info) const {
        if (own.empty()) return false;
        auto const& entry = info.entry;
        if (leaders.contains(entry.pid) || leaders.contains(entry.group) || leaders.contains(entry.session))
            return true;
        auto const of = [&info](char const* name) {
            auto const found = info.environment.find(name);
            return found == info.environment.end() ? std::string() : found->second;
        };
        std::string const owner = of("EXECD_OWNER");
        return executions.contains(of("EXECD_EXECUTION")) || (!owner.empty() && owner != own);
    }

    std::string own;
    std::set<pid_t> leaders;
    std::set<std::string> executions;
};

/// On the pool. A look into every environment is for those requests that need it.
std::vector<shell::ProcessInfo> visible_processes(Foreign const& foreign) {
    auto found = shell::describe_processes();
    if (foreign.own.empty()) return found;
    std::erase_if(found, [&foreign](shell::ProcessInfo const& info) {
        auto const whole = shell::describe_process(info.entry.pid);
        return !whole || foreign.owns(*whole);
    });
    return found;
}

std::optional<shell::ProcessInfo> visible_process(Foreign const& foreign, pid_t pid) {
    auto found = shell::describe_process(pid);
    if (found && foreign.owns(*found)) found.reset();
    return found;
}

ProcessBody described(shell::ProcessInfo const& info, std::map<pid_t, std::string> const& labels) {
    ProcessBody out;
    out.pid = info.entry.pid;
    out.process_id = info.entry.pid;
    out.ppid = info.entry.parent;
    out.name = info.name;
    out.command = info.command;
    out.status = info.entry.state == 'Z' || info.entry.state == 'X'   ? "zombie"
                 : info.entry.state == 'T' || info.entry.state == 't' ? "stopped"
                                                                      : "running";
    if (auto const label = labels.find(info.entry.pid); label != labels.end()) out.tag = label->second;
    out.created_at = stamp_of(info.started);
    out.resource_usage.cpu_percent = info.cpu_percent;
    out.resource_usage.memory_mb = static_cast<double>(info.memory) / (1 << 20);
    return out;
}

// The documents know an object, README and the overview's loop an array (§5.4, §13): the array, unless the
// other is asked for.
Task<Result<Answer>> list_processes(State& state, Call& call, http::Nothing) {
    Foreign const foreign(state, claim_of(state.services, call));
    auto look = [&foreign] { return visible_processes(foreign); };
    auto const found = co_await state.services.loop.pool().run(Lane::metadata, look);
    auto const known = labels(state);
    ProcessBodies out;
    for (auto const& info : found) out.push_back(described(info, known));
    std::size_t const weight = out.size() * kProcessWeight;
    if (call.query_value("format").value_or("array") != "official")
        co_return co_await answer_of(state, std::move(out), weight);
    ProcessPage page;
    page.total = out.size();
    page.items = std::move(out);
    co_return co_await answer_of(state, std::move(page), weight);
}

Result<pid_t> pid_of(Call& call) {
    std::string const& text = call.param("pid");
    std::int64_t number = 0;
    auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error == std::errc::result_out_of_range)
        return fail(Code::not_found, "", "process with PID " + text + " not found");
    if (error != std::errc() || end != text.data() + text.size() || number <= 0)
        return fail(Code::invalid_argument, "", "pid: a number above 0 is expected");
    if (number > INT32_MAX) return fail(Code::not_found, "", "process with PID " + text + " not found");
    return static_cast<pid_t>(number);
}

Failure unknown(pid_t pid) {
    return fail(Code::not_found, "", "process with PID " + std::to_string(pid) + " not found");
}

Task<Result<ProcessBody>> get_process(State& state, Call& call, http::Nothing) {
    auto const pid = pid_of(call);
    if (!pid) co_return Failure(pid.error());
    Foreign const foreign(state, claim_of(state.services, call));
    auto look = [&foreign, number = *pid] { return visible_process(foreign, number); };
    auto found = co_await state.services.loop.pool().run(Lane::metadata, look);
    if (!found) co_return unknown(*pid);
    ProcessBody out = described(*found, labels(state));
    if (!found->cwd.empty()) out.working_dir = std::move(found->cwd);
    std::erase_if(found->environment,
                  [](auto const& entry) { return auth::is_hidden_variable(entry.first); });
    out.environment = std::move(found->environment);
    co_return out;
}

Task<Result<KillAnswer>> kill_process(State& state, Call& call, http::Nothing) {
    auto const pid = pid_of(call);
    if (!pid) co_return Failure(pid.error());
    if (*pid == ::getpid())
        co_return fail(Code::permission_denied, "", "this is execd itself: end its container instead");
    Foreign const foreign(state, claim_of(state.services, call));
    if (!foreign.own.empty()) {
        auto look = [&foreign, number = *pid] { return visible_process(foreign, number).has_value(); };
        bool const visible = co_await state.services.loop.pool().run(Lane::metadata, look);
        if (!visible) co_return unknown(*pid);
    }
    std::shared_ptr<shell::Execution> ours;
    for (auto const& run : state.services.executions->list())
        if (run->running() && run->pid() == *pid) ours = run;
    KillAnswer out;
    out.pid = *pid;
    if (ours) {
        co_await ours->stop(kGrace);
        out.message = "the process and what it started have ended";
    } else {
        auto done = co_await shell::end_process(state.services.loop, *pid, kGrace);
        if (!done && done.error().code == Code::not_found) co_return unknown(*pid);
        if (!done && done.error().code == Code::timed_out)
            co_return fail(Code::conflict, "", "process with PID " + std::to_string(*pid) + " does not end");
        if (!done) co_return Failure(done.error());
        out.message = "the process has ended";
    }
    out.stopped_at = stamp_of(state.services.loop.clock().wall());
    co_return out;
}

}  // namespace

void add_processes(Table& table) {
    auto row =
        row_of("POST", "/processes/cmd", "runCommand",
               "Runs shell text and answers what came of it; at the timeout its whole tree is killed. With "
               "Idempotency-Key the same request attaches, and the command outlives its client.");
    row.body_limit = 128U << 20;
    table.add<CommandRequest, CommandAnswer>(std::move(row), run_command);
    table.add<http::Nothing, ProcessBodies>(
        row_of("GET", "/processes", "listProcesses",
               "Every process; ?format=official gives {items, total} instead of the array."),
        list_processes);
    table.add<http::Nothing, ProcessBody>(row_of("GET", "/processes/{pid}", "getProcess", "One process."),
                                          get_process);
    row = row_of("DELETE", "/processes/{pid}", "killProcess",
                 "Ends any process: SIGTERM, after 2 s SIGKILL; with all it started when execd started it.");
    row.on_disconnect = http::OnDisconnect::keep;
    table.add<http::Nothing, KillAnswer>(std::move(row), kill_process);
}

}  // namespace execd::agentrun
