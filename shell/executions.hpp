// Executions: all of them. Starts, finds, lists, keeps finished ones for a while, and tells subscribers what
// happened.
//
// Thread: the reactor. Owner: the daemon; close() before destruction ends what runs.
#pragma once
#include <deque>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>

#include "shell/execution.hpp"
#include "shell/spawner.hpp"
#include "shell/spill_store.hpp"

namespace execd::shell {

struct Handover;
struct Owner;

/// What happened, for subscribers that may have been away: numbered, the last few hundred are kept.
struct ExecutionEvent {
    /// `owner`: the owner itself (a claim) changed; `label` is its state and `verdict` the cause.
    enum class Kind : std::uint8_t { started, ended, oom, owner } kind = Kind::started;
    std::uint64_t number = 0;  // 1, 2, 3 ...
    std::string id;
    std::string owner;
    std::string label;
    WallTime wall{};
    std::string verdict;  // Verdict::kind() of an end
};

class Executions {
  public:
    struct Options {
        std::size_t finished = 1000;
        /// Bytes of output in memory that all finished records may keep together.
        std::size_t finished_memory = 64 << 20;
        Duration finished_age = std::chrono::hours(24);
        std::size_t running = 4096;
        std::size_t events = 512;
        /// Null: no limits, no out-of-memory verdicts.
        std::shared_ptr<Cgroups> cgroups;
    };
    Executions(Loop& loop, Spawner& spawner, std::shared_ptr<SpillStore> store);
    Executions(Loop& loop, Spawner& spawner, std::shared_ptr<SpillStore> store, Options options);
    ~Executions();
    Executions(Executions const&) = delete;
    Executions& operator=(Executions const&) = delete;

    /// Comes back when the program runs, or with an Execution whose verdict is FailedToStart. An Error means
    /// that nothing was tried: invalid_argument (NUL, empty argv), already_exists (the id), exhausted
    /// (running, descriptors).
    [[nodiscard]] Task<Result<std::shared_ptr<Execution>>> start(ExecutionSpec spec);

    /// Takes over a child that somebody else made for us (a zygote's, that waits for its go): from now on it
    /// is an execution like any other. It leads its process group and has EXECD_EXECUTION=<spec.id> in its
    /// environment; `out` and `err` are our non-blocking ends of its pipes. Errors as start().
    [[nodiscard]] Result<std::shared_ptr<Execution>> adopt(ExecutionSpec spec,
                                                           std::shared_ptr<Process> process, UniqueFd out,
                                                           UniqueFd err);

    /// Moves one that runs without a group (an adopted one) into a cgroup of its own, its leader alone: call
    /// it before that has children. What cannot be enforced, all of it where no group is to be had, is said
    /// by Execution::not_enforced(). Memory it had before stays charged where it was. Code::gone after its
    /// end, conflict when it has a group already.
    [[nodiscard]] Task<Result<void>> contain(std::shared_ptr<Execution> execution, ResourceLimits limits,
                                             std::shared_ptr<Cgroup> parent = nullptr);

    /// Takes over what another daemon's Execution::save() said (shell/execution_state.hpp). One that ran goes
    /// on with what `handover` brings, and is Lost without a process. invalid_argument: the state contradicts
    /// itself; already_exists: the id.
    [[nodiscard]] Result<std::shared_ptr<Execution>> restore(ExecutionState const& state, Handover handover);

    struct Attached {
        std::shared_ptr<Execution> execution;
        bool started = false;  // by this call
    };
    /// `spec.id` names the start and `spec.digest` the request: the same pair again gives the same execution
    /// (also while the first call is still starting it), another digest is a conflict.
    [[nodiscard]] Task<Result<Attached>> start_or_attach(ExecutionSpec spec);

    [[nodiscard]] std::shared_ptr<Execution> find(std::string_view id) const;
    /// Oldest first; an empty owner means all.
    [[nodiscard]] std::vector<std::shared_ptr<Execution>> list(std::string_view owner = {}) const;
    /// Ends all of one owner (a claim) and waits for them.
    [[nodiscard]] Task<void> stop_owner(std::string owner, Duration grace);

    // ---- owners with limits and a gate (claims); owners that were never opened are mere names

