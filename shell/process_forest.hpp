// All processes of many executions at once, found in one walk over /proc: what is below their leaders, and
// what carries their markers or their owner's (EXECD_EXECUTION, EXECD_OWNER). Used where no cgroup holds them
// together.
//
// Thread: blocks, on the pool only.
#pragma once
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "shell/process_tree.hpp"

namespace execd::shell {

struct ForestQuery {
    /// Their numbers must stay theirs during the walk (Reaper::Hold).
    std::set<pid_t> leaders;
    std::set<std::string> executions;
    std::string owner;
};

/// Whether an environment as /proc shows it names the owner or one of the executions. Pure.
[[nodiscard]] bool belongs(ForestQuery const& query, std::string_view environ);

/// Living members without zombies, parents before their children.
[[nodiscard]] std::vector<ProcessEntry> find_forest(ForestQuery const& query,
                                                    std::string const& proc = "/proc");
/// SIGSTOP, parents first (a shell must not see its job stop), until nothing runs any more. Returns those
/// that it stopped: who was stopped before is not among them.
[[nodiscard]] std::vector<ProcessEntry> stop_forest(ForestQuery const& query, int rounds = 50);
/// SIGCONT for what stop_forest() said, children first.
void continue_forest(std::vector<ProcessEntry> const& stopped);
/// SIGKILL until nothing is found any more.
void kill_forest(ForestQuery const& query, int rounds = 50);

}  // namespace execd::shell
