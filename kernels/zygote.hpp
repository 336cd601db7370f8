// Zygote: a Python process with ipykernel imported that forks kernels (kernels/zygote.py has the protocol and
// the reasons). A forked kernel is our child and an ordinary execution.
//
// Thread: the reactor. Owner: PythonKernels. Dropping it ends the process; its kernels live on.
#pragma once
#include <memory>
#include <string_view>

#include "kernels/connection.hpp"
#include "kernels/kernel.hpp"
#include "kernels/packet_socket.hpp"

namespace execd::kernels {

/// The embedded kernels/zygote.py.
[[nodiscard]] std::string_view zygote_source();

struct ZygoteSpec {
    std::string python;
    Env env;
    /// Its working directory: private and small (imports that fail list it).
    std::string dir;
    std::vector<std::string> preload;
    /// Of the interpreter ("-Xfrozen_modules=off"), before everything else.
    std::vector<std::string> options{};
};

/// A kernel that listens on its connection. While `control` is open it can be told its final place.
struct ForkedKernel {
    std::shared_ptr<shell::Execution> execution;
    PacketSocket control;
};

class Zygote {
  public:
    [[nodiscard]] static Task<Result<std::unique_ptr<Zygote>>> start(Loop& loop,
                                                                     shell::Executions& executions,
                                                                     shell::Reaper& reaper, ZygoteSpec spec,
                                                                     Deadline deadline);
    ~Zygote();
    Zygote(Zygote const&) = delete;
    Zygote& operator=(Zygote const&) = delete;

    [[nodiscard]] bool alive() const { return !broken_ && process_->running(); }
    [[nodiscard]] pid_t pid() const { return process_->pid(); }
    /// How long it may take to say that it has forked, once it is its turn.
    void set_answer_time(Duration time) { answer_time_ = time; }

    /// Comes back when all of the kernel's sockets listen. The cwd must be absolute. Fails with the errno of
    /// a bad directory; with gone, timed_out or decode when the zygote itself is of no use any more.
    [[nodiscard]] Task<Result<ForkedKernel>> fork(Connection connection, LaunchPlace place, std::string label,
                                                  Deadline deadline);

  private:
    Zygote(Loop& loop, shell::Executions& executions, shell::Reaper& reaper,
           std::shared_ptr<shell::Execution> process, PacketSocket socket);
    [[nodiscard]] Task<Result<pid_t>> ask(Json request, std::vector<int> fds, Deadline deadline);

    Loop* loop_;
    shell::Executions* executions_;
    shell::Reaper* reaper_;
    std::shared_ptr<shell::Execution> process_;
    PacketSocket socket_;
    Duration answer_time_ = std::chrono::seconds(3);
    bool broken_ = false;
    bool asking_ = false;
    Event free_;
};

/// Gives a kernel that waits its final directory and environment; afterwards its control socket is closed.
[[nodiscard]] Task<Result<void>> adopt(PacketSocket control, LaunchPlace place, Deadline deadline);

}  // namespace execd::kernels
