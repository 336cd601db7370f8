// PythonKernels: the fast ways to an ipykernel: forked from a zygote, or taken from a small pool of kernels
// that wait ready, connected and warmed up. One zygote and pool per kernelspec, started with its first use;
// what does not fit (another user, PYTHON* or LD_* in the environment, extra arguments) or fails is the
// caller's cold start.
//
// Thread: the reactor. Owner: Contexts. close() before destruction.
#pragma once
#include <deque>
#include <map>
#include <memory>
#include <string>

#include "kernels/grave.hpp"
#include "kernels/zygote.hpp"

namespace execd::kernels {

class PythonKernels {
  public:
    struct Options {
        /// Of zygotes and waiting kernels, complete.
        Env env{};
        /// Kernels that wait ready, per kernelspec.
        std::size_t ready = 1;
        std::vector<std::string> preload{};
        /// So long the zygote may take to say that it has forked; then it counts as stuck and is replaced.
        Duration answer = std::chrono::seconds(3);
        /// After a kernel was handed out the next one is made this much later: not while the first cell runs.
        Duration refill_after = std::chrono::milliseconds(300);
        /// So long kernels start cold after a zygote did not come up.
        Duration retry_after = std::chrono::seconds(60);
    };
    struct Status {
        std::string kernelspec;
        bool zygote = false;
        std::size_t ready = 0;
        /// Why kernels start cold now; empty when they do not.
        std::string problem;
        std::uint64_t forked = 0;
        std::uint64_t handed_out = 0;
    };

    PythonKernels(Loop& loop, shell::Executions& executions, shell::Reaper& reaper,
                  std::shared_ptr<ZmqContext> zmq, RuntimeDir const& dir, Grave& grave, Options options);
    ~PythonKernels();
    PythonKernels(PythonKernels const&) = delete;
    PythonKernels& operator=(PythonKernels const&) = delete;

    /// Whether this kernelspec, as it would be started at this place, can come from a zygote.
    [[nodiscard]] bool suits(KernelSpec const& spec, LaunchPlace const& place) const;
    /// A kernel from the pool (already connected) or the zygote. A bad directory is an error of its own
    /// (not_found, not_a_directory, permission_denied); everything else means: start cold.
    [[nodiscard]] Task<Result<KernelPtr>> start(KernelSpec spec, LaunchPlace place);
    /// Starts zygote and pool; comes back when the pool is full or the zygote failed.
    [[nodiscard]] Task<Result<void>> prewarm(KernelSpec spec);

    [[nodiscard]] std::vector<Status> status() const;
    [[nodiscard]] Task<void> close(Deadline deadline);

  private:
    struct Ready {
        KernelPtr kernel;
        PacketSocket control;
    };
    struct Family {
        KernelSpec spec;
        Env env;  // of the zygote
        std::unique_ptr<Zygote> zygote;
        bool starting = false;
        bool filling = false;
        std::string problem;
        TimePoint retry_at{};
        std::deque<Ready> pool;
        std::uint64_t forked = 0;
        std::uint64_t handed_out = 0;
        Event changed;
    };
    [[nodiscard]] std::shared_ptr<Family> family(KernelSpec const& spec);
    [[nodiscard]] Task<Result<void>> ready_zygote(std::shared_ptr<Family> family, Deadline deadline);
    [[nodiscard]] Task<Result<Ready>> fork(std::shared_ptr<Family> family, LaunchPlace place, StartKind kind,
                                           Deadline deadline);
    [[nodiscard]] Task<Result<KernelPtr>> hand_out(std::shared_ptr<Family> family, LaunchPlace const& place);
    void refill(std::shared_ptr<Family> const& family, Duration after);
    [[nodiscard]] Task<void> fill(std::shared_ptr<Family> family, Duration after);

    Loop* loop_;
    shell::Executions* executions_;
    shell::Reaper* reaper_;
    std::shared_ptr<ZmqContext> zmq_;
    RuntimeDir const* dir_;
    Grave* grave_;
    Options options_;
    std::string default_cwd_;
    std::map<std::string, std::shared_ptr<Family>> families_;
    Scope scope_;
};

}  // namespace execd::kernels
