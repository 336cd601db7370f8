// From this dialect's words to the shell room's and back.
#include <sys/resource.h>

#include <charconv>

#include "base/accounts.hpp"
#include "execd/dialects/own/executions.hpp"
#include "execd/http/wire/json_text.hpp"
#include "shell/shell_text.hpp"

namespace execd::own {

namespace {

constexpr std::size_t kShownText = 4096;

Failure wrong(std::string_view field, std::string why) {
    return fail(Code::invalid_argument, field, std::move(why));
}

std::optional<std::uint32_t> number_of(std::string_view text) {
    std::uint32_t value = 0;
    auto const [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
    // (uid_t)-1 means "leave it" to the kernel: nobody is called that.
    if (ec != std::errc() || end != text.data() + text.size() || value == UINT32_MAX) return std::nullopt;
    return value;
}

Result<std::optional<shell::Identity>> identity_of(ExecutionRequest const& request) {
    if (!request.user && !request.group) return std::optional<shell::Identity>();
    if (!request.user) return wrong("group", "a group needs a user");
    auto const table = accounts();
    User const* user = table->user(std::string_view(*request.user));
    auto const number = number_of(*request.user);
    if (user == nullptr && number) user = table->user(static_cast<uid_t>(*number));
    if (user == nullptr && !number) return wrong("user", "no user " + *request.user);
    shell::Identity out;
    out.uid = user != nullptr ? user->uid : static_cast<uid_t>(*number);
    if (user != nullptr) {
        out.gid = user->gid;
        out.groups = table->groups_of(*user);
    }
    if (!request.group) return std::optional(out);
    Group const* group = table->group(std::string_view(*request.group));
    auto const gid = number_of(*request.group);
    if (group == nullptr && !gid) return wrong("group", "no group " + *request.group);
    out.gid = group != nullptr ? group->gid : static_cast<gid_t>(*gid);
    return std::optional(out);
}

Result<void> set_command(shell::ExecutionSpec& spec, ExecutionRequest& request,
                         shell::Environment const& environment) {
    if (request.argv.has_value() == request.shell.has_value())
        return wrong("argv", "exactly one of argv and shell is needed");
    if (request.argv) {
        if (request.argv->empty() || request.argv->front().empty())
            return wrong("argv", "argv[0] must not be empty");
        std::string text = "[";
        for (auto const& word : *request.argv) {
            if (text.size() > kShownText) break;
            if (text.size() > 1) text += ',';
            wire::append_json_string(text, word);
        }
        spec.text = text + "]";
        spec.argv = std::move(*request.argv);
        return {};
    }
    if (request.shell->empty()) return wrong("shell", "the text is empty");
    spec.text = request.shell->substr(0, kShownText);
    auto command = shell::shell_command(shell::find_shell(environment), std::move(*request.shell));
    if (!command) return Failure(command.error());
    spec.argv = std::move(command->argv);
    spec.direct = std::move(command->direct);
    spec.fds = std::move(command->fds);
    spec.owned = std::move(command->owned);
    return {};
}

Result<void> set_input(shell::ExecutionSpec& spec, ExecutionRequest& request) {
    bool const bytes = request.input || request.input_base64;
    if (request.input && request.input_base64) return wrong("input", "give input or input_base64, not both");
    if (bytes && request.stdin_ == Stdin::pipe) return wrong("stdin", "input is the whole of stdin already");
    if (request.pty && bytes) return wrong("input", "a terminal's input is written by POST .../input");
    if (request.stdin_ == Stdin::pipe) spec.input = shell::Input::pipe;
    if (!bytes) return {};
    spec.input = shell::Input::bytes;
    spec.input_bytes = request.input ? std::move(*request.input) : std::move(request.input_base64->data);
    return {};
}

void set_limits(shell::ExecutionSpec& spec, ExecutionLimits const& limits) {
    auto const add = [&spec](int resource, std::optional<std::uint64_t> const& value) {
        if (value) spec.limits.push_back({resource, *value, *value});
    };
    add(RLIMIT_NOFILE, limits.open_files);
    add(RLIMIT_FSIZE, limits.file_size);
    add(RLIMIT_CPU, limits.cpu_seconds);
    add(RLIMIT_CORE, limits.core);
    spec.resources.memory = limits.memory;
    spec.resources.pids = limits.pids;
    spec.resources.cpu = limits.cpu;
}

double milliseconds(Duration d) { return std::chrono::duration<double, std::milli>(d).count(); }

void add_ending(VerdictView& out, shell::Verdict const& verdict) {
    if (auto const* exited = std::get_if<shell::Exited>(&verdict.status)) out.exit_code = exited->code;
    if (auto const* signaled = std::get_if<shell::Signaled>(&verdict.status)) {
        out.signal = signaled->signal;
        out.signal_name = shell::signal_name(signaled->signal);
        out.core_dumped = signaled->core;
    }
    if (auto const* timed = std::get_if<shell::TimedOut>(&verdict.ending))
        out.timeout = timed->kind == shell::TimedOut::Kind::hard   ? "hard"
                      : timed->kind == shell::TimedOut::Kind::idle ? "idle"
                                                                   : "soft";
    if (auto const* failed = std::get_if<shell::FailedToStart>(&verdict.ending)) {
        out.step = shell::to_string(failed->step);
        out.error_number = failed->error;
    }
}

}  // namespace

Result<shell::ExecutionSpec> spec_of(Services& services, ExecutionRequest request) {
    shell::ExecutionSpec spec;
    shell::Environment environment;
    if (request.inherit_env) environment = services.environment->make();
    spec.cwd = request.cwd.empty() ? services.config.cwd : request.cwd;
    if (!spec.cwd.empty()) environment.set("PWD", spec.cwd);
    if (request.pty) environment.set_default("TERM", "xterm-256color");
    environment.overlay(request.envs);
    for (auto const& [name, value] : request.envs)
        if (name.empty() || name.find('=') != std::string::npos)
            return wrong("envs", "'" + name + "' is no name of a variable");
    auto identity = identity_of(request);
    if (!identity) return Failure(identity.error());
    spec.identity = std::move(*identity);
    if (auto done = set_command(spec, request, environment); !done) return Failure(done.error());
    if (auto done = set_input(spec, request); !done) return Failure(done.error());
    spec.env = environment.list();
    set_limits(spec, request.limits);
    if (request.pty) spec.terminal = shell::WindowSize{request.pty->columns, request.pty->rows};
    spec.merge_output = request.merge_output;
    spec.journal.keep = request.keep == KeepOutput::all ? shell::Keep::all : shell::Keep::window;
    spec.timeout = std::chrono::milliseconds(request.timeout_ms);
    spec.nice = request.nice;
    spec.oom_score_adj = request.oom_score_adj;
    spec.no_new_privs = request.no_new_privs;
    if (request.umask) spec.umask = static_cast<int>(std::strtol(request.umask->c_str(), nullptr, 8));
    if (request.stop_signal) {
        spec.stop_signal = shell::signal_number(*request.stop_signal);
        if (spec.stop_signal == 0) return wrong("stop_signal", "no signal " + *request.stop_signal);
    }
    spec.label = std::move(request.label);
    spec.owner = std::move(request.owner);
    return spec;
}

ExecutionView view_of(shell::Execution const& execution) {
    ExecutionView out;
    out.id = execution.id();
    out.state = execution.running() ? ExecutionState::running : ExecutionState::ended;
    out.label = execution.label();
    out.owner = execution.owner();
    out.command = execution.text().substr(0, kShownText);
    out.pid = execution.pid();
    out.started_at.at = execution.started_wall();
    out.terminal = execution.terminal();
    out.not_enforced = execution.not_enforced();
    shell::Journal const& journal = execution.journal();
    auto const add = [&](shell::Stream stream) {
        std::size_t const s = shell::index_of(stream);
        out.streams[std::string(shell::to_string(stream))] = {journal.begin().offsets[s],
                                                              journal.end().offsets[s]};
    };
    if (out.terminal) {
        add(shell::Stream::tty);
    } else {
        add(shell::Stream::out);
        add(shell::Stream::err);
    }
    if (auto const& verdict = execution.verdict()) {
        VerdictView& view = out.verdict.emplace();
        view.kind = verdict->kind();
        view.text = verdict->text();
        add_ending(view, *verdict);
        view.output_open = verdict->output_open;
        view.ended_at.at = verdict->wall;
        view.user_ms = milliseconds(verdict->usage.user);
        view.system_ms = milliseconds(verdict->usage.system);
        view.peak_memory = verdict->usage.peak_memory;
    }
    return out;
}

}  // namespace execd::own
