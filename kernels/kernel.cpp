#include "kernels/kernel.hpp"

#include <signal.h>

#include "base/check.hpp"
#include "base/ids.hpp"
#include "base/log.hpp"
#include "base/utf8.hpp"
#include "kernels/place.hpp"

namespace execd::kernels {

namespace {
using namespace std::chrono_literals;
}

std::string_view to_string(StartKind kind) noexcept {
    switch (kind) {
        case StartKind::cold: return "cold";
        case StartKind::zygote: return "zygote";
        case StartKind::pooled: return "pooled";
    }
    return "?";
}

Kernel::Kernel(Loop& loop, KernelSpec spec, Connection connection, std::unique_ptr<KernelProcess> process,
               std::shared_ptr<ZmqContext> zmq, StartKind kind)
    : loop_(&loop),
      spec_(std::move(spec)),
      connection_(connection),
      process_(std::move(process)),
      kind_(kind),
      client_(loop, std::move(zmq), std::move(connection)),
      scope_(loop, "kernel") {
    scope_.spawn("kernel.watch", watch());
}

Kernel::~Kernel() = default;

std::string Kernel::last_words() const {
    std::string text = process_->log_tail();
    while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
    constexpr std::size_t kMost = 600;
    if (text.size() > kMost) text = "..." + text.substr(text.size() - kMost);
    return to_utf8(text);
}

Task<void> Kernel::watch() {
    bool const ended = co_await process_->ended(Deadline::never());
    if (!ended) co_return;
    dead_ = true;
    cause_ = killed_why_.empty() ? process_->cause() : killed_why_;
    cause_kind_ = killed_why_.empty() ? process_->cause_kind() : "killed";
    if (!ending_) {
        log::warn("kernel.died", {{"kernel", spec_.name}, {"pid", process_->pid()}, {"cause", cause_}});
        if (auto words = last_words(); !words.empty()) cause_ += ": " + words;
    }
    client_.fail_pending(Error{Code::gone, "kernel", 0, cause_});
    if (on_death_) on_death_();
}

void Kernel::attend(bool on) {
    attended_ = on;
    attend_changed_.notify_all();
}

Task<void> Kernel::heart() {
    auto& clock = loop_->clock();
    std::optional<TimePoint> unanswered;
    while (!dead_) {
        while (!attended_) {
            unanswered.reset();  // nobody listened: it was busy with nothing, or frozen
            co_await attend_changed_.wait();
        }
        co_await clock.sleep_for(heart_every_);
        if (!attended_ || dead_) continue;
        TimePoint const asked = clock.now();
        bool const answered = co_await client_.beat(Deadline::in(clock, heart_every_));
        if (dead_) co_return;
        if (answered) {
            unanswered.reset();
        } else if (!unanswered) {
            unanswered = asked;
        }
        Duration const before = silence_;
        silence_ = unanswered ? clock.now() - *unanswered : Duration::zero();
        bool const news = silence_ > Duration::zero() || before > Duration::zero();
        if (news && on_silence_) on_silence_(silence_);
    }
}

void Kernel::kill(std::string why) {
    if (dead_ || ending_) return;
    killed_why_ = std::move(why);
    scope_.spawn("kernel.kill", stop_process());
}

Task<void> Kernel::stop_process() { co_await process_->stop(Duration::zero()); }

Task<Result<void>> Kernel::connect(Deadline deadline) {
    if (connected_) co_return Result<void>{};
    auto connected = co_await client_.connect(deadline, kind_ == StartKind::cold);
    connected_ = connected.has_value();
    if (connected) {
        scope_.spawn("kernel.heart", heart());
        co_return connected;
    }
    std::string text = "kernel '" + spec_.name + "' did not come up: ";
    text += dead_ ? "it ended with " + cause_ : connected.error().detail;
    if (!dead_)
        if (auto words = last_words(); !words.empty()) text += "; its log ends with: " + words;
    co_return fail(dead_ ? Code::unavailable : connected.error().code, "kernel.start", text);
}

Task<Result<void>> Kernel::prime(Deadline deadline) {
    if (primed_ || !spec_.is_ipykernel() || canonical_language(spec_.language) != "python")
        co_return Result<void>{};
    auto done = co_await client_.silent(place_handler_source(), deadline);
    primed_ = done.has_value();
    co_return done;
}

Task<Result<void>> Kernel::interrupt() {
    if (dead_) co_return fail(Code::gone, "kernel.interrupt", cause_);
    switch (spec_.interrupt) {
        case Interrupt::signal: {
            if (auto sent = process_->signal(SIGINT); !sent) co_return sent;
            // ipykernel 7: a SIGINT during a top-level await only takes effect at the loop's next event.
            if (spec_.is_ipykernel())
                (void)client_.post(Channel::shell, "comm_info_request", Json::object(),
                                   [](Result<Message>) {});
            co_return Result<void>{};
        }
        case Interrupt::message: {
            auto reply = co_await client_.request(Channel::control, "interrupt_request", Json::object(),
                                                  Deadline::in(loop_->clock(), 10s));
            if (!reply) co_return tl::unexpected(reply.error());
            co_return Result<void>{};
        }
        case Interrupt::restart: break;
    }
    co_return fail(Code::not_supported, "kernel.interrupt",
                   "kernel '" + spec_.name + "' does not survive an interrupt");
}

Task<void> Kernel::end(Duration grace) {
    ending_ = true;
    if (!dead_ && grace > Duration::zero()) {
        client_.expect_end();
        // A busy kernel answers on control only when its interpreter lets it: the deadline is the same for
        // both.
        auto const sent =
            client_.post(Channel::control, "shutdown_request", {{"restart", false}}, [](Result<Message>) {});
        if (sent) co_await process_->ended(Deadline::in(loop_->clock(), grace));
    }
    co_await process_->stop(Duration::zero());
    // A message of up to 64 MiB may be at work on the pool and uses the client: on a busy machine that takes
    // its time.
    co_await client_.close(Deadline::in(loop_->clock(), 120s));
    co_await scope_.close(Deadline::in(loop_->clock(), 5s));
    dead_ = true;
    remove_connection(connection_);
}

std::vector<std::string> env_list(Env const& env) {
    std::vector<std::string> out;
    out.reserve(env.size());
    for (auto const& [name, value] : env) out.push_back(name + "=" + value);
    return out;
}

Task<Result<std::unique_ptr<Kernel>>> start_cold(Loop& loop, shell::Executions& executions,
                                                 std::shared_ptr<ZmqContext> zmq, RuntimeDir const& dir,
                                                 KernelSpec spec, LaunchPlace place) {
    std::string const id = random_hex(8);
    auto connection = prepare_connection(dir, id, spec.transport, spec.name, place.identity);
    if (!connection) co_return tl::unexpected(connection.error());
    shell::ExecutionSpec start;
    start.argv = render_argv(spec, connection->file);
    start.env = env_list(render_env(spec, place.env));
    start.cwd = place.cwd;
    start.identity = place.identity;
    start.owner = place.owner;
    start.contain = true;
    start.resources = place.resources;
    start.label = "kernel";
    start.text = spec.name;
    start.journal.spill = 0;
    start.journal.ring = 256 << 10;
    start.program = spec.program;
    std::string const program = spec.program.empty() ? start.argv.front() : spec.program;
    auto started = co_await executions.start(std::move(start));
    if (!started) {
        remove_connection(*connection);
        co_return tl::unexpected(started.error());
    }
    if (auto const& verdict = (*started)->verdict())
        if (auto const* failed = std::get_if<shell::FailedToStart>(&verdict->ending)) {
            remove_connection(*connection);
            shell::SpawnFailure const failure{failed->step, failed->error};
            if (failed->step == shell::Step::exec)
                co_return fail(
                    Code::unavailable, "kernel.start",
                    "the kernelspec " + spec.dir + " wants '" + program + "': " + errno_text(failed->error));
            co_return tl::unexpected(failure.to_error());
        }
    co_return std::make_unique<Kernel>(loop, std::move(spec), *std::move(connection),
                                       process_of(*std::move(started)), std::move(zmq), StartKind::cold);
}

}  // namespace execd::kernels
