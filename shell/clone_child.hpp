// The spawn primitive: clone3(CLONE_VM | CLONE_VFORK [| CLONE_INTO_CGROUP]) with the child on a stack of its
// own, where it makes raw system calls only. The daemon's memory size does not matter (fork of 1 GiB costs 17
// ms, this 0.07 ms).
//
// Thread: exactly one per CloneStack at a time; it is suspended until the child has executed its program or
// failed.
#pragma once
#include <sys/types.h>

#include <cstddef>

#include "shell/spawn_spec.hpp"

namespace execd::shell {

/// Memory the child runs on until it executes its program.
class CloneStack {
  public:
    CloneStack();
    ~CloneStack();
    CloneStack(CloneStack const&) = delete;
    CloneStack& operator=(CloneStack const&) = delete;
    [[nodiscard]] char* base() const { return base_; }
    static constexpr std::size_t kSize = 64 << 10;

  private:
    char* base_;
};

struct CloneResult {
    /// Set whenever a child was made, also when it failed before its program ran (then it is a zombie to be
    /// reaped).
    pid_t pid = -1;
    SpawnFailure failure;
};

/// Blocks for the time of clone and execve. Signals of the calling thread are blocked meanwhile.
[[nodiscard]] CloneResult clone_child(SpawnSpec const& spec, CloneStack const& stack);

/// Whether a child can be made right in this cgroup (v2): by making one that does nothing. Blocks shortly.
[[nodiscard]] bool clones_into(int cgroup_dir);

/// Tests force the paths of older kernels and of seccomp profiles.
struct CloneQuirks {
    bool no_clone3 = false;
    bool no_into_cgroup = false;
};
void force_clone_quirks(CloneQuirks quirks);

}  // namespace execd::shell
