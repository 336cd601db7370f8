#include "execd/daemon.hpp"

#include <signal.h>
#include <sys/resource.h>

#include <boost/asio/signal_set.hpp>

#include <cstdio>

#include "base/log.hpp"
#include "base/loop.hpp"
#include "base/scope.hpp"
#include "execd/dialects/opensandbox/dialect.hpp"
#include "execd/dialects/opensandbox/routes.hpp"
#include "execd/dialects/own/own.hpp"
#include "execd/http/server.hpp"
#include "execd/services.hpp"
#include "execd/version.hpp"

namespace execd {

namespace {

using Signals = asio::basic_signal_set<Executor>;

// The daemon needs a descriptor for each connection and child; children get the limits that we were started with.
rlimit raise_descriptor_limit() {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    rlimit const before = limit;
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
    return before;
}

void append(std::vector<http::Row>& all, std::vector<http::Row> more) {
    for (auto& row : more) all.push_back(std::move(row));
}

class Daemon {
  public:
    Daemon(asio::io_context& io, Config const& config)
        : config_(config), clock_(io), loop_(io, clock_, pool_), scope_(loop_, "daemon"), signals_(io, SIGTERM, SIGINT) {}

    [[nodiscard]] Result<void> start();
    [[nodiscard]] int status() const { return status_; }

  private:
    Result<void> build_routes();
    Result<void> listen();
    Task<void> until_signal();

    Config const& config_;
    RealClock clock_;
    WorkPool pool_;
    Loop loop_;
    Scope scope_;
    Signals signals_;
    Readiness readiness_;
    Services services_{loop_, config_, readiness_};
    opensandbox::Dialect opensandbox_;
    own::Dialect own_;
    std::unique_ptr<http::Router> router_;
    std::unique_ptr<http::Server> server_;
    Timer last_resort_{clock_};
    int status_ = 0;
};

Result<void> Daemon::build_routes() {
    std::vector<http::Row> rows;
    append(rows, own::rows(services_));
    append(rows, opensandbox::rows(services_));
    std::vector<http::Ownership> owners;
    owners.push_back({"", &own_});
    for (char const* prefix : {"/ping", "/command", "/code", "/session", "/directories", "/metrics", "/pty", "/ready", "/internal",
                               "/files", "/proxy", "/v1"})
        owners.push_back({prefix, &opensandbox_});
    auto router = http::Router::build(std::move(rows), std::move(owners));
    if (!router) return Failure(router.error());
    router_ = std::move(*router);
    return {};
}

Result<void> Daemon::listen() {
    http::Limits limits;
    limits.connections = config_.max_connections;
    auto const everybody = [](http::Call const&, http::Dialect&) -> Result<http::Principal> { return http::Principal(); };
    server_ = std::make_unique<http::Server>(loop_, *router_, limits, everybody, std::vector<http::TargetStage>());
    for (auto const& address : config_.listen) {
        auto bound = address.unix_path.empty() ? server_->listen_tcp(address.host, address.port)
                                               : server_->listen_unix(address.unix_path);
        if (!bound) return Failure(bound.error());
        if (services_.main_port == 0) services_.main_port = bound->port;
        log::info("listener.open", {{"address", bound->name}, {"port", bound->port}});
    }
    return {};
}

Result<void> Daemon::start() {
    loop_.bind_thread();
    if (auto built = build_routes(); !built) return built;
    if (auto listening = listen(); !listening) return listening;
    server_->start();
    readiness_.spawn_works = true;
    scope_.spawn("signals", until_signal());
    return {};
}

Task<void> Daemon::until_signal() {
    auto [ec, number] = co_await signals_.async_wait(kAsTuple);
    if (ec) co_return;
    log::info("daemon.stopping", {{"signal", number}});
    co_await server_->drain(Deadline::in(clock_, config_.drain));
    // Nothing keeps the loop now but what would not end: give that a moment.
    last_resort_.arm(Deadline::in(clock_, std::chrono::seconds(2)), [this] {
        log::warn("daemon.forced_stop");
        status_ = 1;
        loop_.io().stop();
    });
}

}  // namespace

int serve(Config const& config) {
    std::string why;
    bool const log_ok = log::init({config.log_level, config.log_file}, why);
    if (!log_ok) log::warn("log.file_refused", {{"why", why}});
    raise_descriptor_limit();
    asio::io_context io(1);
    int status = 0;
    {
        Daemon daemon(io, config);
        if (auto started = daemon.start(); !started) {
            std::fprintf(stderr, "execd: cannot start: %s\n", started.error().message().c_str());
            status = 1;
        } else {
            io.run();
            status = daemon.status();
        }
    }
    log::shutdown();
    return status;
}

}  // namespace execd
