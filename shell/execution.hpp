// Execution: one running or finished command: its process, journal, verdict, stdin and deadlines.
//
//   ExecutionSpec spec;
//   spec.argv = shell_argv("echo hi; exit 3", spec.env);
//   auto started = co_await executions.start(std::move(spec));
//   if (!started) co_return reply(started.error());          // bad spec, too many: nothing ran
//   std::shared_ptr<Execution> run = *started;                // a start that failed is a verdict, not an
//   error Cursor cursor = run->journal().reader(); Batch batch; for (; co_await cursor.next(batch, deadline)
//   == Next::data) send(batch); Verdict const& verdict = *run->verdict();                 // cursor at its
//   end: the verdict is there
//
// Nothing here stops when a reader or the caller goes away: whoever wants that calls stop().
//
// Thread: the reactor. Ownership: shared by Executions (until retention drops it) and by whoever uses it.
#pragma once
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/scope.hpp"
#include "shell/cgroup.hpp"
#include "shell/journal.hpp"
#include "shell/reaper.hpp"
#include "shell/spawn_spec.hpp"
#include "shell/verdict.hpp"

namespace execd::shell {

struct WindowSize {
    std::uint16_t columns = 80;
    std::uint16_t rows = 24;
};

enum class Input : std::uint8_t {
    null,   // /dev/null
    pipe,   // write() and close_input()
    bytes,  // `input_bytes`, then end of file
};

struct ExecutionSpec {
    /// Empty: a new one (32 hexadecimal digits).
    std::string id;
    std::vector<std::string> argv;
    /// The program to execute when it is not argv[0].
    std::string program;
    /// Of shell_command(): the same command without its shell, tried first.
    std::vector<std::string> direct;
    /// Complete; EXECD_EXECUTION=<id> is added.
    std::vector<std::string> env;
    std::string cwd;
    std::optional<Identity> identity;
    std::vector<ResourceLimit> limits;
    std::optional<int> umask;
    std::optional<int> nice;
    std::optional<int> oom_score_adj;
    bool no_new_privs = false;

    Input input = Input::null;
    std::string input_bytes;
    /// One pipe for both outputs (exact order between them), all of it Stream::out.
    bool merge_output = false;
    /// A terminal of this size instead of pipes; all output is Stream::tty, `input` is the terminal.
    std::optional<WindowSize> terminal;
    /// More descriptors for the child; sources are borrowed, or owned by `owned`.
    std::vector<FdMap> fds;
    std::vector<UniqueFd> owned;

    /// Put it into a cgroup of its own where that is possible: its end is then complete, its memory known.
    bool contain = false;
    /// Needs a cgroup; what cannot be enforced is said by Execution::not_enforced().
    ResourceLimits resources;
    /// The claim's group.
    std::shared_ptr<Cgroup> cgroup_parent;

    Journal::Options journal;
    /// A journal of the caller's instead: a terminal's goes on over restarts. Neither marked nor closed at
    /// the end.
    std::shared_ptr<Journal> into;
    /// After this the whole tree is killed: TimedOut{hard}. 0: never.
    Duration timeout{};

    /// What asks it politely to end; interactive shells ignore SIGTERM.
    int stop_signal = 15;
    /// The claim it belongs to.
    std::string owner;
    /// What kind of thing it is, for lists ("command", "terminal", "kernel"), and its text for people.
    std::string label;
    std::string text;
    /// Of the request that started it (Executions::start_or_attach).
    std::string digest;
};

class Executions;
struct ExecutionState;

class Execution : public std::enable_shared_from_this<Execution> {
  public:
    ~Execution();
    Execution(Execution const&) = delete;
    Execution& operator=(Execution const&) = delete;

    [[nodiscard]] std::string const& id() const { return id_; }
    [[nodiscard]] std::string const& owner() const { return owner_; }
    [[nodiscard]] std::string const& label() const { return label_; }
    [[nodiscard]] std::string const& text() const { return text_; }
    [[nodiscard]] std::string const& digest() const { return digest_; }
    /// 0 when it never ran.
    [[nodiscard]] pid_t pid() const { return process_ ? process_->pid() : 0; }
    [[nodiscard]] Journal& journal() const { return *journal_; }
    [[nodiscard]] WallTime started_wall() const { return started_wall_; }
    [[nodiscard]] TimePoint started_at() const { return started_at_; }
    [[nodiscard]] bool terminal() const { return terminal_; }

    [[nodiscard]] bool running() const { return !verdict_; }
    [[nodiscard]] std::optional<Verdict> const& verdict() const { return verdict_; }
    /// Waits for the verdict. False: the deadline passed first.
    [[nodiscard]] Task<bool> ended(Deadline deadline);

