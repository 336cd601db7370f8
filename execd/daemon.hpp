// Daemon: the composition root. Builds the rooms in order, mounts the dialects on one router, serves until a
// signal, and takes everything down again in reverse order.
#pragma once
#include <string>
#include <vector>

#include "execd/config.hpp"

namespace execd {

/// Serves until SIGTERM or SIGINT; the process's exit status. With a `program` that is run below it (init
/// mode): then also until that has ended, and its status is ours.
[[nodiscard]] int serve(Config const& config, std::vector<std::string> program = {});

}  // namespace execd
