// Executions: owners with limits and a gate (shell/owners.hpp).
#include <signal.h>

#include "base/log.hpp"
#include "shell/executions.hpp"
#include "shell/owners.hpp"
#include "shell/process_forest.hpp"

namespace execd::shell {

namespace {

constexpr int kFreezeTime = 2000;  // milliseconds
constexpr int kEmptyTime = 2000;

std::vector<std::string> all_of(ResourceLimits const& limits) {
    std::vector<std::string> out;
    if (limits.memory) out.emplace_back("memory");
    if (limits.pids) out.emplace_back("pids");
    if (limits.cpu) out.emplace_back("cpu");
    return out;
}

}  // namespace

std::shared_ptr<Owner> Executions::owner_of(std::string const& name) const {
    if (name.empty()) return nullptr;
    auto const found = owners_.find(name);
    return found == owners_.end() ? nullptr : found->second;
}

Task<std::shared_ptr<Owner const>> Executions::open_owner(std::string name, ResourceLimits limits) {
    if (auto known = owner_of(name)) co_return known;
    auto const owner = std::make_shared<Owner>();
    owner->name = name;
    owner->not_enforced = all_of(limits);
    owners_.emplace(name, owner);
    if (!options_.cgroups) co_return owner;
    // Ids come from clients and make no names of directories.
    std::string const directory = "owner-" + std::to_string(++owners_made_);
    auto const work = [&] {
        auto group = options_.cgroups->create(directory, limits);
        if (!group) return;
        auto leaf = options_.cgroups->create("main", {}, *group);
        if (!leaf) return;
        owner->not_enforced = (*group)->not_enforced();
        owner->group = std::move(*group);
        owner->leaf = std::move(*leaf);
        owner->ready = options_.cgroups->plain_below(*owner->group);
    };
    auto const done = [&work] {
        work();
        return true;
    };
    (void)co_await loop_->pool().run(Lane::metadata, done);
    co_return owner;
}

void Executions::join_owner(Execution& execution, Owner const& owner, SpawnSpec& child) const {
    // Its executions are beside the leaf where they have groups of their own, but in it with version 1's
    // controllers.
    execution.shared_group_ = owner.ready && owner.group->counts_below() ? owner.group : owner.leaf;
    execution.oom_before_ = execution.shared_group_->oom_kills();
    execution.not_enforced_ = owner.not_enforced;
    child.cgroup_dir = owner.leaf->spawn_dir();
    child.cgroup_procs = owner.leaf->spawn_procs();
    child.cgroup_also = owner.leaf->spawn_also();
}

namespace {
/// The time of what stands still stands still.
void hold_timeout(Owner& owner, std::shared_ptr<Execution> const& execution, Timer& timeout, Duration left) {
    if (!timeout.armed()) return;
    timeout.cancel();
    owner.waiting.push_back({execution, std::max(left, Duration::zero())});
}
}  // namespace

/// The gate may have closed while it was on its way in.
void Executions::obey(Owner const& owner, std::shared_ptr<Execution> const& execution) {
    if (owner.gate == Owner::Gate::closed) execution->request_stop(Duration::zero());
    if (owner.gate != Owner::Gate::frozen) return;
    if (auto const at = execution->deadline_)
        hold_timeout(*owner_of(owner.name), execution, execution->timeout_, *at - loop_->clock().now());
    if (!owner.group) scope_.spawn("execution.freeze", execution->freeze(true));
}

namespace {
/// What belongs to an owner, with the numbers of its leaders held.
struct Forest {
    ForestQuery query;
    std::list<Reaper::Hold> holds;
};
}  // namespace

Task<bool> Executions::stop_processes(std::shared_ptr<Owner> owner) {
    for (auto const& execution : list(owner->name))
        if (auto const at = execution->deadline_)
            hold_timeout(*owner, execution, execution->timeout_, *at - loop_->clock().now());
    Deadline const patience = Deadline::in(loop_->clock(), std::chrono::milliseconds(kFreezeTime));
    while (owner->arriving > 0) {
        bool const told = co_await owner->arrived.wait(loop_->clock(), patience);
        if (!told) co_return false;
    }
    if (owner->group && owner->group->freeze(true)) {
        auto const group = owner->group;
        auto const work = [&group] { return group->wait_frozen(kFreezeTime); };
        co_return co_await loop_->pool().run(Lane::metadata, work);
    }
    Forest forest;
    forest.query.owner = owner->name;
    for (auto const& execution : list(owner->name)) {
        forest.query.executions.insert(execution->id());
        if (!execution->process_ || !execution->process_->running()) continue;
        forest.holds.emplace_back(execution->process_);
        forest.query.leaders.insert(execution->pid());
    }
    auto const work = [&forest] { return stop_forest(forest.query); };
    owner->stopped = co_await loop_->pool().run(Lane::search, work);
    co_return true;
}

Task<void> Executions::continue_processes(std::shared_ptr<Owner> owner) {
    for (auto const& [waiting, left] : std::exchange(owner->waiting, {})) {
        auto const execution = waiting.lock();
        if (!execution || !execution->running()) continue;
        execution->deadline_ = loop_->clock().now() + left;
        execution->timeout_.arm(Deadline(*execution->deadline_), [waiting] {
            if (auto const it = waiting.lock()) it->expire(TimedOut::Kind::hard);
        });
    }
    if (owner->group && owner->group->freeze(false)) co_return;
    auto const stopped = std::exchange(owner->stopped, {});
    auto const work = [&stopped] {
        continue_forest(stopped);
        return true;
    };
    (void)co_await loop_->pool().run(Lane::metadata, work);
}

Task<Result<void>> Executions::freeze_owner(std::string name, bool frozen) {
    auto const owner = owner_of(name);
    if (!owner) co_return fail(Code::not_found, "owner", name);
    if (owner->gate == Owner::Gate::closed) co_return fail(Code::gone, "owner", name + " has ended");
    if (!frozen) {
        co_await continue_processes(owner);
        if (owner->gate == Owner::Gate::frozen) owner->gate = Owner::Gate::open;
        co_return Result<void>();
    }
    owner->gate = Owner::Gate::frozen;
    bool const still = co_await stop_processes(owner);
    if (still || owner->gate != Owner::Gate::frozen) co_return Result<void>();
    co_await continue_processes(owner);
    owner->gate = Owner::Gate::open;
    co_return fail(Code::timed_out, "owner", name + ": not everything could be stopped");
}

Task<void> Executions::close_owner(std::string name, Duration grace) {
    auto const owner = owner_of(name);
    bool const frozen = owner && owner->gate == Owner::Gate::frozen;
    if (owner) owner->gate = Owner::Gate::closed;
    if (frozen) grace = Duration::zero();
    std::vector<std::shared_ptr<Execution>> running;
    Forest forest;
    forest.query.owner = name;
    for (auto const& execution : list(name)) {
        forest.query.executions.insert(execution->id());
        if (!execution->running()) continue;
        running.push_back(execution);
        execution->owner_sweeps_ = owner != nullptr;
        execution->request_stop(grace);
    }
    // What is frozen dies of its signal when it moves again.
    if (frozen) co_await continue_processes(owner);
    for (auto const& execution : running) {
        co_await execution->stop(grace);
    }
    if (!owner) co_return;
    // What finished commands left running.
    if (owner->group && owner->group->kill()) {
        auto const group = owner->group;
        auto const work = [&group] { return group->wait_empty(kEmptyTime); };
        bool const empty = co_await loop_->pool().run(Lane::metadata, work);
        if (!empty) log::warn("owner.not_empty", {{"owner", name}});
    } else {
        auto const work = [&forest] {
            kill_forest(forest.query);
            return true;
        };
        (void)co_await loop_->pool().run(Lane::search, work);
    }
    owner->ready.reset();
    owner->leaf.reset();
    owner->group.reset();
    owner->stopped.clear();
}

void Executions::forget_owner(std::string const& name) {
    auto const known = owners_.find(name);
    if (known != owners_.end() && known->second->gate == Owner::Gate::closed) owners_.erase(known);
}

void Executions::tell_owner(std::string_view owner, std::string_view state, std::string_view cause) {
    if (quiet_) return;
    ExecutionEvent event;
    event.kind = ExecutionEvent::Kind::owner;
    event.number = next_event_++;
    event.owner = owner;
    event.label = state;
    event.wall = loop_->clock().wall();
    event.verdict = cause;
    events_.push_back(std::move(event));
    if (events_.size() > options_.events) events_.pop_front();
    events_changed_.notify_all();
}

}  // namespace execd::shell
