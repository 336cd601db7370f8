// Which thread the kernel prefers while all processors are busy. The reactor's work is short and everybody
// waits for it, so it goes first where the daemon may say so (CAP_SYS_NICE); threads that it starts, and
// through the spawner's thread all children, have the daemon's usual priority.
#pragma once

namespace execd {

/// For the calling thread, the reactor's, and threads that it starts. Once, before the others need
/// lower_priority(). Nothing happens where that is not allowed.
void raise_priority() noexcept;
/// Back to the daemon's usual priority, for the calling thread: first thing in a thread that the reactor
/// started.
void lower_priority() noexcept;

}  // namespace execd
