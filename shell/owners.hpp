// Owner: what everything that one owner (a claim) started has in common: its group with limits, and the gate
// that lets new starts in or not. Executions keeps one record for each opened owner.
//
// Thread: the reactor.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/event.hpp"
#include "shell/cgroup.hpp"
#include "shell/process_tree.hpp"

namespace execd::shell {

class Execution;

struct Owner {
    enum class Gate { open, frozen, closed };
    std::string name;
    Gate gate = Gate::open;
    /// Starts that passed the gate and are under way. A child that is frozen before it has executed its
    /// program would hold up the spawner, and so every other start.
    int arriving = 0;
    Event arrived;
    /// Everything of it is below this one; null: none is to be had here.
    std::shared_ptr<Cgroup> group;
    /// What its processes join that need no group of their own: v2 wants processes in leaves only.
    std::shared_ptr<Cgroup> leaf;
    /// Groups of single executions, below `group`; null: they share the leaf.
    std::shared_ptr<Cgroup::Ready> ready;
    /// Limits that were asked for and are not in force.
    std::vector<std::string> not_enforced;
    /// Stopped one by one, because no group could: these and no others are continued.
    std::vector<ProcessEntry> stopped;
    /// Executions with a timeout, and what was left of it when they were frozen: their time stands still too.
    struct Waiting {
        std::weak_ptr<Execution> execution;
        Duration left{};
    };
    std::vector<Waiting> waiting;
};

}  // namespace execd::shell
