// Context: one kernel and its queue of runs. Runs start in order; each can be waited for, read, interrupted,
// cancelled. The context outlives its kernel: after a death the next run gets a fresh one, and is told that
// variables are lost.
//
// Thread: the reactor. Owner: Contexts. close() before destruction.
#pragma once
#include <deque>
#include <functional>
#include <memory>
#include <string>

#include "kernels/grave.hpp"
#include "kernels/place.hpp"
#include "kernels/run.hpp"

namespace execd::kernels {

enum class ContextState { starting, idle, busy, dead, closed };
[[nodiscard]] std::string_view to_string(ContextState) noexcept;

struct ContextSpec {
    /// Empty: a new UUID.
    std::string id{};
    /// A language, its alias, or a kernelspec name.
    std::string language = "python";
    /// Of the kernel; empty: the daemon's. Must exist.
    std::string cwd{};
    /// Over the environment that every kernel gets.
    Env env{};
    std::optional<shell::Identity> identity{};
    std::string owner{};
    /// Of the kernel and all that it starts; what cannot be enforced says Kernel::not_enforced().
    shell::ResourceLimits resources{};
    /// Ended after so long without a run or request; 0: never; absent: as Contexts::Options says.
    std::optional<Duration> idle_timeout{};
    /// A kernel that works on a run and leaves heartbeats unanswered for so long is killed; 0: never (kernels
    /// that answer them from the thread that runs the code would be killed for working).
    Duration heartbeat_timeout{};
    /// False: runs after a death of the kernel fail instead of getting a fresh one.
    bool revive = true;
    std::size_t max_queue = 256;
    /// Finished runs that can still be looked at, and how much their logs may hold together.
    std::size_t keep_runs = 64;
    std::size_t keep_bytes = 32 << 20;
    /// How long a run may go on after an interrupt before its log says that it does.
    Duration patience = std::chrono::seconds(3);
    /// How long one half of a run's end (reply, idle) waits for the other when nothing more is output.
    Duration end_grace = std::chrono::seconds(5);

    /// Whether both ask for the same: who sends a request again gets the context that it made.
    [[nodiscard]] bool same_request(ContextSpec const& other) const;
};

class Context : public std::enable_shared_from_this<Context> {
  public:
    /// Makes a kernel for this context (cold, from the zygote or from the pool).
    using Launch = std::function<Task<Result<KernelPtr>>(ContextSpec, KernelSpec)>;

    /// What it has in common with its sisters.
    struct Shared {
        std::shared_ptr<LogBudget> logs{};
        /// Called when a run has finished.
        std::function<void()> retired{};
        /// Called with a run that is no longer remembered.
        std::function<void(Run const&)> forgotten{};
    };

    Context(Loop& loop, ContextSpec spec, KernelSpec kernelspec, Launch launch, Shared shared);
    ~Context();
    Context(Context const&) = delete;
    Context& operator=(Context const&) = delete;

    /// Brings the first kernel up. On failure the context is of no use: close it.
    [[nodiscard]] Task<Result<void>> start(Deadline deadline);

    [[nodiscard]] std::string const& id() const { return spec_.id; }
    /// As it was asked for.
    [[nodiscard]] std::string const& language() const { return spec_.language; }
    /// Whether this is its language, under whatever name (an alias, the kernelspec's).
    [[nodiscard]] bool speaks(std::string_view language) const;
    [[nodiscard]] ContextSpec const& spec() const { return spec_; }
    [[nodiscard]] KernelSpec const& kernelspec() const { return kernelspec_; }
    [[nodiscard]] ContextState state() const;
    [[nodiscard]] WallTime created() const { return created_; }
    [[nodiscard]] TimePoint last_active() const { return last_active_; }
    /// How many kernels it has had.
    [[nodiscard]] int generation() const { return generation_; }
    /// Null while there is none.
    [[nodiscard]] Kernel* kernel() const { return kernel_.get(); }
    /// Why the last kernel ended by itself; empty while it did not.
    [[nodiscard]] std::string const& death() const { return death_; }
    /// The same for programs (Kernel::cause_kind).
    [[nodiscard]] std::string const& death_kind() const { return death_kind_; }

    // ---- runs

    /// Queues. Code::exhausted when the queue is full, already_exists for a known id, gone when closed,
    /// invalid_argument for an environment or directory that no run can have (place_fault).
    Result<std::shared_ptr<Run>> submit(RunSpec spec);
    [[nodiscard]] std::shared_ptr<Run> find(std::string_view run_id) const;
    /// Finished ones first, oldest first; then the running one, then the queue.
    [[nodiscard]] std::vector<std::shared_ptr<Run>> runs() const;
    [[nodiscard]] std::shared_ptr<Run> current() const { return current_; }
    [[nodiscard]] std::size_t queued() const { return queue_.size(); }
    /// When the finished run that would be forgotten next ended; nothing when it is the only one.
    [[nodiscard]] std::optional<WallTime> oldest_finished() const;
    void forget_oldest();
    /// 0: running, 1: next, ...; nothing when finished or unknown.
    [[nodiscard]] std::optional<std::size_t> position(std::string_view run_id) const;
    /// Out of the queue, or interrupted when it runs. Code::not_found, gone when finished.
    Result<void> cancel(std::string_view run_id);
    /// Interrupts what runs and waits at most `wait` for its end. True: nothing of it runs any more (or
    /// nothing ran); false: the kernel was told, and is still at work.
    [[nodiscard]] Task<Result<bool>> interrupt(Duration wait = {});
    /// The answer to InputRequest. Code::conflict when the run does not wait for one.
    Result<void> answer_input(std::string_view run_id, std::string_view text);

