// Fault injection seam: tests (and `EXECD_FAULT=name:n:errno` in a debug run) make the N-th operation of a
// name fail with an errno. A call site asks before it does the real thing:
//
//   if (int const e = fault::hit("open")) return fail_errno("open", e);
//
// Switched off it costs one relaxed atomic load. Thread: any.
#pragma once
#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>

namespace execd::fault {

namespace detail {
extern std::atomic<bool> g_armed;
int hit_slow(std::string_view name) noexcept;
}  // namespace detail

/// 0, or the errno with which the caller must pretend to fail.
[[nodiscard]] inline int hit(std::string_view name) noexcept {
    return detail::g_armed.load(std::memory_order_relaxed) ? detail::hit_slow(name) : 0;
}

/// From now on the `nth` operation (1 = the next) called `name` fails with `err`; "*" counts every operation.
/// `repeat` makes all later ones fail too.
void arm(std::string name, std::uint64_t nth, int err, bool repeat = false);
/// Reads "name:n:errno"; false when it is not of that form.
[[nodiscard]] bool arm_from_text(std::string_view text);
void disarm() noexcept;
/// True when the armed fault has struck.
[[nodiscard]] bool struck() noexcept;
/// How many operations of the armed name were seen: the number of failure points a test has to visit.
[[nodiscard]] std::uint64_t seen() noexcept;

}  // namespace execd::fault