    /// To the process group. Code::gone after the end.
    Result<void> signal(int number);
    /// Reads into the journal what lies in the pipes at this moment: what the child wrote before something
    /// else it said.
    void drain_now();
    /// Writes all of `bytes` to stdin (or the terminal) in the order of the calls. Fails with disconnected
    /// when nobody can read it any more, conflict when stdin is not a pipe, timed_out with a part written.
    [[nodiscard]] Task<Result<void>> write(std::string bytes, Deadline deadline);
    /// End of file for a pipe; Ctrl-D for a terminal.
    Result<void> close_input();
    Result<void> resize(WindowSize size);
    [[nodiscard]] WindowSize size() const { return size_; }
    /// Whether the terminal shows what is typed.
    [[nodiscard]] bool echo() const;
    Result<void> set_echo(bool on);
    /// To the terminal's foreground job.
    Result<void> signal_foreground(int number);

    /// Ends the whole tree: SIGTERM, after `grace` SIGKILL (0: at once). The verdict is Cancelled. Waits for
    /// it. After its end: kills what it left running.
    [[nodiscard]] Task<void> stop(Duration grace);
    /// The same without waiting.
    void request_stop(Duration grace);
    /// Kills what it started at this tick (process_tree.hpp) or later; the leader lives on. Waits until it is
    /// done.
    [[nodiscard]] Task<void> kill_since(std::uint64_t ticks);
    /// Stops or continues everything in it without ending it.
    [[nodiscard]] Task<void> freeze(bool frozen);
    /// Limits that were asked for and are not in force here.
    [[nodiscard]] std::vector<std::string> const& not_enforced() const { return not_enforced_; }
    /// All that another daemon needs to know of it (shell/execution_state.hpp).
    [[nodiscard]] ExecutionState save() const;
    /// Ends the tree because of an idle rule of its owner: TimedOut{idle}.
    void expire(TimedOut::Kind kind);

  private:
    friend class Executions;
    Execution(Loop& loop, Scope& scope, std::shared_ptr<SpillStore> store, ExecutionSpec const& spec);

    struct Pump {
        Stream stream;
        std::unique_ptr<Descriptor> from;
    };
    void add_pump(Stream stream, UniqueFd fd);
    void began(std::shared_ptr<Process> process, Duration timeout);
    void failed(SpawnFailure const& failure);
    [[nodiscard]] Task<void> pump(std::shared_ptr<Execution> self, Pump* pump);
    [[nodiscard]] Task<void> make_room(std::shared_ptr<Execution> self);
    [[nodiscard]] Task<void> supervise(std::shared_ptr<Execution> self);
    [[nodiscard]] Task<void> feed(std::shared_ptr<Execution> self, std::string bytes);
    [[nodiscard]] Ending ending_of(ExitStatus const& status) const;
    void publish(Verdict verdict);
    void conclude(Verdict verdict);
    void kill_tree();
    [[nodiscard]] Task<void> sweep(std::shared_ptr<Execution> self);
    [[nodiscard]] bool out_of_memory(ExitStatus const& status) const;
    void shut_input();

    Loop* loop_;
    Scope* scope_;
    std::string id_;
    std::string owner_;
    std::string label_;
    std::string text_;
    std::string digest_;
    std::shared_ptr<Journal> journal_;
    bool own_journal_ = true;
    int stop_signal_;
    std::shared_ptr<Process> process_;
    std::list<Pump> pumps_;
    std::size_t open_pumps_ = 0;
    std::shared_ptr<Descriptor> input_;
    bool writing_ = false;
    bool making_room_ = false;
    bool terminal_ = false;
    WindowSize size_;
    Event input_event_;
    Event pumps_event_;
    Event ended_event_;
    std::optional<Verdict> verdict_;
    std::optional<Ending> cause_;
    TimePoint started_at_{};
    WallTime started_wall_{};
    std::optional<TimePoint> deadline_;
    Timer timeout_;
    Timer kill_timer_;
    std::function<void(Execution&)> on_ended_;
    std::shared_ptr<Cgroups> cgroups_;
    std::shared_ptr<Cgroup> cgroup_;
    std::shared_ptr<Cgroup> shared_group_;  // its owner's, with others in it
    std::vector<std::string> not_enforced_;
    std::uint64_t oom_before_ = 0;
    int sweeping_ = 0;
    bool owner_sweeps_ = false;  // its owner ends, and looks for what is left of all in one walk
    bool left_nothing_ = false;  // its group was empty at its end
};

}  // namespace execd::shell
