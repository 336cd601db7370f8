// Services: what the rooms offer, handed to the dialects that mount routes on them. References only; the
// daemon owns.
#pragma once
#include <algorithm>
#include <string>
#include <vector>

#include "base/loop.hpp"
#include "execd/child_environment.hpp"
#include "execd/config.hpp"

namespace execd::shell {
class Executions;
class Sessions;
class Terminals;
}  // namespace execd::shell
namespace execd::kernels {
class Contexts;
}
namespace execd::browser_proxy {
class Supervisor;
}
namespace execd::fs {
class Executor;
class Workers;
class Watches;
}  // namespace execd::fs
namespace execd::auth {
class Authenticator;
}
namespace execd::claims {
class Claims;
}
namespace execd::http {
class ReverseProxy;
class Server;
class Router;
}  // namespace execd::http

namespace execd {
class LagProbe;

/// The state of what was configured eagerly, for readiness and `doctor`.
struct Readiness {
    bool spawn_works = false;
    bool stopping = false;             // SIGTERM came: streams without an end of their own end
    std::vector<std::string> missing;  // what is configured and not up, in words
    [[nodiscard]] bool ready() const { return spawn_works && missing.empty(); }
};

struct Services {
    Loop& loop;
    Config const& config;
    Readiness& readiness;
    ChildEnvironment* environment = nullptr;
    shell::Executions* executions = nullptr;
    shell::Sessions* sessions = nullptr;
    shell::Terminals* terminals = nullptr;
    kernels::Contexts* contexts = nullptr;
    claims::Claims* claims = nullptr;
    auth::Authenticator* authenticator = nullptr;
    fs::Executor* files = nullptr;
    fs::Workers* workers = nullptr;
    fs::Watches* watches = nullptr;
    http::ReverseProxy* proxy = nullptr;
    browser_proxy::Supervisor* browser = nullptr;  // null: switched off
    http::Server* server = nullptr;
    http::Router const* router = nullptr;
    LagProbe const* lag = nullptr;
    unsigned short main_port = 0;  // bound port of the first TCP listener
    std::vector<unsigned short> own_ports{};

    [[nodiscard]] bool is_own_port(unsigned short port) const {
        return std::find(own_ports.begin(), own_ports.end(), port) != own_ports.end();
    }
};

}  // namespace execd
