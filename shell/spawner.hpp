// Spawner: one permanent thread that starts every process of the daemon. The reactor hands it a SpawnSpec and
// goes on; clone and execve (0.1 to 40 ms under load) never stall it.
//
//   SpawnSpec spec;
//   spec.argv = {"/bin/cat", "file"};
//   spec.env = {"PATH=/usr/bin:/bin"};
//   spec.fds = {{pipe_end.get(), 1}};
//   spec.owned.push_back(std::move(pipe_end));
//   auto started = co_await spawner.spawn(std::move(spec));
//   if (!started) co_return tl::unexpected(started.error().to_error());
//   std::shared_ptr<Process> cat = *started;
//   co_await cat->wait(Deadline::in(clock, 5s));
//
// Thread: spawn() is awaited on the reactor. Must outlive its callers; destroying it waits for the spawn at
// hand.
#pragma once
#include <functional>
#include <memory>

#include "shell/clone_child.hpp"
#include "shell/reaper.hpp"
#include "shell/spawn_spec.hpp"

namespace execd::shell {

class Spawner {
  public:
    Spawner(Loop& loop, Reaper& reaper);
    ~Spawner();
    Spawner(Spawner const&) = delete;
    Spawner& operator=(Spawner const&) = delete;

    /// Comes back when the program runs (execve succeeded) or with the step that failed. Not cancellable
    /// midway (the thread holds the spec); a caller that was cancelled meanwhile gets the Process and its
    /// next co_await throws, which drops it: use Process::kill_when_dropped or stop it where that matters.
    [[nodiscard]] Task<tl::expected<std::shared_ptr<Process>, SpawnFailure>> spawn(SpawnSpec spec);

    /// Waiting to be started, the one at hand included.
    [[nodiscard]] std::size_t queued() const;

  private:
    struct State;
    void submit(SpawnSpec spec, std::function<void(CloneResult)> done);
    Loop* loop_;
    Reaper* reaper_;
    std::unique_ptr<State> state_;
};

}  // namespace execd::shell