    /// What this owner starts from now on joins a group with these limits, where groups can be had; the
    /// record says what is not in force. Opened twice: the same record.
    [[nodiscard]] Task<std::shared_ptr<Owner const>> open_owner(std::string name, ResourceLimits limits);
    /// Stops all of an owner's processes, also what forks meanwhile, and refuses new starts (Code::conflict),
    /// or lets them go on. not_found: not opened; timed_out: some stand still, some do not (they go on).
    [[nodiscard]] Task<Result<void>> freeze_owner(std::string name, bool frozen);
    /// Refuses new starts (Code::gone), ends all that the owner ever started and waits; frozen ones too.
    [[nodiscard]] Task<void> close_owner(std::string name, Duration grace);
    /// A closed one goes on refusing starts until it is forgotten.
    void forget_owner(std::string const& name);
    /// Makes an execution that nobody had used (a kernel that waited ready) this owner's, with all that
    /// follows.
    [[nodiscard]] Task<void> give(std::shared_ptr<Execution> execution, std::string owner);
    /// An event about the owner itself.
    void tell_owner(std::string_view owner, std::string_view state, std::string_view cause);

    /// Forgets a finished one. False when unknown or running.
    bool remove(std::string_view id);
    [[nodiscard]] std::size_t running() const { return running_; }
    /// How many have ended since the start, by Verdict::kind().
    [[nodiscard]] std::map<std::string_view, std::uint64_t> const& endings() const { return endings_; }
    [[nodiscard]] std::size_t size() const { return by_id_.size(); }

    /// Events with a number above `after`, oldest first. What was dropped shows as a jump in the numbers.
    [[nodiscard]] std::vector<ExecutionEvent> events_after(std::uint64_t after) const;
    [[nodiscard]] std::uint64_t last_event() const { return next_event_ - 1; }
    /// Notified at each event.
    [[nodiscard]] Event& events_changed() { return events_changed_; }

    /// Ends everything (SIGTERM, then SIGKILL at half of the time) and refuses new starts.
    [[nodiscard]] Task<void> close(Deadline deadline);
    [[nodiscard]] Scope& scope() { return scope_; }
    [[nodiscard]] std::shared_ptr<SpillStore> const& store() const { return store_; }

  private:
    [[nodiscard]] Task<void> join_cgroup(Execution& execution, ExecutionSpec const& spec, SpawnSpec& child);
    void join_owner(Execution& execution, Owner const& owner, SpawnSpec& child) const;
    /// One of its own in `where`, for killing alone; nothing happens where that is null.
    [[nodiscard]] Task<void> join_plain(Execution& execution, std::shared_ptr<Cgroup::Ready> where,
                                        SpawnSpec& child);
    [[nodiscard]] std::shared_ptr<Owner> owner_of(std::string const& name) const;
    void obey(Owner const& owner, std::shared_ptr<Execution> const& execution);
    [[nodiscard]] Task<bool> stop_processes(std::shared_ptr<Owner> owner);
    [[nodiscard]] Task<void> continue_processes(std::shared_ptr<Owner> owner);
    [[nodiscard]] Task<std::shared_ptr<Cgroup>> enter_group(std::shared_ptr<Execution> execution,
                                                            ResourceLimits limits,
                                                            std::shared_ptr<Cgroup> parent);
    [[nodiscard]] Result<void> check(ExecutionSpec const& spec) const;
    void tell(ExecutionEvent::Kind kind, Execution const& execution);
    void on_ended(Execution& execution);
    void trim();

    Loop* loop_;
    Spawner* spawner_;
    std::shared_ptr<SpillStore> store_;
    Options options_;
    Scope scope_;
    struct Entry {
        std::shared_ptr<Execution> execution;
        std::list<Execution*>::iterator started;
        std::list<Execution*>::iterator ended;  // of a finished one
        std::size_t memory = 0;                 // of a finished one's output
    };
    std::unordered_map<std::string, Entry> by_id_;
    std::list<Execution*> order_;     // as started
    std::list<Execution*> finished_;  // as ended
    std::size_t finished_memory_ = 0;
    std::size_t running_ = 0;
    std::map<std::string_view, std::uint64_t> endings_;
    std::unordered_map<std::string, std::string> starting_;  // id -> digest
    Event starting_event_;
    std::unordered_map<std::string, std::shared_ptr<Owner>> owners_;
    std::uint64_t owners_made_ = 0;
    std::deque<ExecutionEvent> events_;
    std::uint64_t next_event_ = 1;
    bool quiet_ = false;  // nothing is told
    Event events_changed_;
    Timer retention_;
};

}  // namespace execd::shell