    // ---- the kernel

    /// A fresh kernel. The running run ends as cancelled, queued ones stay.
    [[nodiscard]] Task<Result<void>> restart(Deadline deadline);
    /// complete_request, inspect_request, history_request, is_complete_request ...: the reply's content.
    /// Waits while the kernel is busy.
    [[nodiscard]] Task<Result<Json>> request(std::string type, Json content, Deadline deadline);
    [[nodiscard]] Task<Result<Json>> complete(std::string code, std::size_t cursor, Deadline deadline);
    [[nodiscard]] Task<Result<Json>> inspect(std::string code, std::size_t cursor, int detail,
                                             Deadline deadline);
    [[nodiscard]] Task<Result<Json>> history(std::size_t last, Deadline deadline);
    /// comm_open, comm_msg, comm_close to the kernel (no reply belongs to them).
    Result<void> comm(std::string_view type, Json content, Json metadata = Json::object(),
                      std::vector<std::string> buffers = {});

    /// Outputs of the kernel that belong to no running run: threads that outlive their cell, comms.
    [[nodiscard]] OutputLog& background() { return background_; }
    /// Notified when state, queue or runs change.
    [[nodiscard]] Event& changed() { return changed_; }

    /// While it stands still (its claim is paused, its kernel is frozen) no time passes for it: not that of a
    /// run, not its idle time; and a kernel that is silent is not deaf.
    void stand_still(bool still);
    [[nodiscard]] bool stands_still() const { return still_since_.has_value(); }

    /// Ends the kernel; what runs or waits ends as cancelled. Idempotent.
    [[nodiscard]] Task<void> close(Duration grace);

  private:
    struct Progress;
    [[nodiscard]] Task<void> work(std::shared_ptr<Context> self);
    [[nodiscard]] Task<bool> ready_kernel(std::shared_ptr<Run> run);
    [[nodiscard]] Task<void> revive(std::shared_ptr<Context> self);
    [[nodiscard]] Task<Result<void>> launch(Deadline deadline);
    [[nodiscard]] Task<Result<void>> launch_once(Deadline deadline);
    [[nodiscard]] Task<void> perform(std::shared_ptr<Run> run);
    [[nodiscard]] Task<Result<void>> place(Run const& run);
    [[nodiscard]] Task<void> unplace(Run const& run);
    [[nodiscard]] Result<void> send(Run const& run);
    [[nodiscard]] Task<void> follow(std::shared_ptr<Run> run);
    [[nodiscard]] Task<void> mourn(std::shared_ptr<Run> run);
    [[nodiscard]] bool ended_instead(Run& run);
    [[nodiscard]] bool has_ended() const;
    [[nodiscard]] Deadline next_look() const;
    [[nodiscard]] Deadline start_limit() const;
    void look_at_clock(std::shared_ptr<Run> const& run);
    void probe();
    void conclude(Run& run);
    void on_lost();
    void on_dropped(std::uint64_t messages, std::uint64_t bytes);
    [[nodiscard]] Task<void> stop_running(std::shared_ptr<Context> self, std::shared_ptr<Run> run);
    [[nodiscard]] Task<Result<void>> tell_to_stop(std::shared_ptr<Run> run);
    [[nodiscard]] Task<void> until_begun(std::shared_ptr<Run> run);
    [[nodiscard]] Deadline patience() const;
    void tell_unheeded();
    void fail_run(Run& run, Error const& error);
    void lose_kernel(Run& run, RunOutcome::Kind kind, std::string why);
    std::shared_ptr<Burial> drop_kernel(Duration grace);
    void retire(std::shared_ptr<Run> run);
    [[nodiscard]] bool retry_aborted(Run const& run);
    [[nodiscard]] RunOutcome outcome_of(Run const& run, Message const& reply) const;
    void on_iopub(Message const& message, std::vector<Output> outputs);
    void on_input(Message message);
    void on_death();
    void on_silence(Duration silence);
    void finish(Run& run, RunOutcome outcome);
    void touch();

    Loop* loop_;
    ContextSpec spec_;
    KernelSpec kernelspec_;
    Launch launch_;
    Shared shared_;
    KernelPtr kernel_;
    std::string death_;
    std::string death_kind_;
    int generation_ = 0;
    bool starting_ = false;
    bool restarting_ = false;
    bool reviving_ = false;
    std::optional<Error> revive_error_;
    std::string news_;  // for the next run: what became of the kernel before this one
    bool closed_ = false;
    std::deque<std::shared_ptr<Run>> queue_;
    std::deque<std::shared_ptr<Run>> finished_;
    std::shared_ptr<Run> current_;
    std::unique_ptr<Progress> progress_;
    OutputLog background_;
    WallTime created_;
    TimePoint last_active_;
    std::optional<TimePoint> still_since_;
    Event changed_;
    Scope scope_;
};

}  // namespace execd::kernels
