// /command* (contracts/opensandbox.md §1.2 to §1.5, opensandbox-1.1.md §1, §3).
#include <charconv>

#include "base/accounts.hpp"
#include "execd/dialects/opensandbox/bodies.hpp"
#include "execd/dialects/opensandbox/claims.hpp"
#include "execd/dialects/opensandbox/command_stream.hpp"
#include "execd/dialects/opensandbox/dialect.hpp"
#include "execd/dialects/opensandbox/parts.hpp"
#include "execd/dialects/opensandbox/repeated_start.hpp"
#include "execd/dialects/opensandbox/schemas.hpp"
#include "execd/dialects/opensandbox/working_directory.hpp"
#include "execd/http/target.hpp"
#include "kernels/contexts.hpp"
#include "shell/executions.hpp"
#include "shell/sessions.hpp"
#include "shell/shell_text.hpp"

namespace execd::opensandbox {

using http::Answer;
using http::Call;

namespace {

constexpr std::string_view kInvalid = "invalid request, validation error ";
constexpr auto kStopGrace = std::chrono::seconds(3);
constexpr std::string_view kBackground = "background-command";
constexpr std::string_view kForeground = "command";
constexpr std::string_view kLost = "X-Execd-Lost";

Answer invalid(std::string_view why) {
    return refusal(400, code::kBody, std::string(kInvalid) + std::string(why));
}

std::optional<Answer> check(RunCommandRequest const& request) {
    bool const has_argv = request.argv.has_value();
    if (!has_argv && request.command.empty())
        return invalid(validator_text("RunCommandRequest", "Command", "required"));
    if (has_argv && !request.command.empty()) return invalid("exactly one of command and argv may be given");
    if (has_argv && (request.argv->empty() || request.argv->front().empty()))
        return invalid("argv[0] must not be empty");
    if (request.gid && !request.uid) return invalid("uid is required when gid is provided");
    return std::nullopt;
}

// contracts/opensandbox.md §1.2: a known uid brings its groups, an unknown one has group 0 and no others.
shell::Identity identity_of(std::uint32_t uid, std::optional<std::uint32_t> gid) {
    shell::Identity out{uid, gid.value_or(0), {}};
    auto const table = accounts();
    if (User const* user = table->user(uid)) {
        out.groups = table->groups_of(*user);
        if (!gid) out.gid = user->gid;
    }
    return out;
}

std::string argv_text(std::vector<std::string> const& argv) {
    std::string out = "[";
    for (auto const& word : argv) {
        if (out.size() > 1) out += ',';
        wire::append_json_string(out, word);
    }
    return out + "]";
}

// With an id of the client's the same start is found again, also while the first one is still under way.
Task<Result<std::shared_ptr<shell::Execution>>> start_once(Services& services, shell::ExecutionSpec spec) {
    if (spec.id.empty()) co_return co_await services.executions->start(std::move(spec));
    auto attached = co_await services.executions->start_or_attach(std::move(spec));
    if (!attached) co_return Failure(attached.error());
    co_return std::move(attached->execution);
}

Answer told(Services& services, Call const& call, std::shared_ptr<shell::Execution> run) {
    if (run->label() == kBackground) return background_stream(services, *run);
    return foreground_stream(services, call, std::move(run));
}

}  // namespace

Answer other_request() {
    return refusal(409, code::kConflict, "the Idempotency-Key was used with another request");
}

std::string dashed(std::string_view id) {
    std::string out;
    for (std::size_t i = 0; i < id.size(); ++i) {
        if (i == 8 || i == 12 || i == 16 || i == 20) out += '-';
        out += id[i];
    }
    return out;
}

Task<Result<Answer>> start_command(Services& services, Call& call, RunCommandRequest request) {
    if (auto refused = check(request)) co_return std::move(*refused);
    auto const key = start_key(call, call.header(kIdempotencyKey) ? to_json(request) : std::string());
    if (!key) co_return refusal(400, code::kBody, key.error().message());
    if (*key) {
        // Before anything of the world is looked at: what the first one changed is no reason to refuse.
        if (auto run = services.executions->find((*key)->id)) {
            bool const same = run->digest() == (*key)->digest;
            if (same && sees(call, run->owner())) co_return told(services, call, std::move(run));
            co_return other_request();
        }
    }
    shell::Environment environment = environment_of(services, call);
    environment.overlay(request.envs);
    shell::ExecutionSpec spec;
    if (!request.cwd.empty() || !services.config.cwd.empty()) {
        auto directory = co_await existing_directory(
            services, request.cwd.empty() ? services.config.cwd : request.cwd, environment);
        if (!directory.refused.empty()) co_return invalid(directory.refused);
        spec.cwd = directory.path;
        if (!request.envs.contains("PWD")) environment.set("PWD", directory.path);
    }
    if (request.argv) {
        spec.argv = *request.argv;
        spec.text = argv_text(*request.argv);
    } else {
        auto command = shell::shell_command(shell::find_shell(environment), request.command);
        if (!command) co_return refusal(400, code::kBody, std::string(kInvalid) + command.error().message());
        spec.argv = std::move(command->argv);
        spec.direct = std::move(command->direct);
        spec.fds = std::move(command->fds);
        spec.owned = std::move(command->owned);
        spec.text = request.command;
    }
    spec.env = environment.list();
    spec.owner = claim_id(call);
    if (request.uid) spec.identity = identity_of(*request.uid, request.gid);
    spec.timeout = std::chrono::milliseconds(std::min<std::int64_t>(request.timeout, std::int64_t{1} << 50));
    spec.label = request.background ? kBackground : kForeground;
    spec.merge_output = request.background;
    if (request.background) spec.journal.keep = shell::Keep::all;
    if (*key) {
        spec.id = (*key)->id;
        spec.digest = (*key)->digest;
        spec.journal.keep = shell::Keep::all;  // whoever asks again wants all of the output
    }
    auto started = co_await start_once(services, std::move(spec));
    if (!started && started.error().code == Code::invalid_argument)
        co_return invalid(started.error().message());
    if (!started && started.error().code == Code::conflict) co_return other_request();
    if (!started)
        co_return refusal(500, code::kRuntime, "error running commands " + started.error().message());
    co_return told(services, call, std::move(*started));
}

namespace {

Task<Result<Answer>> run_command(Services& services, Call& call) {
    RunCommandRequest request;
    if (auto refused = co_await read_body(call, request)) co_return std::move(*refused);
    co_return co_await start_command(services, call, std::move(request));
}

std::shared_ptr<shell::Execution> find_command(Services& services, Call const& call, std::string const& id) {
    auto run = services.executions->find(id);
    if (run && !sees(call, run->owner())) return nullptr;
    if (run && run->label() != kForeground && run->label() != kBackground) return nullptr;
    return run;
}

// One handler for DELETE /command and DELETE /code (§1.3): the id may be a context's, a command's, or a
// session's, which it ends.
Task<Result<Answer>> interrupt(Services& services, Call& call) {
    auto const id = call.query_value("id");
    if (!id || id->empty()) co_return refusal(400, code::kQuery, "missing query parameter 'id'");
    std::string const key(*id);
    if (services.contexts != nullptr) {
        auto const context = services.contexts->find(key);
        if (context && sees(call, context->spec().owner)) {
            auto done = co_await context->interrupt();
            if (done) co_return Answer::empty();
            co_return refusal(500, code::kRuntime,
                              "error interruptting code context. " + done.error().message());
        }
    }
    auto const session = services.sessions->find(key);
    bool const visible = session && sees(call, session->owner());
    bool was_session = false;
    if (visible) was_session = co_await end_session(services, key);
    if (was_session) co_return Answer::empty();
    auto run = find_command(services, call, key);
    if (!run) co_return refusal(500, code::kRuntime, "error interruptting code context. no such session");
    if (!run->running())
        co_return refusal(500, code::kRuntime,
                          "error interruptting code context. command session " + key + " is not running");
    co_await run->stop(kStopGrace);
    co_return Answer::empty();
}

wire::Timestamp stamp_of(WallTime at) { return {std::chrono::time_point_cast<std::chrono::nanoseconds>(at)}; }

Result<Answer> command_status(Services& services, Call& call) {
    std::string const& id = call.param("id");
    auto const run = find_command(services, call, id);
    if (!run) return refusal(404, code::kBody, "command not found: " + id);
    CommandStatus status;
    status.id = id;
    status.content = run->text();
    status.running = run->running();
    status.started_at = stamp_of(run->started_wall());
    if (auto const& verdict = run->verdict()) {
        bool const unstarted = std::holds_alternative<shell::FailedToStart>(verdict->ending);
        status.exit_code = unstarted ? 255 : verdict->exit_code();
        if (!verdict->success()) status.error = end_text(*verdict);
        status.finished_at = stamp_of(verdict->wall);
    }
    return json(to_json(status));
}

// The cursor is a byte offset (§0.9), whatever the specification calls it. It counts what was written: a
// gap's line is no part of it.
class LogStream final : public http::Producer {
  public:
    LogStream(std::shared_ptr<shell::Execution> run, shell::Position from)
        : run_(std::move(run)), from_(from) {}
    Task<Result<void>> produce(http::Writer& writer) override {
        shell::Cursor cursor = run_->journal().reader({.until = shell::Until::now, .position = from_});
        shell::Batch batch;
        std::uint64_t lost = 0;
        for (;;) {
            auto const next = co_await cursor.next(batch, Deadline::never());
            if (next != shell::Next::data) break;
            for (auto const& slice : batch.slices) {
                if (slice.lost > 0) {
                    lost += slice.lost;
                    if (!writer.committed()) writer.answer().headers.set(kLost, std::to_string(lost));
                    writer.out() +=
                        "[execd: " + std::to_string(slice.lost) + " bytes of output were dropped here]\n";
                }
                writer.out().append(slice.bytes);
            }
            if (auto sent = co_await writer.flush(); !sent) co_return sent;
        }
        co_return Result<void>();
    }

