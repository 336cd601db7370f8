// A command's output as the dialect's event stream (contracts/opensandbox.md §2, opensandbox-1.1.md §3.2).
#pragma once
#include <memory>

#include "execd/http/route.hpp"
#include "execd/services.hpp"
#include "shell/execution.hpp"

namespace execd::opensandbox {

/// init, ping, output line by line, exactly one end. Clients before 1.1 get lines without their terminators.
[[nodiscard]] http::Answer foreground_stream(Services& services, http::Call const& call,
                                             std::shared_ptr<shell::Execution> run);
/// init, ping, complete: at once.
[[nodiscard]] http::Answer background_stream(Services& services, shell::Execution const& run);
/// How the process ended in the contract's words, whatever ended it: "exit status 3", "signal: killed"
/// (§1.4).
[[nodiscard]] std::string end_text(shell::Verdict const& verdict);
/// True for SDKs whose contract has lines without terminators (User-Agent OpenSandbox-<Lang>-SDK/0.x), unless
/// the configuration decides.
[[nodiscard]] bool wants_bare_lines(Config const& config, http::Head const& head);

}  // namespace execd::opensandbox
