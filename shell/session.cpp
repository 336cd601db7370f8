#include "shell/session.hpp"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "base/ids.hpp"
#include "base/log.hpp"
#include "shell/channels.hpp"
#include "shell/process_tree.hpp"
#include "shell/shell_text.hpp"

namespace execd::shell {

namespace {
constexpr char const* kBegin = "begin";
constexpr Duration kReady = std::chrono::seconds(20);
constexpr Duration kPressAgain = std::chrono::milliseconds(200);
constexpr Duration kAskAgain = std::chrono::milliseconds(20);
constexpr Duration kAskedEnough = std::chrono::seconds(10);
constexpr Duration kAfterInterrupt = std::chrono::seconds(1);
constexpr Duration kAfterKill = std::chrono::milliseconds(500);
constexpr std::size_t kMostNamed = 64;
}  // namespace

// ---- one command

Cursor SessionRun::reader(StreamMask streams) const {
    ReadFrom from;
    from.streams = streams;
    from.position = began_;
    from.mark = mark_;
    return Cursor(journal_, std::move(from));
}

Task<SessionRun::Waited> SessionRun::wait(Deadline deadline, Duration no_change) {
    std::uint64_t seen = journal_->end().total;
    TimePoint changed = loop_->clock().now();
    while (!end_) {
        if (deadline.passed(loop_->clock())) co_return Waited::deadline;
        Deadline until = deadline;
        if (no_change > Duration::zero()) until = earliest(until, Deadline(changed + no_change));
        if (no_change > Duration::zero()) {
            (void)co_await journal_->changed().wait(loop_->clock(), until);  // finish() notifies it too
        } else {
            (void)co_await ended_event_.wait(loop_->clock(), until);
        }
        if (end_) break;
        if (journal_->end().total != seen) {
            seen = journal_->end().total;
            changed = loop_->clock().now();
        } else if (no_change > Duration::zero() && loop_->clock().now() >= changed + no_change) {
            co_return Waited::no_change;
        }
    }
    co_return Waited::ended;
}

// ---- the shell

Session::Session(Loop& loop, Executions& executions, Options options)
    : loop_(&loop),
      executions_(&executions),
      options_(std::move(options)),
      cwd_(options_.cwd),
      timeout_(loop.clock()),
      last_used_(loop.clock().now()) {}

Task<Result<std::shared_ptr<Session>>> Session::open(Loop& loop, Executions& executions, Options options) {
    if (options.id.empty()) options.id = uuid();
    std::shared_ptr<Session> session(new Session(loop, executions, std::move(options)));
    auto const opened = co_await session->open_shell();
    if (!opened) co_return tl::unexpected(opened.error());
    co_return session;
}

ExecutionSpec Session::shell_spec(std::string path) const {
    ExecutionSpec spec;
    spec.argv = {std::move(path)};
    spec.argv.insert(spec.argv.end(), script_.arguments.begin(), script_.arguments.end());
    Environment environment = options_.environment;
    if (!script_.bash) environment.unset("ENV");  // an interactive sh would run that file
    spec.env = environment.list();
    // A session whose first directory has gone can still be reopened where it was last.
    spec.cwd = exports_.empty() ? options_.cwd : "/";
    spec.identity = options_.identity;
    spec.input = Input::pipe;
    spec.terminal = options_.terminal;
    spec.merge_output = options_.merge_output;
    spec.journal = options_.journal;
    spec.owner = options_.owner;
    spec.label = "session";
    spec.stop_signal = SIGHUP;
    spec.resources = options_.resources;
    spec.cgroup_parent = options_.cgroup_parent;
    return spec;
}

std::string Session::setup_lines() const {
    std::string out(script_.setup);
    auto const file = options_.environment.get("ENV");
    if (file && !script_.bash) out.insert(0, script_.export_command("ENV", *file) + "; ");
    return out;
}

Task<Result<void>> Session::open_shell() {
    ready_ = false;
    // Half opened: its caller went away. What a shell that ended left running stays.
    if (execution_ && execution_->running()) execution_->request_stop({});
    if (execution_) former_.add(*execution_);
    Shell const shell = find_shell(options_.environment);
    if (!shell.bash && options_.terminal)
        co_return fail(Code::unavailable, "session", "there is no bash: none on a terminal");
    // The shell reads what it is to run from a descriptor of its own, by that name.
    if (::access("/proc/self/fd", X_OK) != 0)
        co_return fail(Code::unavailable, "session", "a session needs /proc, which is not mounted here");
    script_ = session_script(shell, options_.terminal.has_value());
    auto control = open_pipe(false);
    auto source = anonymous_file({});
    auto runner = anonymous_file(script_.runner_text);
    auto go = open_pipe(false);
    if (!control || !go) co_return tl::unexpected(!control ? control.error() : go.error());
    if (!source || !runner) co_return tl::unexpected(!source ? source.error() : runner.error());
    if (auto const r = set_nonblocking(control->read.get()); !r) co_return r;

    ExecutionSpec spec = shell_spec(shell.path);
    spec.fds = {{control->write.get(), script_.control},
                {source->get(), script_.source},
                {runner->get(), script_.runner}};
    if (script_.go >= 0) spec.fds.push_back({go->read.get(), script_.go});
    spec.owned.push_back(std::move(go->read));
    spec.owned.push_back(std::move(control->write));
    spec.owned.push_back(std::move(*runner));
    auto started = co_await executions_->start(std::move(spec));
    if (!started) co_return tl::unexpected(started.error());
    execution_ = *started;
    if (auto const& verdict = execution_->verdict()) {
        auto const* failed = std::get_if<FailedToStart>(&verdict->ending);
        if (failed == nullptr) co_return fail(Code::internal, "session", verdict->text());
        co_return tl::unexpected(SpawnFailure{failed->step, failed->error}.to_error());
    }
    source_ = std::move(*source);
    go_ = std::move(go->write);
    control_ = std::make_shared<Descriptor>(loop_->executor(), control->read.release());
    control_bytes_.clear();
    Deadline const deadline = Deadline::in(loop_->clock(), kReady);
    if (options_.terminal) (void)execution_->set_echo(false);
    auto const sent = co_await execution_->write(setup_lines(), deadline);
    std::optional<Report> told;
    if (sent) told = co_await report("ready", deadline);
    if (options_.terminal) (void)execution_->set_echo(true);
    if (!told) {
        execution_->request_stop({});
        co_return fail(Code::unavailable, "session", "the shell did not start");
    }
    if (!exports_.empty()) {  // reopened
        // All but the mark of its tree, which is the old shell's.
        std::string state = exports_ + "\n" + script_.export_command("EXECD_EXECUTION", execution_->id()) +
                            "\n" + script_.change_directory(cwd_) + "\n";
        auto const restored = co_await send(std::move(state), {});
        told.reset();
        if (restored) told = co_await report(std::to_string(number_), deadline);
        if (!told) co_return fail(Code::unavailable, "session", "the shell's state could not be restored");
    }
    ready_ = true;
    execution_->drain_now();  // what bash says about itself at its start belongs to no command
    co_return Result<void>();
}

Task<Result<void>> Session::send(std::string text, std::string prefix) {
    // The shell's descriptor shares our offset: it reads what is here from the start.
    text = script_.source_of(prefix, text);
    if (::ftruncate(source_.get(), 0) != 0) co_return fail_errno("session", errno);
    for (std::size_t done = 0; done < text.size();) {
        ssize_t const n =
            ::pwrite(source_.get(), text.data() + done, text.size() - done, static_cast<off_t>(done));
        if (n <= 0) co_return fail_errno("session", errno);
        done += static_cast<std::size_t>(n);
    }
    ::lseek(source_.get(), 0, SEEK_SET);
    Deadline const deadline = Deadline::in(loop_->clock(), kReady);
    std::string lines = "__execd_n=" + std::to_string(++number_);
    lines += script_.run;
    if (script_.reports_itself) co_return co_await send_on_terminal(std::move(lines), deadline);
    if (!script_.begins) {
        lines += script_.report(number_);
        co_return co_await execution_->write(std::move(lines), deadline);
    }
    auto const typed = co_await execution_->write(std::move(lines), deadline);
    if (!typed) co_return typed;
    (void)co_await report(kBegin, deadline);  // without an answer the report is all the more wanted
    // A deadline of its own: the answer may have been waited for while the shell stood still.
    co_return co_await execution_->write(script_.report(number_), Deadline::in(loop_->clock(), kReady));
}

Task<Result<void>> Session::send_on_terminal(std::string lines, Deadline deadline) {
    bool const echo = execution_->echo();
    (void)execution_->set_echo(false);
    auto const typed = co_await execution_->write(std::move(lines), deadline);
    std::optional<Report> begun;
    if (typed) begun = co_await report(kBegin, deadline);
    (void)execution_->set_echo(echo);
    if (!typed) co_return typed;
    if (!begun) co_return fail(Code::gone, "session", "the shell does not answer");
    if (::write(go_.get(), "g", 1) != 1) co_return fail_errno("session", errno);
    co_return Result<void>();
}

namespace {
/// The newest frame in `bytes` when it is whole: its four fields.
std::optional<std::array<std::string, 4>> whole_frame(std::string_view bytes) {
    // An interrupted report is cut short and asked for again: only the last one counts.
    auto const start = bytes.rfind('\1');
    if (start == std::string_view::npos) return std::nullopt;
    bytes.remove_prefix(start + 1);
    std::array<std::string, 4> out;
    for (auto& field : out) {
        auto const end = bytes.find('\0');
        if (end == std::string_view::npos) return std::nullopt;
        field = bytes.substr(0, end);
        bytes.remove_prefix(end + 1);
    }
    return out;
}
}  // namespace

Task<std::optional<Session::Report>> Session::report(std::string tag, Deadline deadline) {
    auto const control = control_;
    Timer timer(loop_->clock());
    timer.arm(deadline, [control] {
        boost::system::error_code ignored;
        control->cancel(ignored);
    });
    char buffer[4096];
    while (true) {
        if (auto frame = whole_frame(control_bytes_)) {
            // The command's end, where its begin was awaited: an interrupt kept it from beginning. It stays.
            if (tag == kBegin && frame->at(0) == std::to_string(number_)) co_return Report();
            control_bytes_.clear();
            if (frame->at(0) == tag) {
                Report out{0, std::move(frame->at(2)), std::move(frame->at(3))};
                std::string const& status = frame->at(1);
                std::from_chars(status.data(), status.data() + status.size(), out.status);
                co_return out;
            }
        }
        if (control_bytes_.size() > (64U << 20)) co_return std::nullopt;
        auto const [ec, n] = co_await control->async_read_some(asio::buffer(buffer), kAsTuple);
        if (ec) co_return std::nullopt;
        control_bytes_.append(buffer, n);
    }
}

// ---- running

namespace {
bool has_nul(std::string_view text) { return text.find('\0') != std::string_view::npos; }

bool is_name(std::string_view text) {
    auto const good = [](char c) {
        return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    };
    return !text.empty() && (text[0] < '0' || text[0] > '9') && std::all_of(text.begin(), text.end(), good);
}
}  // namespace

Result<void> Session::check(RunSpec const& spec) {
    if (has_nul(spec.text)) return fail(Code::invalid_argument, "session", "the text contains a NUL byte");
    if (has_nul(spec.cwd))
        return fail(Code::invalid_argument, "session", "the directory contains a NUL byte");
    for (auto const& [name, value] : spec.exports) {
        if (!is_name(name)) return fail(Code::invalid_argument, "session", "not a variable's name: " + name);
        if (has_nul(value)) return fail(Code::invalid_argument, "session", name + " contains a NUL byte");
    }
    if (spec.timeout < Duration::zero()) return fail(Code::invalid_argument, "session", "negative timeout");
    return {};
}

Task<Result<std::shared_ptr<SessionRun>>> Session::run(RunSpec spec) {
    auto const self = shared_from_this();
    if (auto const good = check(spec); !good) co_return tl::unexpected(good.error());
    if (!spec.queue && (current_ || !queue_.empty()))
        co_return fail(Code::conflict, "session", "a command is running");
    struct Ticket {
        Session* session;
        std::uint64_t number;
        explicit Ticket(Session* s) : session(s), number(s->next_ticket_++) { s->queue_.push_back(number); }
        ~Ticket() {
            std::erase(session->queue_, number);
            session->turn_.notify_all();
        }
        [[nodiscard]] bool first() const { return session->queue_.front() == number; }
    } const ticket(this);
    while (!closed_ && (current_ || !ticket.first())) {
        co_await turn_.wait();
    }
    if (closed_) co_return fail(Code::gone, "session", "it is closed");
    if (!shell_alive()) {
        auto const opened = co_await open_shell();
        if (!opened) co_return tl::unexpected(opened.error());
    }
    std::string prefix = prefix_of(spec);
    auto run = std::make_shared<SessionRun>();
    run->loop_ = loop_;
    run->id_ = spec.id.empty() ? uuid_hex() : std::move(spec.id);
    run->digest_ = std::move(spec.digest);
    run->journal_ = execution_->journal().shared_from_this();
    execution_->drain_now();
    run->began_ = run->journal_->end();
    run->began_tick_ = ticks_now();
    run->started_at_ = loop_->clock().now();
    run->started_wall_ = loop_->clock().wall();
    current_ = run;
    last_ = run;
    kept_.reset();
    if (!run->digest_.empty()) name(run);
    // From here on the session owns the command: a caller that goes away changes nothing.
    if (!executions_->scope().spawn("session.run",
                                    watch(self, run, std::move(spec.text), std::move(prefix)))) {
        finish(run, RunEnd{RunEnd::Kind::closed, 0, false, std::nullopt});
        co_return fail(Code::unavailable, "session", "shutting down");
    }
    if (spec.timeout > Duration::zero()) arm_timeout(run, spec.timeout);
    co_return run;
}

void Session::arm_timeout(std::shared_ptr<SessionRun> const& run, Duration left) {
    TimePoint const now = own_now();
    timeout_at_ = left < TimePoint::max() - now ? now + left : TimePoint::max();
    timeout_held_ = still_since_.has_value();
    if (timeout_held_) return;
    timeout_.arm(Deadline::in(loop_->clock(), left), [weak = weak_from_this(), run] {
        auto me = weak.lock();
        if (!me || !run->running()) return;
        run->timed_out_ = true;
        me->executions_->scope().spawn("session.timeout", me->put_down(me, run));
    });
}

// ---- standing still

/// The clock without the times in which the session stood still.
TimePoint Session::own_now() const { return still_since_.value_or(loop_->clock().now()) - stood_still_; }

void Session::stand_still(bool still) {
    if (still == still_since_.has_value()) return;
    if (still) {
        timeout_held_ = timeout_.armed();
        timeout_.cancel();
        still_since_ = loop_->clock().now();
    } else {
        stood_still_ += loop_->clock().now() - *still_since_;
        still_since_.reset();
        if (std::exchange(timeout_held_, false) && current_) arm_timeout(current_, timeout_at_ - own_now());
    }
    turn_.notify_all();
}

/// Whether the command ends before `patience` of the session's own time has passed.
Task<bool> Session::ended_within(std::shared_ptr<SessionRun> run, Duration patience) {
    TimePoint const end = own_now() + patience;
    while (run->running() && own_now() < end) {
        if (still_since_) {
            co_await turn_.wait();  // notified by the command's end too
        } else {
            (void)co_await run->wait(Deadline::in(loop_->clock(), end - own_now()));
        }
    }
    co_return !run->running();
}

void Session::name(std::shared_ptr<SessionRun> const& run) {
    kept_ = std::make_unique<Cursor>(run->reader());
    named_.push_back(run);
    if (named_.size() > kMostNamed) named_.pop_front();
}

std::shared_ptr<SessionRun> Session::find(std::string_view id) const {
    for (auto const& run : named_)
        if (run->id() == id) return run;
    return nullptr;
}

Task<Result<std::shared_ptr<SessionRun>>> Session::run_or_attach(RunSpec spec) {
    auto const self = shared_from_this();
    auto const differs = [&spec] {
        return fail(Code::already_exists, "session", spec.id + " was started with another request");
    };
    while (true) {
        if (auto const found = find(spec.id)) {
            if (found->digest() != spec.digest) co_return differs();
            co_return found;
        }
        auto const starting = starting_.find(spec.id);
        if (starting == starting_.end()) break;
        if (starting->second != spec.digest) co_return differs();
        co_await turn_.wait();
    }
    struct Turn {
        Session* session;
        std::string id;
        Turn(Session* s, RunSpec const& spec) : session(s), id(spec.id) {
            session->starting_.emplace(id, spec.digest);
        }
        ~Turn() {
            session->starting_.erase(id);
            session->turn_.notify_all();
        }
    } const turn(this, spec);
    co_return co_await run(std::move(spec));
}

std::string Session::prefix_of(RunSpec const& spec) {
    std::string prefix;
    auto const assign = [this, &prefix](std::string const& name, std::string const& value) {
        prefix += script_.export_command(name, value) + " && ";
    };
    if (spec.environment) {
        for (auto const& [name, value] : spec.environment->values())
            if (options_.environment.get(name) != std::string_view(value) && is_name(name) && !has_nul(value))
                assign(name, value);
        options_.environment = *spec.environment;
    }
    if (!spec.cwd.empty()) prefix += script_.change_directory(spec.cwd) + " && ";
    for (auto const& [name, value] : spec.exports) assign(name, value);
    if (!prefix.empty()) prefix += ":";
    return prefix;
}

Task<void> Session::watch([[maybe_unused]] std::shared_ptr<Session> self, std::shared_ptr<SessionRun> run,
                          std::string text, std::string prefix) {
    auto const execution = execution_;
    auto const sent = co_await send(std::move(text), std::move(prefix));
    if (!sent)
        log::debug("session.send", {{"why", sent.error().message()}});  // the shell has ended, as told below
    auto told = co_await report(std::to_string(number_), Deadline::never());
    RunEnd end;
    if (told) {
        execution->drain_now();  // all that the command wrote was written before the report
        end.status = told->status;
        cwd_ = std::move(told->cwd);
        exports_ = std::move(told->exports);
        // Before the next command may start: what that one starts is not ours to kill.
        if (run->timed_out_) co_await execution->kill_since(run->began_tick_);
    } else {
        // The channel ends with the shell, or with its exec of something else that now goes on in its place.
        control_.reset();
        (void)co_await execution->ended(Deadline::never());
        end.kind = closed_ ? RunEnd::Kind::closed : RunEnd::Kind::shell_exited;
        end.status = execution->verdict()->shell_status();
        end.verdict = execution->verdict();
    }
    finish(run, std::move(end));
}

void Session::finish(std::shared_ptr<SessionRun> const& run, RunEnd end) {
    timeout_.cancel();
    timeout_held_ = false;
    end.interrupted = run->interrupted_;
    if (run->timed_out_) end.kind = RunEnd::Kind::timed_out;
    run->end_ = std::move(end);
    run->mark_->end = run->journal_->end();
    run->journal_->changed().notify_all();
    run->ended_event_.notify_all();
    if (current_ == run) current_ = nullptr;
    last_used_ = loop_->clock().now();
    turn_.notify_all();
}

/// The signal may have hit the line that reports, in the moment between the command's end and its report:
/// then nothing would ever come. Asking once more is harmless while the command still runs.
Task<void> Session::ask_again([[maybe_unused]] std::shared_ptr<Session> self,
                              std::shared_ptr<SessionRun> run) {
    bool over = co_await ended_within(run, kPressAgain);
    if (over || !shell_alive()) co_return;
    // A job that is just being started loses the signal: as a person would, press once more.
    (void)interrupt_now();
    if (script_.reports_itself) co_return;
    // A shell that reads this line when the signal comes throws it away, so not at once, and not once.
    for (Duration pause = kAskAgain; pause < kAskedEnough; pause *= 2) {
        over = co_await ended_within(run, pause);
        if (over || !shell_alive()) co_return;
        (void)co_await execution_->write(script_.report(number_), Deadline::in(loop_->clock(), kReady));
    }
}

void Session::abandon(std::shared_ptr<SessionRun> run) {
    if (!run->running()) return;
    run->interrupted_ = true;
    executions_->scope().spawn("session.abandon", put_down(shared_from_this(), run));
}

/// Step by step, so that as much as possible of the session's state survives.
Task<void> Session::put_down(std::shared_ptr<Session> self, std::shared_ptr<SessionRun> run) {
    auto const execution = execution_;
    executions_->scope().spawn("session.ask", ask_again(self, run));
    // On a full machine the moment in which a job that starts loses the signal can be long: the next step
    // takes the jobs in the background too, so not before this one was tried once more.
    bool over = false;
    for (int presses = 0; presses < 2; ++presses) {
        (void)interrupt_now();
        over = co_await ended_within(run, kAfterInterrupt / 2);
        if (over || !execution) co_return;
    }
    co_await execution->kill_since(run->began_tick_);
    over = co_await ended_within(run, kAfterKill);
    if (!over) execution->request_stop({});
}

Result<void> Session::interrupt() {
    if (!current_) return fail(Code::conflict, "session", "no command is running");
    current_->interrupted_ = true;
    if (!executions_->scope().spawn("session.ask", ask_again(shared_from_this(), current_)))
        return fail(Code::unavailable, "session", "shutting down");
    return interrupt_now();
}

Result<void> Session::interrupt_now() {
    if (!execution_) return fail(Code::gone, "session", "it is closed");
    // A terminal knows its foreground job; on pipes it shares the shell's group.
    return options_.terminal ? execution_->signal_foreground(SIGINT) : execution_->signal(SIGINT);
}

Task<Result<void>> Session::write(std::string bytes, Deadline deadline) {
    auto const execution = execution_;
    if (!options_.terminal)
        co_return fail(Code::conflict, "session", "commands read nothing: not on a terminal");
    if (!execution) co_return fail(Code::gone, "session", "it is closed");
    co_return co_await execution->write(std::move(bytes), deadline);
}

Result<void> Session::signal(int number) {
    if (!execution_) return fail(Code::gone, "session", "it is closed");
    return execution_->signal(number);
}

Task<void> Session::close(Duration grace) {
    auto const self = shared_from_this();
    closed_ = true;
    turn_.notify_all();
    auto const execution = execution_;
    if (execution) co_await execution->stop(grace);
    co_await former_.end(*loop_, *executions_);
    while (current_) {
        co_await turn_.wait();
    }
    control_.reset();
}

}  // namespace execd::shell
