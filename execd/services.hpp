// Services: what the rooms offer, handed to the dialects that mount routes on them. References only; the daemon owns.
#pragma once
#include <string>

#include "base/loop.hpp"
#include "execd/config.hpp"

namespace execd::shell {
class Executions;
}
namespace execd::kernels {
class Contexts;
}

namespace execd {

/// The state of what was configured eagerly, for readiness and `doctor`.
struct Readiness {
    bool spawn_works = false;
    std::vector<std::string> missing;  // what is configured and not up, in words
    [[nodiscard]] bool ready() const { return spawn_works && missing.empty(); }
};

struct Services {
    Loop& loop;
    Config const& config;
    Readiness& readiness;
    shell::Executions* executions = nullptr;
    kernels::Contexts* contexts = nullptr;
    unsigned short main_port = 0;  // bound port of the first TCP listener
};

}  // namespace execd
