// Event: what coroutines of one thread wait on. There is no state: notify wakes those who wait now, so the
// pattern is `while (!condition) co_await event.wait(...)`. Replaces the timer-as-condition-variable idiom at
// a tenth of its cost.
//
// Thread: the reactor only. Woken coroutines are posted, never resumed inline, so notify is safe from
// anywhere in the reactor. An Event may be destroyed while coroutines wait: they are woken with `false`.
#pragma once
#include <list>

#include "base/clock.hpp"
#include "base/task.hpp"

namespace execd {

class Event {
  public:
    Event() = default;
    ~Event();
    Event(Event const&) = delete;
    Event& operator=(Event const&) = delete;

    /// True when notified, false when cancelled or when the Event died.
    [[nodiscard]] Task<bool> wait();
    /// The same, and false when the deadline passed first.
    [[nodiscard]] Task<bool> wait(Clock& clock, Deadline deadline);

    void notify_all();
    void notify_one();
    [[nodiscard]] bool has_waiters() const { return !waiters_.empty(); }

    struct Waiter;

  private:
    std::list<std::shared_ptr<Waiter>> waiters_;
};

}  // namespace execd
