#include "shell/executions.hpp"

#include "shell/cgroup.hpp"

namespace execd::shell {

Result<std::shared_ptr<Execution>> Executions::adopt(ExecutionSpec spec, std::shared_ptr<Process> process,
                                                     UniqueFd out, UniqueFd err) {
    if (auto const good = check(spec); !good) return tl::unexpected(good.error());
    std::shared_ptr<Execution> execution(new Execution(*loop_, scope_, store_, spec));
    execution->started_at_ = loop_->clock().now();
    execution->started_wall_ = loop_->clock().wall();
    execution->cgroups_ = options_.cgroups;
    if (options_.cgroups) execution->oom_before_ = options_.cgroups->own_oom_kills();
    if (out) execution->add_pump(Stream::out, std::move(out));
    if (err) execution->add_pump(Stream::err, std::move(err));
    execution->on_ended_ = [this](Execution& e) { on_ended(e); };
    by_id_.emplace(execution->id(), Entry{execution, order_.insert(order_.end(), execution.get()), {}, 0});
    ++running_;
    tell(ExecutionEvent::Kind::started, *execution);
    execution->began(std::move(process), spec.timeout);
    return execution;
}

}  // namespace execd::shell
