// The part of Context that performs runs.
#include <sys/stat.h>

#include "base/check.hpp"
#include "base/log.hpp"
#include "kernels/context.hpp"
#include "kernels/progress.hpp"

namespace execd::kernels {

namespace {
using namespace std::chrono_literals;
constexpr Duration kStartTime = 60s;
constexpr Duration kPlaceTime = 10s;
}  // namespace

Task<void> Context::work([[maybe_unused]] std::shared_ptr<Context> self) {
    for (;;) {
        while (queue_.empty() || restarting_) co_await changed_.wait();
        auto const run = queue_.front();
        queue_.pop_front();
        current_ = run;
        progress_ = std::make_unique<Progress>();
        run->begin(loop_->clock().wall());
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
        finished_.pop_front();
    }
}

Task<bool> Context::ready_kernel(std::shared_ptr<Run> run) {
    if (kernel_ && kernel_->alive()) co_return true;
    std::string const death = death_;
    if (!spec_.revive) {
        lose_kernel(*run, RunOutcome::Kind::kernel_died, death);
        co_return false;
    }
    drop_kernel(Duration::zero());
    auto launched = co_await launch(Deadline::in(loop_->clock(), kStartTime));
    if (!launched) {
        finish(*run, {.kind = RunOutcome::Kind::failed,
                      .why = launched.error().message(),
                      .code = launched.error().code});
        co_return false;
    }
    run->add(Notice{"the kernel was started anew, variables are lost" +
                    (death.empty() ? std::string() : " (it had ended: " + death + ")")},
             loop_->clock().wall());
    co_return true;
}

Task<Result<void>> Context::place(Run const& run) {
    Place const wanted{run.spec().cwd, run.spec().env};
    if (kernelspec_.is_ipykernel() && canonical_language(kernelspec_.language) == "python") {
        auto const deadline = Deadline::in(loop_->clock(), kPlaceTime);
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
    if (wanted.cwd) {  // a cell would only say that it failed
        auto look = [path = *wanted.cwd] {
            struct stat info {};
            if (::stat(path.c_str(), &info) != 0) return errno;
            return S_ISDIR(info.st_mode) ? 0 : ENOTDIR;
        };
        int const number = co_await loop_->pool().run(Lane::metadata, std::move(look));
        if (number != 0) co_return fail_errno("run.place", number, *wanted.cwd);
    }
    co_return co_await kernel_->client().silent(code->apply, Deadline::in(loop_->clock(), kPlaceTime));
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
    bool const placed = run->spec().cwd || !run->spec().env.empty();
    if (placed) {
        if (auto done = co_await place(*run); !done) {
            fail_run(*run, done.error());
            co_return;
        }
    }
    if (run->spec().allow_stdin && kernel_) {
        bool const ready = co_await kernel_->client().stdin_ready(Deadline::in(loop_->clock(), kPlaceTime));
        if (!ready && kernel_ && kernel_->alive())
            run->add(Notice{"the kernel's stdin channel did not answer: input() may fail"},
                     loop_->clock().wall());
    }
    if (progress_->cancelled) {
        finish(*run, {.kind = RunOutcome::Kind::cancelled, .why = "interrupted before it began"});
    } else if (!kernel_) {
        finish(*run, {.kind = RunOutcome::Kind::cancelled, .why = "the kernel was restarted"});
    } else if (auto sent = send(*run); !sent) {
        fail_run(*run, sent.error());
    } else {
        kernel_->attend(true);
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
    auto& clock = loop_->clock();
    auto const soft =
        run->spec().timeout > Duration::zero() ? Deadline::in(clock, run->spec().timeout) : Deadline();
    Deadline hard;
    for (;;) {
        auto& p = *progress_;
        if (kernel_ && !kernel_->alive()) {
            // One that is ended by the interrupt at the end of its time has still run out of time.
            lose_kernel(*run, p.timed_out ? RunOutcome::Kind::timed_out : RunOutcome::Kind::kernel_died,
                        "the kernel ended: " + kernel_->cause());
            co_return;
        }
        if (p.restarted || p.kill || !kernel_) {
            finish(*run,
                   {.kind = p.timed_out ? RunOutcome::Kind::timed_out : RunOutcome::Kind::cancelled,
                    .why = p.kill ? "the kernel was ended, variables are lost" : "the kernel was restarted"});
            if (p.kill) drop_kernel(Duration::zero());
            co_return;
        }
        if (p.reply && !*p.reply) {
            finish(*run, {.kind = RunOutcome::Kind::failed, .why = p.reply->error().message()});
            co_return;
        }
        Deadline wake = earliest(soft, hard);
        if (p.timed_out) wake = hard;
        if (p.reply || p.idle) {
            if (p.reply && p.idle && retry_aborted(*run)) continue;
            if (p.reply && p.idle) break;
            // Messages can be lost on the way; outputs that still arrive extend the wait.
            Deadline const limit(p.last_output + spec_.end_grace);
            if (limit.passed(clock)) break;
            wake = earliest(wake, limit);
        }
        wake = earliest(wake, patience());
        bool const told = co_await changed_.wait(clock, wake);
        if (told) continue;
        tell_unheeded();
        if (!p.timed_out && soft.passed(clock)) {
            p.timed_out = true;
            hard = Deadline::in(clock, run->spec().grace);
            scope_.spawn("context.stop", stop_running(shared_from_this(), run));
        } else if (p.timed_out && hard.passed(clock)) {
            p.kill = true;
        }
    }
    auto& p = *progress_;
    RunOutcome outcome;
    if (p.reply)
        outcome = outcome_of(**p.reply);
    else  // ipykernel loses its reply to an interrupt that comes before the first statement
        outcome = {.kind = p.timed_out   ? RunOutcome::Kind::timed_out
                           : p.cancelled ? RunOutcome::Kind::cancelled
                                         : RunOutcome::Kind::failed,
                   .why = "the kernel never sent its execute_reply"};
    if (!p.idle) {
        outcome.incomplete = true;
        run->add(OutputGap{0, 0, "the kernel never said that it was done: outputs may be missing"},
                 clock.wall());
    }
    finish(*run, std::move(outcome));
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

RunOutcome Context::outcome_of(Message const& reply) const {
    auto const& content = reply.content;
    RunOutcome out;
    auto const status = text_of(content, "status");
    if (auto const it = content.find("execution_count"); it != content.end() && it->is_number_integer())
        out.execution_count = it->get<int>();
    if (auto const it = content.find("payload"); it != content.end() && it->is_array()) out.payload = *it;
    if (auto const it = content.find("user_expressions"); it != content.end() && it->is_object())
        out.user_expressions = *it;
    if (status == "ok") return out;
    out.kind = RunOutcome::Kind::error;
    if (status == "error") {
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

void Context::on_input(Message message) {
    if (!current_ || !progress_->sent || message.parent_id != progress_->message_id) return;
    auto const it = message.content.find("password");
    bool const password = it != message.content.end() && it->is_boolean() && it->get<bool>();
    current_->input_parent_ = message.header;
    current_->add(InputRequest{text_of(message.content, "prompt"), password}, loop_->clock().wall());
    changed_.notify_all();
}

}  // namespace execd::kernels
