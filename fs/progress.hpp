// How far the work of a thread has come: reading and writing tell it, who waits for the thread looks at it
// and can tell a slow file system from a dead one (fs/executor.hpp).
#pragma once
#include <atomic>
#include <cstdint>

namespace execd::fs {

/// Counts the steps of one thread's work. Written by that thread, read by any.
using Steps = std::atomic<std::uint64_t>;

/// While it lives, what this thread reads and writes counts in `steps` (not owned, must outlive it). Not
/// nested.
class CountSteps {
  public:
    explicit CountSteps(Steps& steps);
    ~CountSteps();
    CountSteps(CountSteps const&) = delete;
    CountSteps& operator=(CountSteps const&) = delete;
};

/// A piece was read or written. Any thread.
void count_step();

/// Bytes read or written in one step at most: few enough for a slow server to answer within the patience of
/// who waits.
inline constexpr std::size_t kStep = 1U << 20U;

}  // namespace execd::fs
