// The part of Context that performs runs.
#include <sys/stat.h>

#include <cerrno>

#include "base/check.hpp"
#include "base/log.hpp"
#include "kernels/context.hpp"
#include "kernels/progress.hpp"

namespace execd::kernels {

namespace {
using namespace std::chrono_literals;
constexpr Duration kStartTime = 60s;
constexpr Duration kPlaceTime = 10s;
constexpr Duration kLiveTime = 10s;
// Both halves of a run's end come together: one that is so late may be lost.
constexpr Duration kHalf = 100ms;

int directory_fault(std::string const& path) {
    struct stat found {};
    if (::stat(path.c_str(), &found) != 0) return errno;
    return S_ISDIR(found.st_mode) ? 0 : ENOTDIR;
}
}  // namespace

Task<void> Context::work([[maybe_unused]] std::shared_ptr<Context> self) {
    for (;;) {
        while (queue_.empty() || restarting_) co_await changed_.wait();
        auto const run = queue_.front();
        queue_.pop_front();
        current_ = run;
        progress_ = std::make_unique<Progress>();
        run->begin(loop_->clock().wall());
        if (run->spec().timeout > Duration::zero())
            progress_->soft = Deadline::in(loop_->clock(), run->spec().timeout);
        changed_.notify_all();
        bool const up = co_await ready_kernel(run);
        if (up) co_await perform(run);
        EXECD_ASSERT(run->state() == RunState::finished);
        retire(run);
        current_.reset();
        progress_.reset();
        touch();
        if (shared_.retired) shared_.retired();
    }
}

void Context::retire(std::shared_ptr<Run> run) {
    finished_.push_back(std::move(run));
    std::size_t bytes = 0;
    for (auto const& each : finished_) bytes += each->log().bytes();
    while (finished_.size() > 1 && (finished_.size() > spec_.keep_runs || bytes > spec_.keep_bytes)) {
        bytes -= finished_.front()->log().bytes();
        forget_oldest();
    }
}

Task<bool> Context::ready_kernel(std::shared_ptr<Run> run) {
    auto& clock = loop_->clock();
    bool const alive = kernel_ && kernel_->alive();
    if (!alive && !reviving_) {
        if (!spec_.revive) {
            lose_kernel(*run, RunOutcome::Kind::kernel_died, death_);
            co_return false;
        }
        reviving_ = true;
        if (!scope_.spawn("context.revive", revive(shared_from_this()))) reviving_ = false;
    }
    // The start goes on when this run ends before it: short runs would never find a kernel otherwise.
    while (reviving_ && !progress_->cancelled) {
        bool const told = co_await changed_.wait(clock, start_limit());
        if (!told && start_limit().passed(clock)) break;
    }
    if (reviving_) {
        bool const late = !progress_->cancelled && !closed_;
        finish(*run, {.kind = late ? RunOutcome::Kind::timed_out : RunOutcome::Kind::cancelled,
                      .why = late      ? "the time for this run was over before its kernel was up"
                             : closed_ ? "the context was deleted"
                                       : "interrupted before it began"});
        co_return false;
    }
    if (auto const error = std::exchange(revive_error_, std::nullopt)) {
        finish(*run, {.kind = RunOutcome::Kind::failed, .why = error->message(), .code = error->code});
        co_return false;
    }
    if (!news_.empty()) run->add(Notice{std::exchange(news_, {})}, clock.wall());
    co_return true;
}

Task<void> Context::revive([[maybe_unused]] std::shared_ptr<Context> self) {
    struct Done {
        Context& context;
        ~Done() {
            context.reviving_ = false;
            context.changed_.notify_all();
        }
    } const done{*this};
    std::string const death = death_;
    drop_kernel(Duration::zero());
    revive_error_ = Error{Code::cancelled, "context.start", 0, "broken off"};
    auto launched = co_await launch(Deadline::in(loop_->clock(), kStartTime));
    revive_error_.reset();
    if (!launched) {
        revive_error_ = launched.error();
        co_return;
    }
    news_ = "the kernel was started anew, variables are lost" +
            (death.empty() ? std::string() : " (it had ended: " + death + ")");
}

Task<Result<void>> Context::place(Run const& run) {
    Place const wanted{run.spec().cwd, run.spec().env};
    auto const deadline = earliest(progress_->soft, Deadline::in(loop_->clock(), kPlaceTime));
    if (kernelspec_.is_ipykernel() && canonical_language(kernelspec_.language) == "python") {
        if (auto primed = co_await kernel_->prime(deadline); !primed) co_return primed;
        auto reply = co_await kernel_->client().request(Channel::shell, kPlaceRequest, place_content(wanted),
                                                        deadline);
        if (!reply) co_return tl::unexpected(reply.error());
        if (text_of(reply->content, "status") == "ok") co_return Result<void>{};
        auto const number = reply->content.value("errno", 0);
        if (number != 0) co_return fail_errno("run.place", number, wanted.cwd.value_or(""));
        co_return fail(Code::invalid_argument, "run.place", text_of(reply->content, "evalue"));
    }
    auto const code = place_code(canonical_language(kernelspec_.language), wanted);
    if (!code)
        co_return fail(
            Code::not_supported, "run.place",
            "kernel '" + kernelspec_.name + "' cannot take a directory or environment for one run");
    // Each language says it in its own words, after it has taken the environment.
    if (wanted.cwd) {
        auto look = [path = *wanted.cwd] { return directory_fault(path); };
        auto const fault = co_await loop_->pool().run(Lane::metadata, std::move(look));
        if (fault != 0) co_return fail_errno("run.place", fault, *wanted.cwd);
    }
    if (!kernel_) co_return fail(Code::cancelled, "run.place", "the kernel was restarted");
    progress_->placing = true;
    co_return co_await kernel_->client().silent(code->apply, deadline);
}

Task<void> Context::unplace(Run const& run) {
    if (!kernel_ || !kernel_->alive()) co_return;
    auto const deadline = Deadline::in(loop_->clock(), kPlaceTime);
    if (kernel_->primed()) {
        Json nothing = place_content(Place());
        (void)co_await kernel_->client().request(Channel::shell, kPlaceRequest, std::move(nothing), deadline);
        co_return;
    }
    auto const code = place_code(canonical_language(kernelspec_.language), {run.spec().cwd, run.spec().env});
    if (code) (void)co_await kernel_->client().silent(code->undo, deadline);
}

Result<void> Context::send(Run const& run) {
    // stop_on_error is false: the queue is ours, a failing run must not abort the next one inside the kernel.
    auto const& spec = run.spec();
    Json content = {{"code", spec.code},
                    {"silent", spec.silent},
                    {"store_history", spec.store_history && !spec.silent},
                    {"user_expressions", spec.user_expressions},
                    {"allow_stdin", spec.allow_stdin},
                    {"stop_on_error", false}};
    auto const owner = weak_from_this();
    auto sent = kernel_->client().post(Channel::shell, "execute_request", std::move(content),
                                       [this, owner, id = run.id()](Result<Message> reply) {
                                           auto const alive = owner.lock();
                                           if (!alive || !current_ || current_->id() != id) return;
                                           progress_->reply = std::move(reply);
                                           progress_->last_output = loop_->clock().now();
                                           changed_.notify_all();
                                       });
    if (!sent) return tl::unexpected(sent.error());
    progress_->message_id = *sent;
    progress_->sent = true;
    progress_->idle = false;
    return {};
}

Task<void> Context::perform(std::shared_ptr<Run> run) {
    auto& clock = loop_->clock();
    bool const placed = run->spec().cwd || !run->spec().env.empty();
    if (placed) {
        if (auto done = co_await place(*run); !done) {
            fail_run(*run, done.error());
            if (progress_->placing) co_await unplace(*run);  // it may have got half way
            co_return;
        }
    }
    if (run->spec().allow_stdin && kernel_) {
        bool const ready = co_await kernel_->client().stdin_ready(
            earliest(progress_->soft, Deadline::in(clock, kPlaceTime)));
        if (!ready && kernel_ && kernel_->alive())
            run->add(Notice{"the kernel's stdin channel did not answer: input() may fail"}, clock.wall());
    }
    if (kernel_ && !kernel_->client().is_live()) {
        bool const live =
            co_await kernel_->client().live(earliest(progress_->soft, Deadline::in(clock, kLiveTime)));
        if (!live) {
            progress_->lost = true;
            run->add(OutputGap{0, 0, "the kernel cannot be heard: outputs may be missing"}, clock.wall());
        }
    }
    if (progress_->cancelled) {
        finish(*run, {.kind = RunOutcome::Kind::cancelled, .why = "interrupted before it began"});
    } else if (!kernel_) {
        finish(*run, {.kind = RunOutcome::Kind::cancelled, .why = "the kernel was restarted"});
    } else if (auto sent = send(*run); !sent) {
        fail_run(*run, sent.error());
    } else {
        kernel_->attend(!stands_still());
        co_await follow(run);
        if (kernel_) kernel_->attend(false);
    }
    if (placed) co_await unplace(*run);
}

void Context::lose_kernel(Run& run, RunOutcome::Kind kind, std::string why) {
    finish(run, {.kind = kind, .why = std::move(why), .cause = death_kind_});
}

void Context::fail_run(Run& run, Error const& error) {
    if (!kernel_ || !kernel_->alive())
        return lose_kernel(run, RunOutcome::Kind::kernel_died, error.message());
    if (progress_->soft.passed(loop_->clock()))
        return finish(run, {.kind = RunOutcome::Kind::timed_out, .why = error.message()});
    finish(run, {.kind = RunOutcome::Kind::failed, .why = error.message(), .code = error.code});
}

/// Until when an interrupt may have no effect without a word.
Deadline Context::patience() const {
    auto const& p = *progress_;
    return p.interrupted_at && !p.timed_out ? Deadline(*p.interrupted_at + spec_.patience)
                                            : Deadline::never();
}

void Context::tell_unheeded() {
    if (!patience().passed(loop_->clock())) return;
    progress_->interrupted_at.reset();
    current_->add(Notice{"interrupted and still at work: the code may be cleaning up, or the language "
                         "lost the interrupt; interrupt it again, or restart the context"},
                  loop_->clock().wall());
}

// Until both halves of the end are there, or something ends the run instead.
Task<void> Context::follow(std::shared_ptr<Run> run) {
    for (;;) {
        if (kernel_ && !kernel_->alive()) {
            co_await mourn(run);
            co_return;
        }
        if (ended_instead(*run)) co_return;
        auto& p = *progress_;
        if (p.reply && p.idle && retry_aborted(*run)) continue;
        if (has_ended()) break;
        bool const told = co_await changed_.wait(loop_->clock(), next_look());
        if (!told) look_at_clock(run);
    }
    conclude(*run);
}

// What it had said before its end is still on its way to us.
Task<void> Context::mourn(std::shared_ptr<Run> run) {
    std::string const cause = "the kernel ended: " + kernel_->cause();
    bool const whole = co_await kernel_->client().drained();
    auto const& p = *progress_;
    if (p.reply && *p.reply && p.idle) {
        conclude(*run);
        co_return;
    }
    if (!whole)
        run->add(OutputGap{0, 0,
                           "the kernel's last words may not have arrived: something that it started keeps "
                           "its connection open"},
                 loop_->clock().wall());
    // One that is ended by the interrupt at the end of its time has still run out of time.
    finish(*run, {.kind = p.timed_out ? RunOutcome::Kind::timed_out : RunOutcome::Kind::kernel_died,
                  .why = cause,
                  .cause = death_kind_,
                  .incomplete = !whole});
}

bool Context::ended_instead(Run& run) {
    auto const& p = *progress_;
    if (p.restarted || p.kill || !kernel_) {
        finish(run,
               {.kind = p.timed_out ? RunOutcome::Kind::timed_out : RunOutcome::Kind::cancelled,
                .why = p.kill ? "the kernel was ended, variables are lost" : "the kernel was restarted"});
        if (p.kill) drop_kernel(Duration::zero());
        return true;
    }
    if (p.reply && !*p.reply) {
        finish(run, {.kind = RunOutcome::Kind::failed, .why = p.reply->error().message()});
        return true;
    }
    return false;
}

// Messages can be lost on the way. A channel keeps its order, so what is answered after the run tells that a
// half of its end is missing; outputs that still arrive extend the wait for a kernel that does not answer.
bool Context::has_ended() const {
    auto const& p = *progress_;
    if (p.reply && p.idle) return true;
    if (!p.reply && !p.idle) return false;
    if (p.reply ? p.probe_seen : p.probe_answered) return true;
    if (p.reply && p.lost && kernel_->client().is_live() && p.probe_answered) return true;
    return !stands_still() && Deadline(p.last_output + spec_.end_grace).passed(loop_->clock());
}

Deadline Context::next_look() const {
    if (stands_still()) return Deadline::never();
    auto const& p = *progress_;
    Deadline wake = earliest(p.timed_out ? p.hard : p.soft, patience());
    if (p.reply || p.idle)
        wake = earliest(wake, Deadline(p.last_output + (p.probe_id.empty() ? kHalf : spec_.end_grace)));
    return wake;
}

/// Until when the run at hand may wait for its kernel.
Deadline Context::start_limit() const { return stands_still() ? Deadline::never() : progress_->soft; }

void Context::stand_still(bool still) {
    if (still == stands_still()) return;
    TimePoint const now = loop_->clock().now();
    if (kernel_) kernel_->attend(!still && progress_ && progress_->sent);
    if (still) {
        still_since_ = now;
    } else {
        Duration const stood = now - *std::exchange(still_since_, std::nullopt);
        last_active_ = std::min(now, last_active_ + stood);
        if (progress_) progress_->put_off(stood);
    }
    changed_.notify_all();
}

void Context::look_at_clock(std::shared_ptr<Run> const& run) {
    if (stands_still()) return;
    auto& clock = loop_->clock();
    auto& p = *progress_;
    tell_unheeded();
    if ((p.reply || p.idle) && p.probe_id.empty() && Deadline(p.last_output + kHalf).passed(clock)) probe();
    if (!p.timed_out && p.soft.passed(clock)) {
        p.timed_out = true;
        p.hard = Deadline::in(clock, run->spec().grace);
        scope_.spawn("context.stop", stop_running(shared_from_this(), run));
    } else if (p.timed_out && p.hard.passed(clock)) {
        p.kill = true;
    }
}

void Context::probe() {
    auto const owner = weak_from_this();
    auto asked = kernel_->client().post(Channel::shell, "kernel_info_request", Json::object(),
                                        [this, owner, run = current_->id()](Result<Message> reply) {
                                            auto const alive = owner.lock();
                                            if (!alive || !current_ || current_->id() != run || !reply)
                                                return;
                                            progress_->probe_answered = true;
                                            changed_.notify_all();
                                        });
    progress_->probe_id = asked ? *asked : "none";
}

void Context::conclude(Run& run) {
    auto const& p = *progress_;
    auto const now = loop_->clock().wall();
    RunOutcome outcome;
    if (p.reply)
        outcome = outcome_of(run, **p.reply);
    else  // ipykernel loses its reply to an interrupt that comes before the first statement
        outcome = {.kind = p.timed_out   ? RunOutcome::Kind::timed_out
                           : p.cancelled ? RunOutcome::Kind::cancelled
                                         : RunOutcome::Kind::failed,
                   .why = "the kernel never sent its execute_reply"};
    if (p.lost) {
        outcome.incomplete = true;
    } else if (!p.idle) {
        outcome.incomplete = true;
        run.add(OutputGap{0, 0, "the kernel never said that it was done: outputs may be missing"}, now);
    }
    if (p.reply && ((*p.reply)->oversized != 0 || (*p.reply)->unreadable != 0)) {
        auto const& reply = **p.reply;
        run.add(OutputGap{0, std::max(reply.oversized, reply.unreadable),
                          std::string("the kernel's reply (payload, user_expressions) ") +
                              (reply.oversized != 0 ? "was over the limit" : "could not be read")},
                now);
    }
    finish(run, std::move(outcome));
}

// tslab answers "abort" to the first request after an interrupt without having looked at it: it is sent once
// more.
bool Context::retry_aborted(Run const& run) {
    auto& p = *progress_;
    if (p.began || p.cancelled || p.timed_out || p.retried) return false;
    if (!text_of((*p.reply)->content, "status").starts_with("abort")) return false;
    p.retried = true;
    p.reply.reset();
    return send(run).has_value();
}

RunOutcome Context::outcome_of(Run const& run, Message const& reply) const {
    auto const& content = reply.content;
    RunOutcome out;
    auto status = text_of(content, "status");
    bool const unread = reply.oversized != 0 || reply.unreadable != 0;
    // What the run has raised was output too.
    if (unread) status = run.raised_ ? "error" : "ok";
    if (auto const it = content.find("execution_count"); it != content.end() && it->is_number_integer())
        out.execution_count = it->get<int>();
    if (auto const it = content.find("payload"); it != content.end() && it->is_array()) out.payload = *it;
    if (auto const it = content.find("user_expressions"); it != content.end() && it->is_object())
        out.user_expressions = *it;
    if (status == "ok") return out;
    out.kind = RunOutcome::Kind::error;
    if (status == "error" && unread) {
        out.error = run.raised_;
    } else if (status == "error") {
        ErrorOutput error{text_of(content, "ename"), text_of(content, "evalue"), {}};
        if (auto const it = content.find("traceback"); it != content.end() && it->is_array())
            for (auto const& line : *it)
                if (line.is_string()) error.traceback.push_back(line.get<std::string>());
        out.error = std::move(error);
    }
    if (progress_->timed_out) {
        out.kind = RunOutcome::Kind::timed_out;
        out.why = "the time for this run was over";
    } else if (progress_->cancelled) {
        out.kind = RunOutcome::Kind::cancelled;
        out.why = "interrupted";
    } else if (status != "error") {
        out.kind = RunOutcome::Kind::failed;
        out.why = "the kernel answered '" + status + "'";
    }
    return out;
}

void Context::on_iopub(Message const& message, std::vector<Output> outputs) {
    auto const now = loop_->clock().wall();
    bool const ours = current_ && progress_->sent && message.parent_id == progress_->message_id;
    bool const is_status = message.type == "status";
    if (!ours && progress_ && !progress_->probe_id.empty() && message.parent_id == progress_->probe_id) {
        progress_->probe_seen = true;
        changed_.notify_all();
    }
    if (!ours) {
        if (is_status) return;
        for (auto& output : outputs) background_.append(std::move(output), now);
        return;
    }
    progress_->last_output = loop_->clock().now();
    // A silent run has no execute_input: its "busy" must do.
    bool const begins = (!is_status || current_->spec().silent) && !progress_->began;
    if (begins) progress_->began = true;
    for (auto& output : outputs) {
        auto const* status = std::get_if<StatusChange>(&output);
        if (status != nullptr && status->state == "idle") progress_->idle = true;
        current_->add(std::move(output), now);
    }
    if (progress_->idle || begins) changed_.notify_all();
}

void Context::on_lost() {
    OutputGap const gap{
        0, 0,
        "the connection that brings the kernel's outputs ended (one message over the limit?) and "
        "was made anew: outputs are missing"};
    auto const now = loop_->clock().wall();
    if (current_ && progress_->sent) {
        progress_->lost = true;
        current_->add(gap, now);
    } else {
        background_.append(gap, now);
    }
    changed_.notify_all();
}

void Context::on_dropped(std::uint64_t messages, std::uint64_t bytes) {
    if (messages == 0) {  // a sign of life: a large one is being read
        if (progress_) progress_->last_output = loop_->clock().now();
        return;
    }
    OutputGap const gap{messages, bytes, "outputs came faster than they can be read"};
    auto const now = loop_->clock().wall();
    if (!current_ || !progress_->sent) return background_.append(gap, now);
    progress_->last_output = loop_->clock().now();
    current_->add(gap, now);
}

void Context::on_input(Message message) {
    if (!current_ || !progress_->sent || message.parent_id != progress_->message_id) return;
    auto const it = message.content.find("password");
    bool const password = it != message.content.end() && it->is_boolean() && it->get<bool>();
    current_->input_parent_ = message.header;
    if (auto const size = std::max(message.oversized, message.unreadable); size != 0)
        current_->add(OutputGap{0, size, "the prompt was over the limit, or could not be read"},
                      loop_->clock().wall());
    current_->add(InputRequest{text_of(message.content, "prompt"), password}, loop_->clock().wall());
    changed_.notify_all();
}

}  // namespace execd::kernels