  private:
    std::shared_ptr<shell::Execution> run_;
    shell::Position from_;
};

Result<Answer> command_logs(Services& services, Call& call) {
    std::string const& id = call.param("id");
    auto const run = find_command(services, call, id);
    if (!run) return refusal(400, code::kBody, "command not found: " + id);
    if (run->label() != kBackground)
        return refusal(400, code::kBody, "command " + id + " is not running in background");
    std::string_view text = call.query_value("cursor").value_or("0");
    bool const negative = text.starts_with('-');
    std::uint64_t cursor = 0;
    auto const [end, ec] = std::from_chars(text.data(), text.data() + text.size(), cursor);
    if (negative)
        return refusal(400, code::kBody, "error seek file: seek " + std::string(text) + ": invalid argument");
    if (ec != std::errc() || end != text.data() + text.size()) cursor = 0;
    std::uint64_t const size = run->journal().written(shell::Stream::out);
    Answer answer;
    answer.headers.set("Content-Type", "text/plain; charset=utf-8");
    answer.headers.set("EXECD-COMMANDS-TAIL-CURSOR", std::to_string(std::max(cursor, size)));
    if (cursor < size)
        answer.body = std::make_unique<LogStream>(run, run->journal().seek(shell::Stream::out, cursor));
    return answer;
}

}  // namespace

void add_commands(Services& services, std::vector<http::Row>& out) {
    Services* s = &services;
    http::Row row;
    row.tag = "Command";
    row.method = "POST";
    row.path = "/command";
    row.operation_id = "runCommand";
    row.doc = "Runs a command; its output and end as an event stream.";
    row.body = http::BodyPolicy::json;
    row.body_limit = 64U << 20;
    row.on_disconnect = http::OnDisconnect::keep;
    row.request = &wire::Codec<RunCommandRequest>::ops;
    row.statuses = {{200, nullptr, "text/event-stream", "Events"},
                    {400, nullptr, "application/json", "Bad request"}};
    row.invoke = [s](Call& call) { return run_command(*s, call); };
    out.push_back(row);

    http::Row stop;
    stop.tag = "Command";
    stop.method = "DELETE";
    stop.on_disconnect = http::OnDisconnect::keep;
    stop.doc = "Ends a command, or interrupts a code context, by the id in the query.";
    stop.invoke = [s](Call& call) { return interrupt(*s, call); };
    stop.path = "/command";
    stop.operation_id = "interruptCommand";
    out.push_back(stop);
    stop.path = "/code";
    stop.operation_id = "interruptCode";
    out.push_back(stop);

    http::Row get;
    get.tag = "Command";
    get.method = "GET";
    get.path = "/command/status/{id}";
    get.operation_id = "getCommandStatus";
    get.doc = "State and exit code of a command.";
    get.statuses = {{200, &wire::Codec<CommandStatus>::ops, "application/json", "State"}};
    get.sync = [s](Call& call) { return command_status(*s, call); };
    out.push_back(get);
    get.path = "/command/{id}/logs";
    get.operation_id = "getBackgroundCommandLogs";
    get.doc = "Output of a background command from a byte offset.";
    get.statuses = {{200, nullptr, "text/plain", "Output"}};
    get.sync = nullptr;
    get.invoke = [s](Call& call) -> Task<Result<Answer>> { return wrap(command_logs(*s, call)); };
    out.push_back(get);
}

}  // namespace execd::opensandbox
