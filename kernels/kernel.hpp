// Kernel: one kernel process with its client: started, watched, interrupted by the policy of its spec, ended.
//
// Thread: the reactor. Owner: Context (or the ready pool). end() before destruction.
#pragma once
#include <memory>
#include <optional>
#include <string>

#include "kernels/client.hpp"
#include "kernels/kernel_process.hpp"
#include "kernels/kernelspec.hpp"

namespace execd::kernels {

/// How a kernel came up, for figures and for telling when the fast way failed.
enum class StartKind { cold, zygote, pooled };
[[nodiscard]] std::string_view to_string(StartKind) noexcept;

class Kernel {
  public:
    Kernel(Loop& loop, KernelSpec spec, Connection connection, std::unique_ptr<KernelProcess> process,
           std::shared_ptr<ZmqContext> zmq, StartKind kind);
    ~Kernel();
    Kernel(Kernel const&) = delete;
    Kernel& operator=(Kernel const&) = delete;

    /// Waits until the kernel answers; at once when it did already. On failure the error says how the process
    /// ended and what it wrote; the caller ends the kernel.
    [[nodiscard]] Task<Result<void>> connect(Deadline deadline);

    [[nodiscard]] KernelClient& client() { return client_; }
    [[nodiscard]] KernelSpec const& spec() const { return spec_; }
    [[nodiscard]] StartKind kind() const { return kind_; }
    [[nodiscard]] pid_t pid() const { return process_->pid(); }
    /// Runs the silent cell that installs what runs with their own place need (ipykernel; nothing for
    /// others).
    [[nodiscard]] Task<Result<void>> prime(Deadline deadline);
    [[nodiscard]] bool primed() const { return primed_; }
    /// Adds to `env` what marks the kernel's processes as ours, when it is given its environment late.
    void mark(Env& env) const { env["EXECD_EXECUTION"] = process_->id(); }

    /// False from the moment that its end is known.
    [[nodiscard]] bool alive() const { return !dead_; }
    /// After the end: "exit status 3", with the last words of its log.
    [[nodiscard]] std::string const& cause() const { return cause_; }
    /// After the end, for programs: "exited", "signaled", "oom_killed", or "killed" when we did it because it
    /// was silent.
    [[nodiscard]] std::string const& cause_kind() const { return cause_kind_; }
    /// Limits that were asked for and are not in force here.
    [[nodiscard]] std::vector<std::string> const& not_enforced() const { return process_->not_enforced(); }
    /// Why it was started cold although it could have come from a zygote; empty otherwise.
    [[nodiscard]] std::string const& why_cold() const { return why_cold_; }
    void set_why_cold(std::string why) { why_cold_ = std::move(why); }
    /// Called (once, from the reactor) when the process has ended by itself or by end().
    void on_death(std::function<void()> call) { on_death_ = std::move(call); }

    /// While on (a run is being worked on) heartbeats are sent every few seconds, and `on_silence` hears of
    /// each that was not answered: how long there has been no answer; zero when there is one again.
    void attend(bool on);
    void on_silence(std::function<void(Duration)> call) { on_silence_ = std::move(call); }
    /// Since when heartbeats are unanswered, so far; zero while they are answered.
    [[nodiscard]] Duration silence() const { return silence_; }
    /// 5 s.
    [[nodiscard]] Duration heart_rate() const { return heart_every_; }
    void set_heart_rate(Duration every) { heart_every_ = every; }
    /// Ends the process at once, with this cause instead of the signal that it dies of.
    void kill(std::string why);

    /// SIGINT to the process group, or interrupt_request. Code::not_supported for kernels that bear neither.
    [[nodiscard]] Task<Result<void>> interrupt();
    /// shutdown_request, and after `grace` SIGKILL for the whole tree. Closes the client and removes the
    /// connection.
    [[nodiscard]] Task<void> end(Duration grace);

  private:
    [[nodiscard]] Task<void> watch();
    [[nodiscard]] Task<void> heart();
    [[nodiscard]] Task<void> stop_process();
    [[nodiscard]] std::string last_words() const;

    Loop* loop_;
    KernelSpec spec_;
    Connection connection_;
    std::unique_ptr<KernelProcess> process_;
    StartKind kind_;
    KernelClient client_;
    bool connected_ = false;
    bool primed_ = false;
    bool dead_ = false;
    bool ending_ = false;
    std::string cause_;
    std::string cause_kind_;
    std::string why_cold_;
    std::string killed_why_;
    std::function<void()> on_death_;
    std::function<void(Duration)> on_silence_;
    Duration heart_every_ = std::chrono::seconds(5);
    Duration silence_{};
    bool attended_ = false;
    Event attend_changed_;
    Scope scope_;
};

/// What a kernel process is started with.
struct LaunchPlace {
    std::string cwd;
    Env env;  // complete
    std::optional<shell::Identity> identity;
    std::string owner;
    shell::ResourceLimits resources{};
};

/// Starts `spec` as an execution, not yet connected. A kernelspec whose program is missing is
/// Code::unavailable.
[[nodiscard]] Task<Result<std::unique_ptr<Kernel>>> start_cold(Loop& loop, shell::Executions& executions,
                                                               std::shared_ptr<ZmqContext> zmq,
                                                               RuntimeDir const& dir, KernelSpec spec,
                                                               LaunchPlace place);

[[nodiscard]] std::vector<std::string> env_list(Env const& env);

}  // namespace execd::kernels
