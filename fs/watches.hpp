// The watches that clients hold by id, so that a client can go, come back with its cursor and miss nothing. A
// watch that nobody asked for within its time is closed. And waiting for one path to become what it should.
//
// Thread: the reactor. close() must be awaited before the end.
#pragma once
#include <list>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "base/loop.hpp"
#include "base/scope.hpp"
#include "base/task.hpp"
#include "fs/watch.hpp"

namespace execd::fs {

class Executor;

struct WatchesOptions {
    std::size_t at_most = 64;
    Duration idle = std::chrono::minutes(10);  // without a reader
};

enum class WaitFor : std::uint8_t { exists, gone, changed };
struct Waited {
    bool met = false;  // false: the deadline passed
    bool exists = false;
    std::uint64_t size = 0;
    std::int64_t mtime_ns = 0;
};

class Watches {
  public:
    explicit Watches(Loop& loop, WatchesOptions options = {});
    ~Watches();
    Watches(Watches const&) = delete;
    Watches& operator=(Watches const&) = delete;

    /// exhausted beyond at_most; otherwise as Watch::start.
    [[nodiscard]] Task<Result<std::string>> start(Executor& files, WatchOptions options);
    /// Null for an unknown id. Keeps the watch alive while held; counts as being asked for.
    [[nodiscard]] std::shared_ptr<Watch> find(std::string const& id);
    /// False for an unknown id.
    [[nodiscard]] Task<bool> remove(std::string id);
    [[nodiscard]] std::vector<std::string> ids() const;
    [[nodiscard]] Task<void> close();

    /// Waits until `path` is there, is not there, or is something else than it was when this began. The
    /// directory that will hold it may be missing too: then its nearest parent is waited on. Wakes by
    /// inotify, not by looking again and again.
    [[nodiscard]] Task<Result<Waited>> wait(Executor& files, std::string path, WaitFor what,
                                            Deadline deadline);

  private:
    struct Held {
        std::shared_ptr<Watch> watch;
        TimePoint used{};
    };
    class Waiting;
    void sweep();
    void arm();
    [[nodiscard]] static Task<void> end(std::shared_ptr<Watch> watch);
    Loop* loop_;
    WatchesOptions options_;
    std::map<std::string, Held> held_;
    std::list<std::shared_ptr<Watch>> waiting_;  // of wait()
    bool closed_ = false;
    Timer sweep_;
    Scope scope_;
};

}  // namespace execd::fs
