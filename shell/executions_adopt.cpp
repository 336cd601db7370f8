#include <unistd.h>

#include "shell/cgroup.hpp"
#include "shell/cgroup_files.hpp"
#include "shell/executions.hpp"
#include "shell/owners.hpp"

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

namespace {
std::vector<std::string> names_of(ResourceLimits const& limits) {
    std::vector<std::string> out;
    if (limits.memory) out.emplace_back("memory");
    if (limits.pids) out.emplace_back("pids");
    if (limits.cpu) out.emplace_back("cpu");
    return out;
}

/// Into every hierarchy of the group, or it does not count: its limits would bind a part only.
bool enter(Cgroup const& group, pid_t pid) {
    std::string const text = std::to_string(pid);
    bool entered = true;
    for (auto const& files : {group.spawn_procs(), group.spawn_also()})
        for (int const procs : files)
            entered =
                ::write(procs, text.data(), text.size()) == static_cast<ssize_t>(text.size()) && entered;
    return entered;
}
}  // namespace

/// A group of its own for what runs already; null where none is to be had.
Task<std::shared_ptr<Cgroup>> Executions::enter_group(std::shared_ptr<Execution> execution,
                                                      ResourceLimits limits, std::shared_ptr<Cgroup> parent) {
    if (!options_.cgroups) co_return nullptr;
    Reaper::Hold const hold(execution->process_);  // its number stays its own meanwhile
    // Its first group may have its name.
    std::string const name = cgroup_files::group_name(execution->id()) + (execution->cgroup_ ? "-given" : "");
    auto const work = [&]() -> std::shared_ptr<Cgroup> {
        auto made = options_.cgroups->create(name, limits, parent);
        if (!made || !enter(**made, execution->pid())) return nullptr;
        return std::move(*made);
    };
    co_return co_await loop_->pool().run(Lane::metadata, work);
}

Task<Result<void>> Executions::contain(std::shared_ptr<Execution> execution, ResourceLimits limits,
                                       std::shared_ptr<Cgroup> parent) {
    if (!execution->running() || !execution->process_ || !execution->process_->running())
        co_return fail(Code::gone, "cgroup", "the execution has ended");
    if (execution->cgroup_ && !execution->cgroup_->plain())
        co_return fail(Code::conflict, "cgroup", "the execution has one");
    auto const owner = owner_of(execution->owner());
    if (!parent && owner) parent = owner->group;
    auto group = co_await enter_group(execution, limits, std::move(parent));
    if (!execution->running()) co_return fail(Code::gone, "cgroup", "the execution has ended");
    execution->not_enforced_ = group ? group->not_enforced() : names_of(limits);
    if (group) execution->cgroup_ = std::move(group);
    if (owner) obey(*owner, execution);
    co_return Result<void>();
}

Task<void> Executions::give(std::shared_ptr<Execution> execution, std::string owner) {
    execution->owner_ = owner;
    auto const record = owner_of(owner);
    bool const alive = execution->running() && execution->process_ && execution->process_->running();
    if (!record || !alive) co_return;
    if (record->group) {
        auto group = co_await enter_group(execution, {}, record->group);
        if (group) execution->cgroup_ = std::move(group);
    }
    obey(*record, execution);
}

}  // namespace execd::shell
