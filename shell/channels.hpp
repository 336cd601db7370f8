// The pipes or the terminal between an execution and the daemon.
#pragma once
#include <vector>

#include "base/unique_fd.hpp"
#include "shell/execution.hpp"
#include "shell/journal_block.hpp"
#include "shell/spawn_spec.hpp"

namespace execd::shell {

struct Channels {
    struct Output {
        Stream stream = Stream::out;
        UniqueFd fd;
    };
    /// Our ends, non-blocking.
    std::vector<Output> outputs;
    UniqueFd input;
    /// The child's ends: into SpawnSpec.
    std::vector<FdMap> map;
    std::vector<UniqueFd> owned;
};

/// Pipes of the usual 64 KiB.
[[nodiscard]] Result<Channels> open_channels(ExecutionSpec const& spec);

struct PipePair {
    UniqueFd read;
    UniqueFd write;
};
/// Both ends O_CLOEXEC; `large`: as enlarge_pipe().
[[nodiscard]] Result<PipePair> open_pipe(bool large);
/// To 1 MiB where the kernel allows it: a child that writes faster than we read must not wait for our turn.
void enlarge_pipe(int fd);
[[nodiscard]] Result<void> set_nonblocking(int fd);

struct TerminalPair {
    UniqueFd master;
    UniqueFd slave;
};
/// The slave belongs to `owner` when given.
[[nodiscard]] Result<TerminalPair> open_terminal(WindowSize size, std::optional<Identity> const& owner);

}  // namespace execd::shell
