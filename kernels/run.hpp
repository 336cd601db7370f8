// Run: one piece of code in a context: queued, running, finished; its outputs for any number of readers.
//
// Thread: the reactor. Ownership: shared by its Context (until retention drops it) and by readers.
#pragma once
#include <memory>
#include <optional>
#include <string>

#include "base/event.hpp"
#include "kernels/kernelspec.hpp"
#include "kernels/output.hpp"

namespace execd::kernels {

struct RunSpec {
    /// Empty: a new UUID.
    std::string id{};
    std::string code{};
    /// For this run only; restored after it. Not every language can: Code::not_supported then.
    std::optional<std::string> cwd{};
    Env env{};
    /// From the moment that it leaves the queue (a kernel that has to be started anew counts): then it is
    /// interrupted, and after `grace` more its kernel is killed. 0: never.
    Duration timeout{};
    Duration grace = std::chrono::seconds(5);
    /// False: input() raises in the kernel.
    bool allow_stdin = false;
    bool store_history = true;
    bool silent = false;
    Json user_expressions = Json::object();
    /// Whether both ask for the same: who sends a request again gets the run that it made.
    [[nodiscard]] bool same_work(RunSpec const& other) const;
};

enum class RunState { queued, running, finished };
[[nodiscard]] std::string_view to_string(RunState) noexcept;

struct RunOutcome {
    enum class Kind {
        ok,
        error,      // the code raised; `error` is set
        cancelled,  // interrupted, or taken out of the queue, or its context was deleted
        timed_out,
        kernel_died,  // `why` is the cause
        failed,       // could not be run at all; `why`, `code`
    };
    Kind kind = Kind::ok;
    /// Also set for an interrupted or timed out run when the kernel reported what that raised.
    std::optional<ErrorOutput> error{};
    std::string why{};
    /// Of a kernel's death, for programs (Kernel::cause_kind).
    std::string cause{};
    Code code = Code::internal;
    int execution_count = 0;
    Json payload = Json::array();
    Json user_expressions = Json::object();
    /// The kernel's "idle" for this run never came: outputs may be missing.
    bool incomplete = false;
};
[[nodiscard]] std::string_view to_string(RunOutcome::Kind) noexcept;

class Run {
  public:
    Run(std::string context_id, RunSpec spec, WallTime now, std::shared_ptr<LogBudget> budget = nullptr);
    Run(Run const&) = delete;
    Run& operator=(Run const&) = delete;

    [[nodiscard]] std::string const& id() const { return spec_.id; }
    /// True when its id came with the request.
    [[nodiscard]] bool named() const { return named_; }
    [[nodiscard]] std::string const& context_id() const { return context_id_; }
    [[nodiscard]] RunSpec const& spec() const { return spec_; }
    [[nodiscard]] RunState state() const { return state_; }
    /// Only when finished.
    [[nodiscard]] RunOutcome const& outcome() const { return *outcome_; }
    [[nodiscard]] OutputLog& log() { return log_; }
    /// In the kernel's count; 0 before the kernel has said it.
    [[nodiscard]] int execution_count() const { return execution_count_; }
    [[nodiscard]] WallTime created() const { return created_; }
    [[nodiscard]] std::optional<WallTime> started() const { return started_; }
    [[nodiscard]] std::optional<WallTime> finished() const { return finished_; }
    /// The prompt that waits for an answer.
    [[nodiscard]] std::optional<InputRequest> const& input() const { return input_; }
    /// True when finished, false when the deadline passed first.
    [[nodiscard]] Task<bool> wait(Clock& clock, Deadline deadline);

  private:
    friend class Context;
    void begin(WallTime now);
    void add(Output output, WallTime now);
    void finish(RunOutcome outcome, WallTime now);

    std::string context_id_;
    RunSpec spec_;
    RunState state_ = RunState::queued;
    std::optional<RunOutcome> outcome_;
    OutputLog log_;
    int execution_count_ = 0;
    WallTime created_;
    std::optional<WallTime> started_;
    std::optional<WallTime> finished_;
    std::optional<InputRequest> input_;
    Json input_parent_;
    bool named_;
    std::optional<ErrorOutput> raised_;
    Event ended_;
};

}  // namespace execd::kernels
