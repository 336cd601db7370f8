// Session: a long-lived shell (bash, or sh where there is none) in which one command after another runs, on
// pipes. Variables, functions, aliases, options, jobs and the working directory live on. The end of a
// command, its status and its directory come over a private control channel: nothing is ever added to the
// output, and nothing in the output can fake an end.
//
// How: the shell is interactive on a pipe, because only then SIGINT drops the command at hand and keeps the
// shell. The text travels in a memory file (any size, any bytes but NUL); the shell reads a runner that evals
// it with stdin from /dev/null and the private descriptors closed. A second line reports; SIGINT discards the
// first only. When the shell itself ends (exit, exec, set -e, a kill) that is the command's answer, and the
// next command gets a new shell with the remembered environment and directory.
//
// sh (session_script.hpp): the state that it has; `exec` on the descriptors 7 to 9 lasts for one command, and
// of `set -x` while a command failed the shell itself the rest is not traced.
//
// On a terminal (bash only) the same, except that the report is made where the prompt would be, and stdin is
// the terminal.
//
// Known limits: output of background jobs appears in the journal range of whatever runs then; an interrupted
// bash adds one newline to stderr; a DEBUG trap also sees the runner.
//
// Thread: the reactor. Ownership: shared; close() ends the shell.
#pragma once
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "shell/environment.hpp"
#include "shell/executions.hpp"
#include "shell/former.hpp"
#include "shell/session_script.hpp"

namespace execd::shell {

/// How one command of a session ended.
struct RunEnd {
    enum class Kind : std::uint8_t {
        completed,     // the command returned `status`
        shell_exited,  // the shell ended (exit 7, exec, set -e, a signal): `verdict` says how
        timed_out,     // its timeout passed: it was interrupted, and what it had started killed
        closed,        // the session was closed
    } kind = Kind::completed;
    /// As $?; of an exited shell its exit code or 128 + signal.
    int status = 0;
    /// interrupt() was called while it ran.
    bool interrupted = false;
    std::optional<Verdict> verdict;
};

class Session;

class SessionRun {
  public:
    [[nodiscard]] std::string const& id() const { return id_; }
    /// Of the request that started it (Session::run_or_attach); empty for others.
    [[nodiscard]] std::string const& digest() const { return digest_; }
    [[nodiscard]] std::optional<RunEnd> const& end() const { return end_; }
    [[nodiscard]] bool running() const { return !end_; }
    [[nodiscard]] WallTime started_wall() const { return started_wall_; }
    [[nodiscard]] TimePoint started_at() const { return started_at_; }
    /// All output of this command (and of background jobs meanwhile).
    [[nodiscard]] Cursor reader(StreamMask streams = kAllStreams) const;
    [[nodiscard]] Journal& journal() const { return *journal_; }
    [[nodiscard]] Position const& began() const { return began_; }

    enum class Waited : std::uint8_t { ended, deadline, no_change };
    /// Until it ends, the deadline passes, or no output came for `no_change` (0: not looked at).
    [[nodiscard]] Task<Waited> wait(Deadline deadline, Duration no_change = {});

  private:
    friend class Session;
    Loop* loop_ = nullptr;
    std::string id_;
    std::string digest_;
    std::shared_ptr<Journal> journal_;
    Position began_;
    std::shared_ptr<Mark> mark_ = std::make_shared<Mark>();
    std::optional<RunEnd> end_;
    std::uint64_t began_tick_ = 0;
    bool interrupted_ = false;
    bool timed_out_ = false;
    TimePoint started_at_{};
    WallTime started_wall_{};
    Event ended_event_;
};

class Session : public std::enable_shared_from_this<Session> {
  public:
    struct Options {
        std::string id;
        /// Of the request that opens it (Sessions::open_or_attach).
        std::string digest;
        std::string owner;
        Environment environment;
        std::string cwd;
        std::optional<Identity> identity;
        /// stderr goes where stdout goes (one stream, exact order).
        bool merge_output = false;
        /// On a terminal of this size instead of pipes: commands can be typed to (write()), jobs have
        /// control.
        std::optional<WindowSize> terminal;
        Journal::Options journal{.keep = Keep::all};
        ResourceLimits resources;
        std::shared_ptr<Cgroup> cgroup_parent;
    };
    /// Starts the shell. unavailable: no bash for a terminal; otherwise what Executions::start says, or the
    /// failed step.
    [[nodiscard]] static Task<Result<std::shared_ptr<Session>>> open(Loop& loop, Executions& executions,
                                                                     Options options);

