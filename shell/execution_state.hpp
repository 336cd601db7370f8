// An execution as plain data (what it is, how far it is, how it ended, its journal), for a daemon that takes
// over from another one. Clocks do not travel: times are wall times and ages at the moment of the saving.
//
//   ExecutionState const state = execution->save();
//   ... in the other daemon ...
//   auto run = executions.restore(state, {});                        // ended: as it was; running: lost
//   auto run = executions.restore(state, {process, out, err});       // goes on
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/unique_fd.hpp"
#include "shell/journal_state.hpp"
#include "shell/reaper.hpp"
#include "shell/verdict.hpp"

namespace execd::shell {

struct ExecutionState {
    std::string id;
    std::string owner;
    std::string label;
    std::string text;
    std::string digest;
    pid_t pid = 0;
    bool terminal = false;
    std::uint16_t columns = 80;
    std::uint16_t rows = 24;
    int stop_signal = 15;
    std::vector<std::string> not_enforced;
    WallTime started_wall{};
    /// Since the start, and until the hard timeout (none: no timeout).
    Duration age{};
    std::optional<Duration> timeout_left;
    std::optional<Verdict> verdict;
    /// Since the verdict.
    Duration ended_ago{};
    JournalState journal;
};

/// What a running one needs to go on: our child, and our non-blocking ends of its pipes (or the terminal's
/// master as `out`).
struct Handover {
    std::shared_ptr<Process> process;
    UniqueFd out;
    UniqueFd err;
};

}  // namespace execd::shell
