// InitProgram: the user's program below execd in init mode, `execd --init -- PROGRAM [ARGUMENT...]`
// (opensandbox-1.1.md §9.4). execd is then what the container is: it gives TERM and INT on to the program and
// ends with the program's status.
//
// Thread: the reactor.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "base/event.hpp"
#include "base/loop.hpp"
#include "shell/environment.hpp"
#include "shell/spawner.hpp"

namespace execd {

class InitProgram {
  public:
    InitProgram(Loop& loop, shell::Spawner& spawner) : loop_(&loop), spawner_(&spawner) {}

    /// Starts it with our own standard streams, in our process group (a terminal is the program's as much as
    /// ours), and waits for its end. A program that cannot be started has ended with 127 (not found) or 126,
    /// as in a shell.
    [[nodiscard]] Task<void> run(std::vector<std::string> argv, shell::Environment const& environment);

    /// Gives a signal on; nothing before the start and after the end. One that comes before the start is
    /// given after it.
    void signal(int number);

    /// Waits for the end, and before that for the start where one is on its way; at the deadline it is
    /// killed.
    [[nodiscard]] Task<void> end(Deadline deadline);

    /// The exit code, or 128 and the signal's number. 0 while it runs.
    [[nodiscard]] int status() const { return status_; }

  private:
    Loop* loop_;
    shell::Spawner* spawner_;
    std::shared_ptr<shell::Process> process_;
    bool starting_ = false;  // it may run already, and we do not know its pid yet
    Event started_;
    int pending_ = 0;
    int status_ = 0;
};

}  // namespace execd
