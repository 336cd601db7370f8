// Watching a directory or a single path: inotify on the reactor, recursive, coalesced within a debounce
// window, renames paired; scanning where inotify is exhausted or absent, and saying so. Events have numbers;
// who remembers the last one asks for what came after it, and is told when that is no longer kept.
//
//   auto watch = co_await Watch::start(files.loop(), options);
//   auto batch = co_await (*watch)->after(cursor, 100, deadline);
//
// Thread: the reactor. Walks and scans run on the pool's search lane.
#pragma once
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "base/event.hpp"
#include "base/loop.hpp"
#include "base/scope.hpp"
#include "fs/coalesce.hpp"
#include "fs/glob.hpp"

namespace execd::fs {

struct WatchOptions {
    std::string path{};  // absolute; need not exist when it is to be waited for (its directory must)
    bool recursive = true;
    std::vector<std::string> exclude{};  // globs against name or path below the root
    std::vector<std::string> include{};  // none: everything
    Duration debounce = std::chrono::milliseconds(300);
    Duration scan_every = std::chrono::seconds(1);  // when inotify cannot be had
    std::size_t keep = 4096;                        // events for late readers
    bool scan_only = false;

    explicit WatchOptions(std::string path_ = {}) : path(std::move(path_)) {}
};

struct WatchEvent {
    std::uint64_t number = 0;  // from 1, without gaps
    Change what = Change::write;
    std::string path{};
    std::string old_path{};
    bool directory = false;
    WallTime at{};
};

struct WatchBatch {
    std::vector<WatchEvent> events{};
    std::uint64_t cursor = 0;  // of the last event given (the one asked with when there is none)
    std::uint64_t lost = 0;    // events after the cursor asked with that are no longer kept
    bool ended = false;        // the root is gone: nothing more will come
};

class Executor;

class Watch {
  public:
    /// not_found, permission_denied ... of the root. `files` (whose slots work on file systems that may hang
    /// takes) must outlive it.
    [[nodiscard]] static Task<Result<std::shared_ptr<Watch>>> start(Executor& files, WatchOptions options);
    struct Impl;
    explicit Watch(std::shared_ptr<Impl> impl);
    ~Watch();
    Watch(Watch const&) = delete;
    Watch& operator=(Watch const&) = delete;

    /// Events with numbers above `cursor`; waits for the first until the deadline, then answers empty.
    [[nodiscard]] Task<WatchBatch> after(std::uint64_t cursor, std::size_t limit, Deadline deadline);
    [[nodiscard]] std::uint64_t last() const;
    [[nodiscard]] bool scanning() const;
    [[nodiscard]] bool ended() const;
    [[nodiscard]] WatchOptions const& options() const;
    [[nodiscard]] std::size_t directories() const;
    /// Must be awaited before the last owner lets go; ends the coroutine that reads.
    [[nodiscard]] Task<void> close();

  private:
    std::shared_ptr<Impl> impl_;
};

}  // namespace execd::fs