    struct RunSpec {
        std::string text{};
        /// Changes to it first; a directory that cannot be entered makes status 1 without running the text.
        std::string cwd{};
        /// Exported into the session first.
        std::vector<std::pair<std::string, std::string>> exports{};
        /// After this the command is interrupted; what it started is killed, and its shell too when it does
        /// not come back. 0: never.
        Duration timeout{};
        /// What a new shell would get by now: names whose value there changed since the last command are
        /// exported first, what the session itself set stays.
        std::optional<Environment> environment{};
        /// Busy: wait for the turn, or conflict.
        bool queue = true;
        /// For run_or_attach().
        std::string id{};
        std::string digest{};
    };
    /// Comes back when the command has started.
    [[nodiscard]] Task<Result<std::shared_ptr<SessionRun>>> run(RunSpec spec);
    /// `spec.id` names the start and `spec.digest` the request: the same pair again gives the same command
    /// (also while the first call waits for its turn), as long as it is among the last 64 that were started
    /// so; another digest: already_exists. Its output is kept whole until the session's next command begins;
    /// of older ones it may be gone, which readers are told.
    [[nodiscard]] Task<Result<std::shared_ptr<SessionRun>>> run_or_attach(RunSpec spec);
    /// A command that run_or_attach() started; null for others.
    [[nodiscard]] std::shared_ptr<SessionRun> find(std::string_view id) const;
    /// SIGINT to the command at hand. conflict when none runs.
    Result<void> interrupt();
    /// Ends this command if it still runs, as its timeout would, but what it left in the background stays:
    /// its caller has gone away.
    void abandon(std::shared_ptr<SessionRun> run);
    /// To what reads the terminal. conflict on pipes.
    [[nodiscard]] Task<Result<void>> write(std::string bytes, Deadline deadline);
    /// Any signal to the shell's group, whatever runs.
    Result<void> signal(int number);
    /// Ends the shell and all it started, also what the shells before it left running.
    [[nodiscard]] Task<void> close(Duration grace = {});
    /// While it stands still (its claim is paused, its processes are frozen) no time passes for its command:
    /// not its timeout, nor the patience with which it is interrupted.
    void stand_still(bool still);

    [[nodiscard]] std::string const& id() const { return options_.id; }
    [[nodiscard]] std::string const& owner() const { return options_.owner; }
    [[nodiscard]] std::string const& digest() const { return options_.digest; }
    /// As of the last command's end.
    [[nodiscard]] std::string const& cwd() const { return cwd_; }
    [[nodiscard]] bool busy() const { return current_ != nullptr; }
    [[nodiscard]] bool closed() const { return closed_; }
    [[nodiscard]] std::shared_ptr<SessionRun> current() const { return current_; }
    /// The last command, running or not.
    [[nodiscard]] std::shared_ptr<SessionRun> last() const { return last_; }
    /// The shell of now (a new one after each reopening); null before the first.
    [[nodiscard]] std::shared_ptr<Execution> execution() const { return execution_; }
    [[nodiscard]] TimePoint last_used() const { return last_used_; }

  private:
    Session(Loop& loop, Executions& executions, Options options);
    struct Report {
        int status = 0;
        std::string cwd;
        std::string exports;
    };
    [[nodiscard]] ExecutionSpec shell_spec(std::string path) const;
    [[nodiscard]] std::string setup_lines() const;
    [[nodiscard]] Task<Result<void>> open_shell();
    [[nodiscard]] Task<Result<void>> send(std::string text, std::string prefix);
    [[nodiscard]] Task<Result<void>> send_on_terminal(std::string lines, Deadline deadline);
    /// What the shell tells under this tag; nothing when the control channel ended or the deadline passed.
    [[nodiscard]] Task<std::optional<Report>> report(std::string tag, Deadline deadline);
    [[nodiscard]] Task<void> ask_again(std::shared_ptr<Session> self, std::shared_ptr<SessionRun> run);
    Result<void> interrupt_now();
    [[nodiscard]] Task<void> watch(std::shared_ptr<Session> self, std::shared_ptr<SessionRun> run,
                                   std::string text, std::string prefix);
    [[nodiscard]] Task<void> put_down(std::shared_ptr<Session> self, std::shared_ptr<SessionRun> run);
    [[nodiscard]] TimePoint own_now() const;
    [[nodiscard]] Task<bool> ended_within(std::shared_ptr<SessionRun> run, Duration patience);
    void arm_timeout(std::shared_ptr<SessionRun> const& run, Duration left);
    [[nodiscard]] static Result<void> check(RunSpec const& spec);
    [[nodiscard]] std::string prefix_of(RunSpec const& spec);
    void finish(std::shared_ptr<SessionRun> const& run, RunEnd end);
    void name(std::shared_ptr<SessionRun> const& run);
    [[nodiscard]] bool shell_alive() const {
        return ready_ && execution_ && execution_->running() && control_ != nullptr;
    }

    Loop* loop_;
    Executions* executions_;
    Options options_;
    std::string cwd_;
    SessionScript script_;
    std::string exports_;  // as the shell printed them
    std::shared_ptr<Execution> execution_;
    Former former_;
    std::shared_ptr<Descriptor> control_;
    std::string control_bytes_;
    UniqueFd source_;
    UniqueFd go_;
    std::shared_ptr<SessionRun> current_;
    std::shared_ptr<SessionRun> last_;
    std::deque<std::shared_ptr<SessionRun>> named_;             // by run_or_attach(), oldest first
    std::map<std::string, std::string, std::less<>> starting_;  // id -> digest
    std::unique_ptr<Cursor> kept_;  // nothing behind it is forgotten: the output of the newest named one
    std::deque<std::uint64_t> queue_;
    std::uint64_t next_ticket_ = 0;
    std::uint64_t number_ = 0;
    Event turn_;
    bool ready_ = false;
    bool closed_ = false;
    Timer timeout_;
    TimePoint timeout_at_{};  // of own_now(), while it is armed or held
    bool timeout_held_ = false;
    std::optional<TimePoint> still_since_;
    Duration stood_still_{};  // so far, without the present time
    TimePoint last_used_{};
};

}  // namespace execd::shell
