// Reaper: the one owner of every exit status in the daemon, and Process: one child as the rest of the daemon
// sees it.
//
// How: SIGCHLD wakes the reactor; waitid(P_ALL, WNOWAIT) names an ended child; a registered one is waited for
// by its pid and its Process told; an unknown one is an orphan that the kernel gave us (we are a subreaper,
// maybe PID 1) and is taken away at once, unless a spawn is in flight: then the unknown pid may be that
// spawn's child, and everything unknown stays a zombie until the spawn has reported. A zombie's pid cannot be
// reused, so no status can ever go to the wrong Process, and every pid a Process signals is its own. That is
// why no pidfd is needed (one descriptor less per child, and kernels and seccomp profiles without pidfd work
// the same).
//
// Nobody else in this program may wait for children (no system(), no popen(), no waitpid()).
//
// Thread: the reactor. The Reaper must outlive every Process's waiters, not the Processes themselves.
#pragma once
#include <sys/resource.h>
#include <sys/types.h>

#include <memory>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "base/event.hpp"
#include "base/loop.hpp"

namespace execd::shell {

/// How a process ended, as the kernel said it.
struct ExitStatus {
    bool signaled = false;
    bool core = false;
    /// The exit code, or the signal's number.
    int value = 0;
    rusage usage{};
    /// When the reaper took it.
    TimePoint at{};
};

class Reaper;

/// A child of ours. Shared: the last owner may let go while it runs (it is then reaped as an orphan).
class Process {
  public:
    ~Process();
    Process(Process const&) = delete;
    Process& operator=(Process const&) = delete;

    [[nodiscard]] pid_t pid() const { return pid_; }
    [[nodiscard]] bool running() const { return !status_; }
    /// Only after the end.
    [[nodiscard]] ExitStatus const& status() const { return *status_; }
    /// True when ended, false when the deadline passed first (or the wait was cancelled).
    [[nodiscard]] Task<bool> wait(Deadline deadline);

    /// To the process alone. Code::gone after its end.
    Result<void> signal(int number);
    /// To its process group (it must lead one). Code::gone after its end: the group's number may be somebody
    /// else's then.
    Result<void> signal_group(int number);
    /// Dropping the last owner of a running process kills its group. For helpers that nobody may outlive.
    void kill_when_dropped() { kill_when_dropped_ = true; }

  private:
    friend class Reaper;
    struct Key {};

  public:
    Process(Key, std::weak_ptr<void> reaper, Clock& clock, pid_t pid);

  private:
    void ended(ExitStatus const& status);
    std::weak_ptr<void> reaper_;
    Clock* clock_;
    pid_t pid_;
    std::optional<ExitStatus> status_;
    Event ended_;
    bool kill_when_dropped_ = false;
    int holds_ = 0;
};

class Reaper {
  public:
    /// Becomes a child subreaper and starts to listen for SIGCHLD.
    explicit Reaper(Loop& loop);
    ~Reaper();
    Reaper(Reaper const&) = delete;
    Reaper& operator=(Reaper const&) = delete;

    /// While one of these lives, unknown pids are left alone (see above). Made before the spawn, ended by
    /// `adopt` or by its destruction on the reactor.
    class Flight {
      public:
        explicit Flight(Reaper& reaper);
        ~Flight() { land(); }
        Flight(Flight&& other) noexcept : state_(std::move(other.state_)) {}
        Flight& operator=(Flight&&) = delete;
        void land();

      private:
        std::shared_ptr<void> state_;
    };

    /// While one of these lives, an ended process stays a zombie and its number is nobody else's: for work
    /// elsewhere (a walk over /proc) that goes by that number.
    class Hold {
      public:
        explicit Hold(std::shared_ptr<Process> process);
        ~Hold();
        Hold(Hold const&) = delete;
        Hold& operator=(Hold const&) = delete;

      private:
        std::shared_ptr<Process> process_;
    };

    /// Registers a child (of the spawner, or one that a zygote left to us while it waits for its go). If it
    /// has ended already its status is there at once.
    [[nodiscard]] std::shared_ptr<Process> adopt(pid_t pid);

    [[nodiscard]] std::size_t registered() const;
    /// Orphans taken away so far.
    [[nodiscard]] std::uint64_t orphans() const;

    struct State;

  private:
    [[nodiscard]] static bool held(Process const& process);
    std::shared_ptr<State> state_;
};

}  // namespace execd::shell
