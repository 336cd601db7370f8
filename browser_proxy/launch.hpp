// Programs as the supervisor sees them: what to start, and what can be asked of what runs. The daemon's are
// executions, under an account that is not root; tests have fakes.
//
// Thread: the reactor.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "base/unique_fd.hpp"
#include "shell/environment.hpp"
#include "shell/journal_block.hpp"
#include "shell/spawn_spec.hpp"

namespace execd::shell {
class Executions;
}

namespace execd::browser_proxy {

struct Launch {
    std::string label;  // "chromium"
    std::vector<std::string> argv;
    std::vector<std::pair<std::string, std::string>> env;  // over the account's own
    std::string input;                                     // its whole standard input
    /// Becomes the program's descriptors 3 (it reads) and 4 (it writes).
    UniqueFd pipe;
};

/// A program that was started. Whoever drops the last owner does not end it: stop() does.
class Running {
  public:
    virtual ~Running() = default;
    [[nodiscard]] virtual long pid() const = 0;
    [[nodiscard]] virtual bool alive() const = 0;
    /// What follows `mark` in the first line of this stream that holds it. Code::unavailable with why() when
    /// the program ends before, Code::timed_out.
    [[nodiscard]] virtual Task<Result<std::string>> said(shell::Stream stream, std::string mark,
                                                         Deadline deadline) = 0;
    /// False: the deadline passed first.
    [[nodiscard]] virtual Task<bool> ended(Deadline deadline) = 0;
    /// All of its standard output, once it has ended. Code::too_large over `limit` bytes, Code::timed_out.
    [[nodiscard]] virtual Task<Result<std::string>> output(std::size_t limit, Deadline deadline) = 0;
    /// It ended by itself with exit status 0.
    [[nodiscard]] virtual bool succeeded() const = 0;
    /// How it ended: "exit status 1", "signal: killed".
    [[nodiscard]] virtual std::string why() const = 0;
    /// The last few KiB of what it wrote.
    [[nodiscard]] virtual std::string last_words() const = 0;
    /// Ends its whole tree: politely, after `grace` by force. Waits for it.
    [[nodiscard]] virtual Task<void> stop(Duration grace) = 0;
};

class Launcher {
  public:
    virtual ~Launcher() = default;
    /// False: no such program on PATH (or no such file).
    [[nodiscard]] virtual bool has(std::string const& program) const = 0;
    /// Code::unavailable when it cannot be started, with the reason.
    [[nodiscard]] virtual Task<Result<std::shared_ptr<Running>>> start(Launch launch) = 0;
    /// A directory that the programs may write and nobody else; made when it is missing. Blocks: call it on a
    /// pool lane.
    [[nodiscard]] virtual Result<void> make_directory(std::string const& path) const = 0;
};

/// Who the programs run as. Chromium as root refuses its own sandbox, so under root another account is taken:
/// `wanted`, else that of uid 1000, else nobody. Error: there is none.
struct Account {
    std::optional<shell::Identity> identity;  // none: as the daemon
    std::string name;
};
[[nodiscard]] Result<Account> choose_account(std::string const& wanted);

/// Starts programs as executions with `base` and HOME=`home` as their environment; without an account it
/// starts nothing and says why. Non-owning.
class ExecutionLauncher final : public Launcher {
  public:
    ExecutionLauncher(shell::Executions& executions, shell::Environment base, Result<Account> account,
                      std::string home);
    [[nodiscard]] bool has(std::string const& program) const override;
    [[nodiscard]] Task<Result<std::shared_ptr<Running>>> start(Launch launch) override;
    [[nodiscard]] Result<void> make_directory(std::string const& path) const override;

  private:
    shell::Executions& executions_;
    shell::Environment base_;
    Result<Account> account_;
};

}  // namespace execd::browser_proxy
