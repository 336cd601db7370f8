// Finding and ending everything an execution started, where no cgroup does it: its process group, its
// session, all descendants, and every process that carries its EXECD_EXECUTION marker. What changes its
// session, drops its environment and lets its parent die escapes (docs, `execd doctor`); a cgroup has no such
// gap.
//
// Thread: these walk /proc and block: on the pool only.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace execd::shell {

struct ProcessEntry {
    pid_t pid = 0;
    pid_t parent = 0;
    pid_t group = 0;
    pid_t session = 0;
    char state = '?';
    std::uint64_t started = 0;  // clock ticks since boot: tells a reused pid
};

/// One line of /proc/<pid>/stat; pid 0 when malformed. The name in it may contain anything. Pure.
[[nodiscard]] ProcessEntry parse_stat(std::string_view line);

struct TreeQuery {
    /// The leader: pid, process group and session at once. 0: its number may not be used any more.
    pid_t leader = 0;
    /// Value of EXECD_EXECUTION; empty: not looked at.
    std::string marker;
    /// Not 0: only what started at this tick (ticks_now()) or later and does not descend from something
    /// older than it, except from the leader, which is spared too. Ticks are 10 ms long.
    std::uint64_t since = 0;
};

/// Now, as ProcessEntry::started counts.
[[nodiscard]] std::uint64_t ticks_now() noexcept;

[[nodiscard]] std::vector<ProcessEntry> list_processes(std::string const& proc = "/proc");
/// Living members, without zombies and without this process.
[[nodiscard]] std::vector<ProcessEntry> find_tree(TreeQuery const& query, std::string const& proc = "/proc");
/// To the process that the entry is about, not to another one that has its number by now.
bool signal_same(ProcessEntry const& entry, int signal);
/// Sends `signal` until nothing is found any more (a dying tree forks), `rounds` at most. Returns how many it
/// hit last.
std::size_t signal_tree(TreeQuery const& query, int signal, int rounds = 1);

}  // namespace execd::shell
