// both: two coroutines side by side, waited for together. Cancelling the caller cancels both, and the wait
// still lasts until both have ended: what they borrow from the caller's frame is safe. An exception of either
// is thrown at the end.
#pragma once
#include "base/task.hpp"

namespace execd {

[[nodiscard]] Task<void> both(Task<void> a, Task<void> b);

}  // namespace execd
