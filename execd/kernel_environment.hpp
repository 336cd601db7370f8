// What kernels are looked for with, and find.
#pragma once
#include "execd/config.hpp"
#include "kernels/kernelspec.hpp"
#include "shell/environment.hpp"

namespace execd {

/// The daemon's environment with the configured Python's directory first on PATH: its own prefix is looked at
/// first, and its kernels find it by name.
[[nodiscard]] kernels::Env kernel_environment(Config const& config, shell::Environment const& environment);

}  // namespace execd
