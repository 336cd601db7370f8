#include "execd/kernel_environment.hpp"

namespace execd {

kernels::Env kernel_environment(Config const& config, shell::Environment const& environment) {
    kernels::Env out;
    for (auto const& [name, value] : environment.values()) out[name] = value;
    auto const slash = config.python.rfind('/');
    if (slash != std::string::npos) out["PATH"] = config.python.substr(0, slash) + ":" + out["PATH"];
    return out;
}

}  // namespace execd
