#include "kernels/run.hpp"

#include "base/check.hpp"
#include "base/ids.hpp"

namespace execd::kernels {

std::string_view to_string(RunState state) noexcept {
    switch (state) {
        case RunState::queued: return "queued";
        case RunState::running: return "running";
        case RunState::finished: return "finished";
    }
    return "?";
}

std::string_view to_string(RunOutcome::Kind kind) noexcept {
    switch (kind) {
        case RunOutcome::Kind::ok: return "ok";
        case RunOutcome::Kind::error: return "error";
        case RunOutcome::Kind::cancelled: return "cancelled";
        case RunOutcome::Kind::timed_out: return "timed_out";
        case RunOutcome::Kind::kernel_died: return "kernel_died";
        case RunOutcome::Kind::failed: return "failed";
    }
    return "?";
}

bool RunSpec::same_work(RunSpec const& other) const {
    return code == other.code && cwd == other.cwd && env == other.env && timeout == other.timeout &&
           allow_stdin == other.allow_stdin && store_history == other.store_history &&
           silent == other.silent && user_expressions == other.user_expressions;
}

Run::Run(std::string context_id, RunSpec spec, WallTime now, std::shared_ptr<LogBudget> budget)
    : context_id_(std::move(context_id)),
      spec_(std::move(spec)),
      log_(OutputLog::Limits{}, std::move(budget)),
      created_(now),
      named_(!spec_.id.empty()) {
    if (spec_.id.empty()) spec_.id = uuid();
}

Task<bool> Run::wait(Clock& clock, Deadline deadline) {
    while (state_ != RunState::finished) {
        bool const told = co_await ended_.wait(clock, deadline);
        if (!told) break;
    }
    co_return state_ == RunState::finished;
}

void Run::begin(WallTime now) {
    EXECD_ASSERT(state_ == RunState::queued);
    state_ = RunState::running;
    started_ = now;
}

void Run::add(Output output, WallTime now) {
    if (state_ == RunState::finished) return;
    if (auto const* input = std::get_if<ExecuteInput>(&output)) execution_count_ = input->count;
    if (auto const* request = std::get_if<InputRequest>(&output)) input_ = *request;
    if (auto const* error = std::get_if<ErrorOutput>(&output)) raised_ = *error;
    log_.append(std::move(output), now);
}

void Run::finish(RunOutcome outcome, WallTime now) {
    if (state_ == RunState::finished) return;
    if (outcome.execution_count == 0) outcome.execution_count = execution_count_;
    // Some kernels report what was raised only in the reply.
    if (outcome.error && !raised_) add(*outcome.error, now);
    input_.reset();
    state_ = RunState::finished;
    finished_ = now;
    outcome_ = std::move(outcome);
    log_.close();
    ended_.notify_all();
}

}  // namespace execd::kernels
