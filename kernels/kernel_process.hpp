// KernelProcess: the process of a kernel, however it came to be: started cold as an Execution, or forked by a
// zygote.
//
// Thread: the reactor. Owner: Kernel.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "shell/executions.hpp"

namespace execd::kernels {

class KernelProcess {
  public:
    virtual ~KernelProcess();
    [[nodiscard]] virtual std::string const& id() const = 0;
    [[nodiscard]] virtual pid_t pid() const = 0;
    [[nodiscard]] virtual bool running() const = 0;
    /// True when ended, false when the deadline passed first.
    [[nodiscard]] virtual Task<bool> ended(Deadline deadline) = 0;
    /// To its process group, as Jupyter does it: what a cell started is interrupted with it.
    virtual Result<void> signal(int number) = 0;
    /// Ends the whole tree and waits for it.
    [[nodiscard]] virtual Task<void> stop(Duration grace) = 0;
    /// After the end, for people: "exit status 3", "signal: killed", "out of memory".
    [[nodiscard]] virtual std::string cause() const = 0;
    /// The same for programs, as shell::Verdict::kind() says it: "exited", "signaled", "oom_killed" ...
    [[nodiscard]] virtual std::string cause_kind() const = 0;
    /// Limits that were asked for and are not in force: "memory", "pids", "cpu".
    [[nodiscard]] virtual std::vector<std::string> const& not_enforced() const = 0;
    /// The last bytes of its stdout and stderr (kernels write there what went wrong before they could speak).
    [[nodiscard]] virtual std::string log_tail() const = 0;
};

/// Of an execution that runs.
[[nodiscard]] std::unique_ptr<KernelProcess> process_of(std::shared_ptr<shell::Execution> execution);

}  // namespace execd::kernels
