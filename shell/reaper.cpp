#include "shell/reaper.hpp"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <cerrno>
#include <unordered_map>

#include "base/log.hpp"

namespace execd::shell {

namespace {
constexpr int kPerTurn = 256;  // a storm of orphans must not hold the reactor
}

struct Reaper::State : std::enable_shared_from_this<State> {
    explicit State(Loop& l) : loop(&l), signals(l.io(), SIGCHLD) {}

    Loop* loop;
    asio::signal_set signals;
    std::unordered_map<pid_t, Process*> known;
    std::uint64_t orphans = 0;
    int in_flight = 0;
    bool held = false;  // an unknown zombie was left alone because of a flight

    void listen() {
        signals.async_wait([weak = weak_from_this()](boost::system::error_code ec, int) {
            auto self = weak.lock();
            if (ec || !self) return;
            self->listen();
            self->scan();
        });
    }

    /// Takes the status of this one child if it has ended.
    static bool take(pid_t pid, ExitStatus& status) {
        siginfo_t info{};
        // Raw: glibc's wrapper has no rusage.
        while (::syscall(SYS_waitid, P_PID, pid, &info, WEXITED | WNOHANG, &status.usage) < 0)
            if (errno != EINTR) return false;
        if (info.si_pid != pid) return false;
        status.signaled = info.si_code != CLD_EXITED;
        status.core = info.si_code == CLD_DUMPED;
        status.value = info.si_status;
        return true;
    }

    bool deliver(pid_t pid) {
        auto const found = known.find(pid);
        if (found != known.end() && Reaper::held(*found->second)) return false;
        ExitStatus status;
        if (!take(pid, status)) return false;
        status.at = loop->clock().now();
        if (found == known.end()) {
            ++orphans;
            return true;
        }
        Process* process = found->second;
        known.erase(found);
        process->ended(status);
        return true;
    }

    void scan() {
        for (int n = 0; n < kPerTurn; ++n) {
            siginfo_t info{};
            if (::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0) {
                if (errno == EINTR) continue;
                return;  // ECHILD: no children at all
            }
            if (info.si_pid == 0) return;
            auto const found = known.find(info.si_pid);
            bool const unknown = found == known.end();
            if (unknown ? in_flight > 0 : Reaper::held(*found->second)) {
                held = held || unknown;
                scan_known();  // the zombie that stays hides those behind it
                return;
            }
            if (!deliver(info.si_pid)) return;
        }
        scan_soon();
    }

    void scan_known() {
        std::vector<pid_t> pids;
        pids.reserve(known.size());
        for (auto const& [pid, process] : known) pids.push_back(pid);
        for (pid_t const pid : pids) deliver(pid);
    }

    void land() {
        if (--in_flight > 0 || !held) return;
        held = false;
        scan_soon();
    }

    void scan_soon() {
        asio::post(loop->io(), [weak = weak_from_this()] {
            if (auto self = weak.lock()) self->scan();
        });
    }
};

Reaper::Reaper(Loop& loop) : state_(std::make_shared<State>(loop)) {
    if (::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0)
        log::warn("reaper.not_a_subreaper", {{"errno", errno}});
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    pthread_sigmask(SIG_UNBLOCK, &child, nullptr);  // whoever started us may have left it blocked
    state_->listen();
    asio::post(loop.io(), [weak = std::weak_ptr<State>(state_)] {
        if (auto self = weak.lock()) self->scan();  // what ended before we listened
    });
}

Reaper::~Reaper() {
    boost::system::error_code ignored;
    state_->signals.cancel(ignored);
    state_->known.clear();
}

Reaper::Flight::Flight(Reaper& reaper) : state_(reaper.state_) { ++reaper.state_->in_flight; }

bool Reaper::held(Process const& process) { return process.holds_ > 0; }

Reaper::Hold::Hold(std::shared_ptr<Process> process) : process_(std::move(process)) { ++process_->holds_; }

Reaper::Hold::~Hold() {
    if (--process_->holds_ > 0) return;
    if (auto state = std::static_pointer_cast<State>(process_->reaper_.lock())) state->scan_soon();
}

void Reaper::Flight::land() {
    if (!state_) return;
    std::static_pointer_cast<State>(std::exchange(state_, nullptr))->land();
}

std::shared_ptr<Process> Reaper::adopt(pid_t pid) {
    auto process =
        std::make_shared<Process>(Process::Key(), std::weak_ptr<void>(state_), state_->loop->clock(), pid);
    state_->known[pid] = process.get();
    state_->deliver(pid);  // it may have ended before we knew it
    return process;
}

std::size_t Reaper::registered() const { return state_->known.size(); }
std::uint64_t Reaper::orphans() const { return state_->orphans; }

Process::Process(Key, std::weak_ptr<void> reaper, Clock& clock, pid_t pid)
    : reaper_(std::move(reaper)), clock_(&clock), pid_(pid) {}

Process::~Process() {
    if (status_) return;
    if (auto state = std::static_pointer_cast<Reaper::State>(reaper_.lock())) {
        if (kill_when_dropped_ && ::kill(-pid_, SIGKILL) != 0) ::kill(pid_, SIGKILL);
        state->known.erase(pid_);
    }
}

void Process::ended(ExitStatus const& status) {
    status_ = status;
    ended_.notify_all();
}

Task<bool> Process::wait(Deadline deadline) {
    while (!status_) {
        bool const told = co_await ended_.wait(*clock_, deadline);
        if (!told) break;
    }
    co_return status_.has_value();
}

Result<void> Process::signal(int number) {
    if (status_ || reaper_.expired()) return fail(Code::gone, "signal", "the process has ended");
    if (::kill(pid_, number) != 0) return fail_errno("signal", errno);
    return {};
}

Result<void> Process::signal_group(int number) {
    if (status_ || reaper_.expired()) return fail(Code::gone, "signal", "the process has ended");
    if (::kill(-pid_, number) != 0) return fail_errno("signal", errno);
    return {};
}

}  // namespace execd::shell
