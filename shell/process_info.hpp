// What the processes of this container do, as /proc tells it, and ending one that may not be ours: for lists
// that show every process and for killing any of them.
//
// Thread: describe_* walk /proc and block: on the pool only. end_process is the reactor's.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/loop.hpp"
#include "base/task.hpp"
#include "shell/process_tree.hpp"

namespace execd::shell {

struct ProcessInfo {
    ProcessEntry entry;
    std::string name;     // as the kernel knows it: at most 15 bytes
    std::string command;  // arguments with blanks between; "[name]" of a kernel thread
    WallTime started{};
    double cpu_percent = 0;    // of one CPU, over its whole life
    std::uint64_t memory = 0;  // resident bytes
    std::string cwd{};         // these two only of one that was asked for alone, and may be looked into
    std::map<std::string, std::string> environment{};  // without the daemon's credentials
};

/// By pid; what ends meanwhile is left out.
[[nodiscard]] std::vector<ProcessInfo> describe_processes(std::string const& proc = "/proc");
/// Nothing: there is none.
[[nodiscard]] std::optional<ProcessInfo> describe_process(pid_t pid, std::string const& proc = "/proc");

/// SIGTERM, after `grace` SIGKILL, to this one process; waits for its end. not_found: there is none;
/// permission_denied; timed_out: it lives on (an init ignores signals that it does not handle).
[[nodiscard]] Task<Result<void>> end_process(Loop& loop, pid_t pid, Duration grace);

}  // namespace execd::shell
