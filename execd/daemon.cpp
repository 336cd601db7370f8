#include "execd/daemon.hpp"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/signal_set.hpp>

#include <cstdio>

#include "base/lag_probe.hpp"
#include "base/log.hpp"
#include "base/loop.hpp"
#include "base/own_program.hpp"
#include "base/scope.hpp"
#include "execd/api_document.hpp"
#include "execd/authorization.hpp"
#include "execd/browser/desktop.hpp"
#include "execd/child_environment.hpp"
#include "execd/claims/claims.hpp"
#include "execd/dialects/agentrun/routes.hpp"
#include "execd/dialects/cloud_sandbox/routes.hpp"
#include "execd/dialects/opensandbox/dialect.hpp"
#include "execd/dialects/opensandbox/routes.hpp"
#include "execd/dialects/own/own.hpp"
#include "execd/dialects/own/tickets.hpp"
#include "execd/dialects/sandbox_sdk/routes.hpp"
#include "execd/http/proxy.hpp"
#include "execd/http/server.hpp"
#include "execd/init_program.hpp"
#include "execd/kernel_environment.hpp"
#include "execd/readiness.hpp"
#include "execd/runtime_init.hpp"
#include "execd/self_proxy.hpp"
#include "execd/services.hpp"
#include "fs/executor.hpp"
#include "fs/watches.hpp"
#include "fs/worker.hpp"
#include "kernels/contexts.hpp"
#include "kernels/native/native.hpp"
#include "shell/executions.hpp"
#include "shell/reaper.hpp"
#include "shell/sessions.hpp"
#include "shell/spawner.hpp"

namespace execd {

namespace {

using Signals = asio::basic_signal_set<Executor>;

constexpr int kForced = 3;  // exit status: stopped as told, but something had to be cut
constexpr auto kHeed = std::chrono::milliseconds(500);  // for interrupted runs to end by themselves
constexpr auto kLastWords = std::chrono::seconds(2);
constexpr auto kTerminalGrace = std::chrono::milliseconds(500);

// The daemon needs a descriptor for each connection and child; children get the limit that we were started
// with.
rlimit raise_descriptor_limit() {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    rlimit const before = limit;
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
    return before;
}

std::string temporary_directory(Config const& config) {
    if (!config.state_dir.empty()) return config.state_dir;
    auto const tmp = process_environment("TMPDIR");
    return tmp && !tmp->empty() ? *tmp : "/tmp";
}

std::string default_envs_file(Config const& config) {
    if (!config.envs_file.empty()) return config.envs_file;
    return temporary_directory(config) + "/execd-" + std::to_string(::getuid()) + ".env";
}

shell::Executions::Options execution_options(Config const& config) {
    shell::Executions::Options options;
    if (config.cgroups) options.cgroups = shell::Cgroups::detect();
    return options;
}

shell::SpillStore::Options spill_options(Config const& config) {
    shell::SpillStore::Options options;
    options.parent = temporary_directory(config);
    return options;
}

kernels::Contexts::Options kernel_options(Config const& config, shell::Environment const& environment) {
    kernels::Contexts::Options options;
    options.built_in = kernels::native::kernelspecs;
    options.env = kernel_environment(config, environment);
    options.home = std::string(environment.get("HOME").value_or("/"));
    std::string const parent = temporary_directory(config);
    options.runtime_parent = parent.size() <= 60 ? parent : "/tmp";
    options.cwd = config.cwd;
    options.max_contexts = config.max_contexts;
    options.idle_timeout = config.context_idle_timeout;
    options.ready_kernels = config.ready_kernels;
    options.preload = config.preload;
    options.log_bytes = config.run_log_bytes;
    return options;
}

void append(std::vector<http::Row>& all, std::vector<http::Row> more) {
    for (auto& row : more) all.push_back(std::move(row));
}

/// Workers are started from the file that we were started from, whatever has its name by then.
fs::WorkerOptions worker_options(UniqueFd const& self) {
    fs::WorkerOptions options;
    options.program_fd = self.get();
    return options;
}

class Daemon {
  public:
    Daemon(asio::io_context& io, Config const& config, auth::Secrets secrets,
           std::vector<std::string> program)
        : config_(config),
          program_(std::move(program)),
          clock_(io),
          loop_(io, clock_, pool_),
          scope_(loop_, "daemon"),
          work_(loop_, "daemon.work"),
          signals_(io, SIGTERM, SIGINT),
          authorization_(loop_, std::move(secrets), config),
          reaper_(loop_),
          spawner_(loop_, reaper_),
          init_(loop_, spawner_),
          executions_(loop_, spawner_, std::make_shared<shell::SpillStore>(spill_options(config)),
                      execution_options(config)),
          sessions_(loop_, executions_),
          terminals_(loop_, executions_),
          claims_(loop_, executions_, sessions_, terminals_),
          files_(loop_),
          self_(open_own_program().value_or(UniqueFd())),
          workers_(loop_, spawner_, worker_options(self_), &files_),
          watches_(loop_),
          proxy_(loop_, authorization_.proxy_options()) {}

