#include "shell/execution_state.hpp"

#include "shell/executions.hpp"

namespace execd::shell {

ExecutionState Execution::save() const {
    TimePoint const now = loop_->clock().now();
    ExecutionState out;
    out.id = id_;
    out.owner = owner_;
    out.label = label_;
    out.text = text_;
    out.digest = digest_;
    out.pid = pid();
    out.terminal = terminal_;
    out.columns = size_.columns;
    out.rows = size_.rows;
    out.stop_signal = stop_signal_;
    out.not_enforced = not_enforced_;
    out.started_wall = started_wall_;
    out.age = now - started_at_;
    if (!verdict_ && deadline_) out.timeout_left = std::max(Duration(*deadline_ - now), Duration::zero());
    out.verdict = verdict_;
    if (verdict_) out.ended_ago = now - verdict_->at;
    out.journal = journal_->save();
    return out;
}

Result<std::shared_ptr<Execution>> Executions::restore(ExecutionState const& state, Handover handover) {
    if (state.id.empty()) return fail(Code::invalid_argument, "execution.restore", "no id");
    if (by_id_.contains(state.id) || starting_.contains(state.id))
        return fail(Code::already_exists, "execution.restore", state.id);
    TimePoint const now = loop_->clock().now();
    ExecutionSpec spec;
    spec.id = state.id;
    spec.owner = state.owner;
    spec.label = state.label;
    spec.text = state.text;
    spec.digest = state.digest;
    spec.stop_signal = state.stop_signal;
    if (state.terminal) spec.terminal = WindowSize{state.columns, state.rows};
    auto journal = Journal::restore(*loop_, store_, spec.journal, state.journal);
    if (!journal) return Failure(journal.error());
    spec.into = std::move(*journal);
    std::shared_ptr<Execution> execution(new Execution(*loop_, scope_, store_, spec));
    execution->own_journal_ = true;  // it is this execution's, made before it
    execution->started_at_ = now - state.age;
    execution->started_wall_ = state.started_wall;
    execution->not_enforced_ = state.not_enforced;
    execution->on_ended_ = [this](Execution& e) { on_ended(e); };
    by_id_.emplace(execution->id(), Entry{execution, order_.insert(order_.end(), execution.get()), {}, 0});
    ++running_;
    bool const goes_on = !state.verdict && handover.process;
    quiet_ = !goes_on;  // an end that was told by the other daemon is no news
    if (state.verdict) {
        Verdict verdict = *state.verdict;
        verdict.at = now - state.ended_ago;
        execution->conclude(std::move(verdict));
    } else if (handover.process) {
        Stream const first = state.terminal ? Stream::tty : Stream::out;
        if (handover.out) execution->add_pump(first, std::move(handover.out));
        if (handover.err) execution->add_pump(Stream::err, std::move(handover.err));
        execution->cgroups_ = options_.cgroups;
        execution->began(std::move(handover.process), state.timeout_left.value_or(Duration::zero()));
    } else {
        Verdict verdict;
        verdict.ending = Lost{"the daemon was replaced while it ran"};
        verdict.at = now;
        verdict.wall = loop_->clock().wall();
        execution->conclude(std::move(verdict));
    }
    if (!goes_on) execution->journal().close();
    quiet_ = false;
    return execution;
}

}  // namespace execd::shell
