// What a process is started with. Everything is resolved and owned here before the spawn: the child itself
// only makes system calls.
#pragma once
#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "base/unique_fd.hpp"

namespace execd::shell {

/// Numbers only: names were looked up by the caller (base/accounts.hpp).
struct Identity {
    uid_t uid = 0;
    gid_t gid = 0;
    std::vector<gid_t> groups;
};

struct ResourceLimit {
    int resource = 0;  // RLIMIT_*
    std::uint64_t soft = 0;
    std::uint64_t hard = 0;
};

/// `source` (of the daemon, borrowed) becomes `target` in the child.
struct FdMap {
    int source = -1;
    int target = -1;
};

enum class ProcessGroup : std::uint8_t {
    inherit,   // the daemon's group: signals meant for the daemon reach it
    own,       // setpgid: killpg reaches it and what it starts
    session,   // setsid: no controlling terminal
    terminal,  // setsid, and fd 0 becomes the controlling terminal
};

struct SpawnSpec {
    std::vector<std::string> argv;
    /// File to execute; empty: argv[0]. Without a slash it is searched in the PATH of `env`.
    std::string program;
    /// Words of a command that is tried first, as the shell of `argv` would start it
    /// (shell/direct_command.hpp); whatever keeps it from starting leaves the word to `argv`.
    std::vector<std::string> direct;
    /// Execute this open file instead (execveat); `program` and PATH are not used then. Borrowed.
    int program_fd = -1;
    /// The whole environment as NAME=value; nothing is inherited.
    std::vector<std::string> env;
    /// Empty: the daemon's. Entered under the new identity, so its permissions are the user's.
    std::string cwd;
    /// Targets that are not named: 0, 1 and 2 are /dev/null, everything else is closed.
    std::vector<FdMap> fds;
    /// Closed by the spawner as soon as the child runs (the child's ends of pipes).
    std::vector<UniqueFd> owned;
    ProcessGroup group = ProcessGroup::own;
    std::optional<Identity> identity;
    std::vector<ResourceLimit> limits;
    std::optional<int> umask;
    std::optional<int> nice;
    std::optional<int> oom_score_adj;
    /// A cgroup directory (for CLONE_INTO_CGROUP) and the cgroup.procs files that are written otherwise.
    /// Borrowed.
    int cgroup_dir = -1;
    std::vector<int> cgroup_procs;
    /// The cgroup.procs files of other hierarchies, written in any case. Borrowed.
    std::vector<int> cgroup_also;
    bool no_new_privs = false;
    /// Signal to receive when the daemon's spawner ends (that is: when the daemon dies); 0 = none.
    int parent_death_signal = 0;
};

/// Where a start failed.
enum class Step : std::uint8_t {
    none,
    prepare,  // in the daemon: descriptors, memory
    clone,
    group,
    cgroup,
    fds,
    terminal,
    limits,
    identity,
    cwd,
    privileges,
    exec,
};
[[nodiscard]] std::string_view to_string(Step step) noexcept;

struct SpawnFailure {
    Step step = Step::none;
    int error = 0;
    /// "chdir /x: No such file or directory"
    [[nodiscard]] Error to_error() const;
};

/// Files that execve tries in turn: `program` itself when it has a slash, else each directory of PATH in
/// `env`.
[[nodiscard]] std::vector<std::string> exec_candidates(std::string const& program,
                                                       std::vector<std::string> const& env);

}  // namespace execd::shell