    [[nodiscard]] Result<void> start();
    [[nodiscard]] int status() const { return program_.empty() ? status_ : init_.status(); }

  private:
    Result<void> listen();
    Result<void> build_routes();
    Task<void> until_signal();
    void say_stopped() const;
    Task<void> check_spawn();
    Task<void> prewarm();
    Task<void> run_program();
    Task<void> start_browser();
    Task<void> end_work(Deadline at);

    Config const& config_;
    std::vector<std::string> program_;  // of init mode
    RealClock clock_;
    WorkPool pool_;
    Loop loop_;
    LagProbe lag_;
    Scope scope_;
    Scope work_;  // what the daemon does for itself: probes, prewarming
    Signals signals_;
    Authorization authorization_;
    shell::Reaper reaper_;
    shell::Spawner spawner_;
    InitProgram init_;
    shell::Executions executions_;
    shell::Sessions sessions_;
    shell::Terminals terminals_;
    claims::Claims claims_;
    fs::Executor files_;
    UniqueFd self_;
    fs::Workers workers_;
    fs::Watches watches_;
    http::ReverseProxy proxy_;
    std::unique_ptr<ChildEnvironment> environment_;
    std::unique_ptr<kernels::Contexts> contexts_;
    std::unique_ptr<browser_proxy::Supervisor> browser_;
    Readiness readiness_;
    Services services_{loop_, config_, readiness_};
    opensandbox::Dialect opensandbox_;
    agentrun::Dialect agentrun_;
    sandbox_sdk::Dialect sandbox_sdk_;
    cloud_sandbox::Dialect cloud_sandbox_;
    own::Dialect own_;
    std::unique_ptr<http::Router> router_;
    std::unique_ptr<http::Server> server_;
    int status_ = 0;
};

Result<void> Daemon::build_routes() {
    std::vector<http::Row> rows;
    auto const add = [&rows, this](std::vector<http::Row> more) {
        if (config_.runtime_init) wait_for_init(more, not_initialized);
        append(rows, std::move(more));
    };
    add(own::rows(services_));
    add({api_document_row(services_),
         own::ticket_row(authorization_.authenticator().tickets(),
                         [this](http::Call const& call) { return authorization_.may_mint(call); })});
    auto more = opensandbox::rows(services_);  // it waits for the initialization in words of its own
    for (auto& row : more) row.dialect = &opensandbox_;  // of /files itself it has one method only
    append(rows, std::move(more));
    add(agentrun::rows(services_, agentrun_));
    if (config_.lifecycle) {  // in both everything belongs to a sandbox that was created here
        add(sandbox_sdk::rows(services_, sandbox_sdk_, authorization_.authenticator()));
        add(cloud_sandbox::rows(services_, cloud_sandbox_, authorization_.authenticator()));
    }
    std::vector<http::Ownership> owners;
    owners.push_back({"", &opensandbox_});
    for (char const* prefix : {"/ping", "/command", "/code", "/session", "/directories", "/metrics", "/pty",
                               "/ready", "/internal", "/files/", "/proxy", "/v1"})
        owners.push_back({prefix, &opensandbox_});
    // Paths that no mounted dialect owns answer as OpenSandbox's 404, the plainest.
    for (auto const prefix : agentrun::owned_paths()) owners.push_back({std::string(prefix), &agentrun_});
    owners.push_back({"/api", &sandbox_sdk_});
    owners.push_back({"/api/v1", &cloud_sandbox_});
    for (char const* prefix : {"/execd", "/cdp", "/devtools", "/json", "/vnc", "/websockify"})
        owners.push_back({prefix, &own_});
    auto router = http::Router::build(std::move(rows), std::move(owners));
    if (!router) return Failure(router.error());
    router_ = std::move(*router);
    services_.router = router_.get();
    return {};
}

Result<void> Daemon::listen() {
    http::Limits limits;
    limits.connections = config_.max_connections;
    limits.slow = config_.slow_request;
    // One client cannot take every place; behind an ingress all clients are one address, so it is no small
    // share.
    limits.connections_per_client = config_.max_connections - config_.max_connections / 5;
    server_ = std::make_unique<http::Server>(loop_, *router_, limits, authorization_.check(),
                                             std::vector<http::TargetStage>{self_proxy});
    services_.server = server_.get();
    for (auto const& address : config_.listen) {
        auto bound = address.unix_path.empty() ? server_->listen_tcp(address.host, address.port)
                                               : server_->listen_unix(address.unix_path);
        if (!bound) return Failure(bound.error());
        if (services_.main_port == 0) services_.main_port = bound->port;
        if (bound->port != 0) services_.own_ports.push_back(bound->port);
    }
    return {};
}

Result<void> Daemon::start() {
    loop_.bind_thread();
    // What runs at level debug is being looked at: it may cost a little.
    lag_.install(config_.log_level == log::Level::debug ? LagProbe::Measure::processor_too
                                                        : LagProbe::Measure::time);
    // A protected daemon that nobody could ever enter is a mistake to be seen now.
    if (auto const& problem = authorization_.authenticator().problem(); !problem.empty())
        return fail(Code::invalid_argument, "", problem);
    services_.lag = &lag_;
    services_.executions = &executions_;
    services_.sessions = &sessions_;
    services_.terminals = &terminals_;
    services_.claims = &claims_;
    services_.authenticator = &authorization_.authenticator();
    // As if somebody had sent it: answers under way get out first.
    if (config_.exit_with_last_claim) claims_.on_last_ended([] { ::kill(::getpid(), SIGTERM); });
    services_.files = &files_;
    services_.workers = &workers_;
    services_.watches = &watches_;
    services_.proxy = &proxy_;
    if (auto built = build_routes(); !built) return built;
    if (auto listening = listen(); !listening) return listening;
    environment_ = std::make_unique<ChildEnvironment>(default_envs_file(config_), services_.main_port);
    services_.environment = environment_.get();
    contexts_ = std::make_unique<kernels::Contexts>(loop_, executions_, reaper_,
                                                    kernel_options(config_, environment_->daemon()));
    services_.contexts = contexts_.get();
    claims_.set_contexts(contexts_.get());
    std::string home = temporary_directory(config_) + "/execd-browser-" + std::to_string(services_.main_port);
    browser_ = browser::make_supervisor(loop_, executions_, config_.browser, environment_->daemon(),
                                        std::move(home));
    services_.browser = browser_.get();
    forget_start_pages();
    server_->start();
    for (auto const& info : server_->listeners())
        log::info("listener.open", {{"address", info.name}, {"port", info.port}});
    scope_.spawn("signals", until_signal());
    work_.spawn("check spawn", check_spawn());
    if (!program_.empty()) scope_.spawn("program", run_program());
    if (!config_.prewarm.empty()) {
        readiness_.missing.emplace_back(kBeingMade);
        work_.spawn("prewarm", prewarm());
    }
    if (browser_ && config_.browser.mode == BrowserMode::boot) {
        readiness_.missing.emplace_back(kBrowserStarts);
        work_.spawn("browser", start_browser());
    }
    return {};
}

void Daemon::say_stopped() const {
    auto const us = [](std::chrono::nanoseconds time) {
        return std::chrono::duration_cast<std::chrono::microseconds>(time).count();
    };
    auto const held = lag_.figures();
    log::info("daemon.stopped", {{"requests", server_->counters().requests},
                                 {"loop_held_p99_us", us(held.quantile(0.99))},
                                 {"loop_held_max_us", us(held.longest)}});
    if (!lag_.measures_processor()) return;
    auto const worked = lag_.processor_figures();
    log::debug("loop.work", {{"turns", held.holds},
                             {"over_1ms", worked.above(std::chrono::milliseconds(1))},
                             {"max_us", us(worked.longest)}});
}

// Ready means that a process can be started, not that we believe so.
Task<void> Daemon::check_spawn() {
    shell::SpawnSpec spec;
    spec.argv = {"execd-probe", "--version"};
    spec.program = "/proc/self/exe";
    spec.program_fd = self_.get();
    spec.env = {"PATH=/usr/bin:/bin"};
    auto started = co_await spawner_.spawn(std::move(spec));
    if (!started) {
        readiness_.missing.push_back("cannot start processes: " + started.error().to_error().message());
        co_return;
    }
    bool const ended = co_await (*started)->wait(Deadline::in(clock_, std::chrono::seconds(10)));
    readiness_.spawn_works = ended;
    if (!ended) readiness_.missing.push_back("a started process did not end within 10 s");
}

Task<void> Daemon::prewarm() {
    auto warm = co_await contexts_->prewarm();
    std::erase(readiness_.missing, kBeingMade);
    if (!warm) {
        log::warn("prewarm.failed", {{"error", warm.error().message()}});
        readiness_.missing.push_back("python: " + warm.error().message());
    }
}

// Its end is ours, in the same order as at a signal.
Task<void> Daemon::run_program() {
    co_await init_.run(program_, environment_->daemon());
    if (!readiness_.stopping) ::kill(::getpid(), SIGTERM);
}

Task<void> Daemon::start_browser() {
    browser_->start();
    auto up = co_await browser_->browser(Deadline::in(clock_, std::chrono::seconds(60)));
    std::erase(readiness_.missing, kBrowserStarts);
    if (!up) readiness_.missing.push_back(up.error().message());
}

// Who still waits for a run or a command when the drain time is over gets what there is of it as an answer: a
// connection that is cut looks like a failure of the network, and such a call is made again.
Task<void> Daemon::end_work(Deadline at) {
    bool const due = co_await clock_.sleep_until(at);
    if (!due) co_return;
    status_ = kForced;
    log::info("drain.over", {{"contexts", contexts_->size()}, {"executions", executions_.list().size()}});
    for (auto const& run : executions_.list())
        if (run->running() && run->label() != "kernel" && run->label() != "zygote") run->request_stop(kHeed);
    bool busy = false;
    for (auto const& context : contexts_->list()) {
        for (auto const& run : context->runs()) {
            if (run->state() == kernels::RunState::finished) continue;
            busy = true;
            (void)context->cancel(run->id());
        }
    }
    if (!busy) co_return;
    co_await clock_.sleep_for(kHeed);
    co_await contexts_->close(Deadline::in(clock_, kLastWords));
}

Task<void> Daemon::until_signal() {
    auto [ec, number] = co_await signals_.async_wait(kAsTuple);
    if (ec) co_return;
    log::info("daemon.stopping", {{"signal", number}});
    init_.signal(number);
    server_->stop_accepting();
    readiness_.stopping = true;
    executions_.events_changed().notify_all();
    // Nobody ends a terminal that somebody looks at: its viewers hear of its end now.
    co_await terminals_.close_all(kTerminalGrace);
    // The same with who looks at the desktop or drives the browser.
    if (browser_) co_await browser_->close();
    // Streams of running work end with that work: both have the drain time.
    Deadline const deadline = Deadline::in(clock_, config_.drain);
    work_.spawn("end work", end_work(deadline));
    co_await server_->drain(Deadline(deadline.at() + kLastWords));
    if (server_->cut()) status_ = kForced;
    auto const stragglers = co_await work_.close(Deadline::in(clock_, std::chrono::seconds(2)));
    if (!stragglers.empty()) status_ = kForced;
    co_await claims_.close(Deadline::in(clock_, std::chrono::seconds(3)));
    co_await watches_.close();
    co_await contexts_->close(Deadline::in(clock_, std::chrono::seconds(3)));
    co_await sessions_.close_all(Duration::zero());
    co_await executions_.close(Deadline::in(clock_, std::chrono::seconds(3)));
    co_await init_.end(deadline);
    // A second signal now must not turn an orderly end into a killed process: taking the handlers away
    // restores the default action.
    sigset_t ours;
    sigemptyset(&ours);
    sigaddset(&ours, SIGTERM);
    sigaddset(&ours, SIGINT);
    ::pthread_sigmask(SIG_BLOCK, &ours, nullptr);
    signals_.cancel();
    say_stopped();
    loop_.io().stop();
}

}  // namespace

int serve(Config const& config, std::vector<std::string> program) {
    if (!config.state_dir.empty() && ::mkdir(config.state_dir.c_str(), 0700) != 0 && errno != EEXIST) {
        std::fprintf(stderr, "execd: --state-dir (EXECD_STATE_DIR): cannot make %s: %s\n",
                     config.state_dir.c_str(), errno_text(errno).c_str());
        return 2;
    }
    std::string why;
    if (!log::init({config.log_level, config.log_file}, why)) {
        std::fprintf(stderr, "execd: --log-file (EXECD_LOG_FILE): %s\n", why.c_str());
        log::shutdown();
        return 2;
    }
    auth::Secrets secrets = secrets_of(config);
    raise_descriptor_limit();
    asio::io_context io(1);
    int status = 0;
    {
        Daemon daemon(io, config, std::move(secrets), std::move(program));
        if (auto started = daemon.start(); !started) {
            std::fprintf(stderr, "execd: cannot start: %s\n", started.error().message().c_str());
            status = 1;
        } else {
            io.run();
            status = daemon.status();
        }
        // What was posted when the loop stopped still refers to the rooms: run it while they live.
        io.restart();
        io.poll();
    }
    log::shutdown();
    return status;
}

}  // namespace execd
