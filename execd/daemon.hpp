// Daemon: the composition root. Builds the rooms in order, mounts the dialects on one router, serves until a
// signal, and takes everything down again in reverse order.
#pragma once
#include "execd/config.hpp"

namespace execd {

/// Serves until SIGTERM or SIGINT; the process's exit status.
[[nodiscard]] int serve(Config const& config);

}  // namespace execd
