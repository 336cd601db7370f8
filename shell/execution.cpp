#include "shell/execution.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>

#include <array>
#include <cstdlib>
#include <cstring>

#include "base/log.hpp"
#include "shell/cgroup_files.hpp"
#include "shell/channels.hpp"
#include "shell/process_tree.hpp"

namespace execd::shell {

namespace {
constexpr int kPieces = 16;  // of a terminal, in one turn
/// How long the verdict waits for pipes that something else still holds open.
constexpr Duration kOutputGrace = std::chrono::milliseconds(50);

Duration of(timeval const& t) {
    return std::chrono::seconds(t.tv_sec) + std::chrono::microseconds(t.tv_usec);
}

/// Bytes. From /proc, because getrusage(2) begins with the peak of whoever started the daemon; without /proc
/// that is what there is.
std::uint64_t daemons_peak() {
    std::array<char, 4096> text;
    UniqueFd const status(::open("/proc/self/status", O_RDONLY | O_CLOEXEC));
    auto const size = status ? ::read(status.get(), text.data(), text.size() - 1) : -1;
    if (size > 0) {
        text[static_cast<std::size_t>(size)] = '\0';
        if (char const* const line = std::strstr(text.data(), "VmHWM:"))
            return std::strtoull(line + sizeof "VmHWM:" - 1, nullptr, 10) * 1024;
    }
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    return static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
}

/// Of the process alone, or 0 where that is not known: a program starts with the peak of whoever executed it,
/// which lent it its memory, and that is the daemon.
std::uint64_t own_peak(rusage const& usage) {
    static std::uint64_t known = 0;  // the reactor's; the daemon's peak only grows
    auto const peak = static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
    if (peak <= known) return 0;
    known = daemons_peak();
    return peak > known ? peak : 0;
}

Usage usage_of(rusage const& usage) { return {of(usage.ru_utime), of(usage.ru_stime), own_peak(usage)}; }

/// The leader's number, and with it its group and session, stays its own while it is a zombie: then what
/// ignored the signal that it obeyed is found also where it has dropped its environment. A kernel without
/// pidfds leaves that to the marker.
Task<void> end_held(Loop& loop, std::shared_ptr<Process> process, std::string id) {
    int const fd = static_cast<int>(::syscall(SYS_pidfd_open, process->pid(), 0));
    if (fd < 0) co_return;
    Descriptor ended(loop.executor(), fd);
    Reaper::Hold const hold(process);
    (void)co_await ended.async_wait(Descriptor::wait_read, kAsTuple);
    if (!process->running()) co_return;
    (void)process->signal_group(SIGKILL);
    TreeQuery const query{process->pid(), std::move(id)};
    auto const work = [&query] { return signal_tree(query, SIGKILL, 50); };
    (void)co_await loop.pool().run(Lane::search, work);
}

/// After many ended at once. Starts do the same bit by bit, but there may be none for long.
Task<void> remove_groups(Loop& loop) {
    auto const work = [] {
        cgroup_files::leftovers().remove_some(128);
        return true;
    };
    (void)co_await loop.pool().run(Lane::metadata, work);
}
}  // namespace

Execution::Execution(Loop& loop, Scope& scope, std::shared_ptr<SpillStore> store, ExecutionSpec const& spec)
    : loop_(&loop),
      scope_(&scope),
      id_(spec.id),
      owner_(spec.owner),
      label_(spec.label),
      text_(spec.text),
      digest_(spec.digest),
      journal_(spec.into ? spec.into : std::make_shared<Journal>(loop, std::move(store), spec.journal)),
      own_journal_(!spec.into),
      stop_signal_(spec.stop_signal),
      terminal_(spec.terminal.has_value()),
      size_(spec.terminal.value_or(WindowSize())),
      timeout_(loop.clock()),
      kill_timer_(loop.clock()) {}

Execution::~Execution() = default;

void Execution::add_pump(Stream stream, UniqueFd fd) {
    pumps_.push_back({stream, std::make_unique<Descriptor>(loop_->executor(), fd.release())});
}

void Execution::began(std::shared_ptr<Process> process, Duration timeout) {
    process_ = std::move(process);
    auto const self = shared_from_this();
    open_pumps_ = pumps_.size();
    for (auto& p : pumps_) {
        Stream const stream = p.stream;
        if (!scope_->spawn(std::string("execution.").append(to_string(stream)), pump(self, &p)))
            --open_pumps_;
    }
    if (timeout > Duration::zero()) deadline_ = Deadline::in(loop_->clock(), timeout).at();
    if (deadline_)
        timeout_.arm(Deadline(*deadline_), [weak = weak_from_this()] {
            if (auto me = weak.lock()) me->expire(TimedOut::Kind::hard);
        });
    if (!scope_->spawn("execution.supervise", supervise(self))) {
        // Shutting down: the scope takes nothing new, so this one ends here.
        kill_tree();
        Verdict verdict;
        verdict.ending = Lost{"started while the daemon was shutting down"};
        publish(std::move(verdict));
    }
}

void Execution::failed(SpawnFailure const& failure) {
    pumps_.clear();
    cgroup_.reset();
    Verdict verdict;
    verdict.ending = FailedToStart{failure.step, failure.error};
    publish(std::move(verdict));
    if (own_journal_) journal_->close();
}

namespace {
// A terminal hands out 4 KiB at a time. What is there in one turn of the reactor goes to readers together:
// one by one, each would be a frame, a system call and a wake-up of its own.
Journal::Fill fill_from(Journal& journal, int fd, Stream stream) {
    Journal::Fill out = journal.fill(fd, stream);
    for (int piece = 1; stream == Stream::tty && piece < kPieces && out.bytes > 0 && !out.drained; ++piece) {
        Journal::Fill const more = journal.fill(fd, stream);
        out.bytes += more.bytes;
        out.end = more.end;
        out.error = more.error;
        out.drained = more.bytes == 0;
    }
    return out;
}
}  // namespace

Task<void> Execution::make_room(std::shared_ptr<Execution> self) {
    struct Ended {
        Execution* execution;
        ~Ended() { execution->making_room_ = false; }
    } const ended{self.get()};
    making_room_ = true;
    co_await journal_->make_room();
}

Task<void> Execution::pump(std::shared_ptr<Execution> self, Pump* pump) {
    struct Ended {
        Execution* execution;
        ~Ended() {
            --execution->open_pumps_;
            execution->pumps_event_.notify_all();
        }
    } const ended{self.get()};
    bool large = pump->stream == Stream::tty;
    while (true) {
        if (journal_->needs_room()) {
            // The disk takes what is old while the child writes what is new, unless the disk is slower.
            bool const begun = making_room_ || scope_->spawn("execution.room", make_room(self));
            if (journal_->crowded() || !begun) co_await journal_->make_room();
        }
        Journal::Fill const got = fill_from(*journal_, pump->from->native_handle(), pump->stream);
        if (got.error != 0) log::warn("execution.read_failed", {{"id", id_}, {"errno", got.error}});
        if (got.end || got.error != 0) break;
        if (got.bytes > 0 && !got.drained) {
            if (!std::exchange(large, true)) enlarge_pipe(pump->from->native_handle());
            co_await asio::post(loop_->executor(), kUseTask);  // readers and everybody else have their turn
            continue;
        }
        auto const [ec] = co_await pump->from->async_wait(Descriptor::wait_read, kAsTuple);
        if (ec) break;
    }
    boost::system::error_code ignored;
    pump->from->close(ignored);
}

void Execution::drain_now() {
    for (auto& pump : pumps_) {
        if (!pump.from->is_open()) continue;
        // A pipe holds 1 MiB; more is being written right now and came later.
        for (std::size_t got = 0; got < (2U << 20);) {
            Journal::Fill const more = journal_->fill(pump.from->native_handle(), pump.stream);
            if (more.bytes == 0) break;
            got += more.bytes;
        }
    }
}

Ending Execution::ending_of(ExitStatus const& status) const {
    if (cause_) return *cause_;
    if (out_of_memory(status)) return OomKilled{};
    if (status.signaled) return Signaled{status.value, status.core};
    return Exited{status.value};
}

Task<void> Execution::supervise(std::shared_ptr<Execution> self) {
    while (process_->running()) {
        co_await process_->wait(Deadline::never());
    }
    timeout_.cancel();
    kill_timer_.cancel();
    if (cause_) {
        // Ended on purpose: all of it, also what ignored the signal that its leader obeyed.
        if (cgroup_) (void)cgroup_->kill();
        if (!owner_sweeps_) co_await sweep(self);
    }
    Deadline const grace = Deadline::in(loop_->clock(), kOutputGrace);
    while (open_pumps_ > 0) {
        bool const told = co_await pumps_event_.wait(loop_->clock(), grace);
        if (!told) break;
    }
    // A reactor that is late may not have come to what was written before the end.
    drain_now();

    ExitStatus const& status = process_->status();
    Verdict verdict;
    verdict.ending = ending_of(status);
    if (status.signaled)
        verdict.status = Signaled{status.value, status.core};
    else
        verdict.status = Exited{status.value};
    verdict.usage = usage_of(status.usage);
    if (cgroup_) verdict.usage.peak_memory = cgroup_->peak_memory().value_or(verdict.usage.peak_memory);
    verdict.output_open = open_pumps_ > 0;
    publish(std::move(verdict));

    while (open_pumps_ > 0) {
        co_await pumps_event_.wait();
    }
    pumps_.clear();
    if (own_journal_) journal_->close();
    // What was left running stays in its group, where a later stop() finds it.
    left_nothing_ = cgroup_ && cgroup_->unused();
    if (!cgroup_ || (!cause_ && !left_nothing_)) co_return;
    cgroup_.reset();
    if (cgroup_files::leftovers().many_new()) co_await remove_groups(*loop_);
}

void Execution::publish(Verdict verdict) {
    if (verdict_) return;
    verdict.at = loop_->clock().now();
    verdict.wall = loop_->clock().wall();
    conclude(std::move(verdict));
}

/// Publishes a verdict with the times that it has.
void Execution::conclude(Verdict verdict) {
    verdict_ = std::move(verdict);
    shut_input();
    // The verdict first: a reader that finds its end must find the verdict too.
    if (own_journal_)
        journal_->mark_verdict();
    else
        journal_->changed().notify_all();
    ended_event_.notify_all();
    if (on_ended_) on_ended_(*this);
}

Task<bool> Execution::ended(Deadline deadline) {
    auto const self = shared_from_this();
    while (!verdict_) {
        bool const told = co_await ended_event_.wait(loop_->clock(), deadline);
        if (!told) break;
    }
    co_return verdict_.has_value();
}

Result<void> Execution::signal(int number) {
    if (!process_) return fail(Code::gone, "signal", "the execution has ended");
    return process_->signal_group(number);
}

Task<Result<void>> Execution::write(std::string bytes, Deadline deadline) {
    auto const self = shared_from_this();
    while (input_ && writing_) {
        bool const told = co_await input_event_.wait(loop_->clock(), deadline);
        if (!told) co_return fail(Code::timed_out, "stdin");
    }
    if (!input_) co_return fail(verdict_ ? Code::gone : Code::conflict, "stdin", "it is closed");
    struct Turn {
        Execution* execution;
        explicit Turn(Execution* e) : execution(e) { e->writing_ = true; }
        ~Turn() {
            execution->writing_ = false;
            execution->input_event_.notify_all();
        }
    } const turn(this);
    bool expired = false;
    Timer timer(loop_->clock());
    auto const input = input_;  // the end of the process lets go of it
    timer.arm(deadline, [&input, &expired] {
        expired = true;
        boost::system::error_code ignored;
        input->cancel(ignored);
    });
    auto const [ec, n] = co_await asio::async_write(*input, asio::buffer(bytes), kAsTuple);
    if (expired) co_return fail(Code::timed_out, "stdin", std::to_string(n) + " bytes were written");
    if (ec) co_return fail(Code::disconnected, "stdin", ec.message());
    co_return Result<void>();
}

Task<void> Execution::feed([[maybe_unused]] std::shared_ptr<Execution> self, std::string bytes) {
    auto const result = co_await write(std::move(bytes), Deadline::never());
    if (!result) log::debug("execution.stdin", {{"id", id_}, {"why", result.error().message()}});
    (void)close_input();
}

Result<void> Execution::close_input() {
    if (!input_) return fail(verdict_ ? Code::gone : Code::conflict, "stdin", "it is closed");
    if (terminal_) {
        char const end_of_file = 4;
        if (::write(input_->native_handle(), &end_of_file, 1) != 1) return fail_errno("stdin", errno);
        return {};
    }
    shut_input();
    return {};
}

void Execution::shut_input() {
    if (!input_) return;
    boost::system::error_code ignored;
    input_->close(ignored);
    input_.reset();
    input_event_.notify_all();
}

Result<void> Execution::resize(WindowSize size) {
    if (!terminal_) return fail(Code::conflict, "resize", "not a terminal");
    if (!input_ || verdict_) return fail(Code::gone, "resize", "the execution has ended");
    winsize const window{size.rows, size.columns, 0, 0};
    if (::ioctl(input_->native_handle(), TIOCSWINSZ, &window) != 0) return fail_errno("resize", errno);
    size_ = size;
    return {};
}

bool Execution::echo() const {
    termios mode{};
    return terminal_ && input_ && ::tcgetattr(input_->native_handle(), &mode) == 0 &&
           (mode.c_lflag & ECHO) != 0;
}

Result<void> Execution::set_echo(bool on) {
    if (!terminal_ || !input_) return fail(Code::conflict, "terminal", "not a terminal");
    termios mode{};
    if (::tcgetattr(input_->native_handle(), &mode) != 0) return fail_errno("terminal", errno);
    mode.c_lflag = on ? mode.c_lflag | ECHO : mode.c_lflag & ~static_cast<tcflag_t>(ECHO);
    if (::tcsetattr(input_->native_handle(), TCSANOW, &mode) != 0) return fail_errno("terminal", errno);
    return {};
}

Result<void> Execution::signal_foreground(int number) {
    if (!terminal_ || !input_ || verdict_) return fail(Code::gone, "terminal", "the execution has ended");
    // TIOCSIG would be one call, but gives the signal no target when the foreground group has ended
    // meanwhile.
    pid_t const group = ::tcgetpgrp(input_->native_handle());
    if (group <= 1) return signal(number);
    if (::kill(-group, number) != 0) return fail_errno("signal", errno);
    return {};
}

bool Execution::out_of_memory(ExitStatus const& status) const {
    if (!cgroups_) return false;
    // A shell whose child was killed says 137.
    bool const killed = status.value == (status.signaled ? SIGKILL : 128 + SIGKILL);
    if (cgroup_ && cgroup_->counts_memory()) return killed && cgroup_->oom_kills() > 0;
    if (shared_group_) return killed && shared_group_->oom_kills() > oom_before_;
    return status.signaled && status.value == SIGKILL && cgroups_->own_oom_kills() > oom_before_;
}

void Execution::kill_tree() {
    if (!process_ || left_nothing_) return;
    bool const complete = cgroup_ && cgroup_->kill();
    (void)process_->signal_group(SIGKILL);
    if (complete || sweeping_ > 0 || owner_sweeps_) return;
    scope_->spawn("execution.sweep", sweep(shared_from_this()));
}

/// What left the process group: the walk over /proc runs on the pool, again and again until it finds nothing.
Task<void> Execution::sweep([[maybe_unused]] std::shared_ptr<Execution> self) {
    struct Turn {
        Execution* execution;
        explicit Turn(Execution* e) : execution(e) { ++e->sweeping_; }
        ~Turn() {
            --execution->sweeping_;
            execution->ended_event_.notify_all();
        }
    } const turn(this);
    std::optional<Reaper::Hold> hold;  // the leader's number stays its own during the walk
    TreeQuery query{0, id_};
    if (process_->running()) {
        hold.emplace(process_);
        query.leader = process_->pid();
    }
    auto const work = [&query] { return signal_tree(query, SIGKILL, 50); };
    (void)co_await loop_->pool().run(Lane::search, work);
}

Task<void> Execution::freeze(bool frozen) {
    auto const self = shared_from_this();
    if (verdict_ || !process_) co_return;
    if (cgroup_ && !cgroup_->plain() && cgroup_->freeze(frozen)) co_return;
    Reaper::Hold const hold(process_);
    TreeQuery const query{process_->pid(), id_};
    int const number = frozen ? SIGSTOP : SIGCONT;
    auto const work = [&query, number] { return signal_tree(query, number, 3); };
    (void)co_await loop_->pool().run(Lane::search, work);
}

void Execution::expire(TimedOut::Kind kind) {
    if (verdict_) return;
    if (!cause_) cause_ = TimedOut{kind};
    kill_tree();
}

void Execution::request_stop(Duration grace) {
    if (verdict_) {
        kill_tree();
        cgroup_.reset();
        return;
    }
    if (!cause_) cause_ = Cancelled{};
    if (grace <= Duration::zero()) {
        kill_tree();
        return;
    }
    (void)signal(stop_signal_);
    (void)signal(SIGCONT);  // a stopped process cannot handle it
    if (kill_timer_.armed()) return;
    bool const contained = cgroup_ && !cgroup_->plain();
    if (!contained && !owner_sweeps_ && process_ && process_->running())
        scope_->spawn("execution.end", end_held(*loop_, process_, id_));
    kill_timer_.arm(Deadline::in(loop_->clock(), grace), [weak = weak_from_this()] {
        if (auto me = weak.lock()) me->kill_tree();
    });
}

Task<void> Execution::stop(Duration grace) {
    auto const self = shared_from_this();
    request_stop(grace);
    while (!verdict_ || sweeping_ > 0) {
        co_await ended_event_.wait();
    }
}

}  // namespace execd::shell
