// Files under another identity (opensandbox-1.1 section 5): each operation runs in a process of our own
// binary, `execd fs-worker`, under the user's uid, gid and groups. The daemon's own credentials never change.
// A worker does one operation at a time, is kept for the next of the same identity, ends when idle, and is
// killed when the one who asked goes away or the deadline passes (then a FIFO or a dead mount holds nobody
// but the worker).
//
// Files that a worker opens come back as descriptors: bulk data never crosses the channel.
//
// Thread: the reactor, but for worker_main.
#pragma once
#include <memory>

#include "base/error.hpp"
#include "base/loop.hpp"
#include "fs/executor.hpp"
#include "shell/spawn_spec.hpp"

namespace execd::shell {
class Spawner;
}

namespace execd::fs {

/// The worker's whole life: serves operations on `socket` until its other end closes. The exit code.
int worker_main(int socket);
/// The descriptor that a worker finds its socket at.
inline constexpr int kWorkerSocket = 3;

struct WorkerOptions {
    /// Our own binary, opened at start (borrowed), and the arguments that make it a worker.
    int program_fd = -1;
    std::vector<std::string> argv{"execd", "fs-worker"};
    std::size_t max_processes = 16;
    Duration idle = std::chrono::seconds(30);
    Duration metadata_deadline = std::chrono::seconds(30);
    Duration bulk_deadline = std::chrono::hours(1);
};

/// uid and gid with the groups of /etc/group if the uid is known there, otherwise none.
[[nodiscard]] shell::Identity identity_of(std::uint32_t uid, std::uint32_t gid);

class Workers {
  public:
    /// `files`: whose slots, mounts and held files the identities share; it must outlive the Workers.
    Workers(Loop& loop, shell::Spawner& spawner, WorkerOptions options, Executor const* files = nullptr);
    ~Workers();
    Workers(Workers const&) = delete;
    Workers& operator=(Workers const&) = delete;

    /// Cheap: processes start with the first operation. unavailable (where "fs.identity") from operations
    /// when the identity cannot be taken; there is no fallback. Outlives nothing: the Workers must outlive
    /// it.
    [[nodiscard]] std::shared_ptr<Executor> as(std::uint32_t uid, std::uint32_t gid);

    [[nodiscard]] std::size_t processes() const;
    /// Closes the idle ones; those at work end with their operation.
    void close_idle();

    struct State;

  private:
    std::shared_ptr<State> state_;
};

}  // namespace execd::fs
