// ChildEnvironment: what every process that a client starts gets to see, layer by layer (opensandbox-1.1.md
// §1, §4): the daemon's own environment without its credentials, then the EXECD_ENVS file (read again when it
// changed), then what the request says. JUPYTER_PORT names a port of ours: the code SDK's readiness probe
// connects to it.
//
// Thread: the reactor.
#pragma once
#include <sys/stat.h>

#include <string>

#include "shell/environment.hpp"

namespace execd {

class ChildEnvironment {
  public:
    /// `envs_file` is exported as EXECD_ENVS, so that `set_env` of the SDK works without a bootstrap script.
    ChildEnvironment(std::string envs_file, unsigned short port);

    /// Daemon and file; the caller overlays its own.
    [[nodiscard]] shell::Environment make();
    /// The daemon's layer alone, for path expansion.
    [[nodiscard]] shell::Environment const& daemon() const { return daemon_; }

  private:
    void reload();
    std::string path_;
    shell::Environment daemon_;
    struct stat seen_ {};
    bool have_ = false;
    shell::EnvFile file_;
};

}  // namespace execd
