// The environment that a login shell would set up (/etc/profile, ~/.profile): asked for once, because a login
// shell costs 100 ms. What the profile prints is not part of it.
#pragma once
#include "shell/environment.hpp"
#include "shell/executions.hpp"

namespace execd::shell {

/// Runs the shell as a login shell on `base`. timed_out, or unavailable when the profile ended it.
[[nodiscard]] Task<Result<Environment>> login_environment(Executions& executions, Environment base,
                                                          std::optional<Identity> identity,
                                                          Deadline deadline);

}  // namespace execd::shell
