#include "base/priority.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>

namespace execd {

namespace {
// Nine times the weight of a usual thread: beside as many as there are processors it hardly waits.
constexpr int kPreferred = 10;
constexpr int kUnchanged = 100;  // no nice value
std::atomic<int> usual{kUnchanged};
}  // namespace

// Linux sets the nice value of the one thread with this number, not of the process.
void raise_priority() noexcept {
    errno = 0;
    int const now = ::getpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()));
    if (now == -1 && errno != 0) return;
    if (::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), std::max(now - kPreferred, -20)) == 0)
        usual.store(now);
}

void lower_priority() noexcept {
    int const before = usual.load();
    if (before != kUnchanged)
        static_cast<void>(::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), before));
}

}  // namespace execd
