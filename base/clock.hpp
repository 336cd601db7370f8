// Time. Everything that waits takes a Clock, so that tests run in virtual time: a VirtualClock only moves
// when a test says so, and fires its timers in order of their due time.
//
// Thread: a Clock belongs to the reactor thread, except now() and wall(), which any thread may call on a
// RealClock.
#pragma once
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>

#include "base/task.hpp"

namespace execd {

using Duration = std::chrono::nanoseconds;
using TimePoint = std::chrono::steady_clock::time_point;
using WallTime = std::chrono::system_clock::time_point;

class Clock;

/// A point in time after which a wait gives up. Travels by value through signatures instead of loose
/// timeouts.
class Deadline {
  public:
    /// Never passes.
    constexpr Deadline() = default;
    constexpr explicit Deadline(TimePoint at) : at_(at) {}
    [[nodiscard]] static Deadline in(Clock const& clock, Duration d);
    [[nodiscard]] static constexpr Deadline never() { return Deadline(); }

    [[nodiscard]] constexpr bool is_never() const { return at_ == TimePoint::max(); }
    [[nodiscard]] constexpr TimePoint at() const { return at_; }
    [[nodiscard]] bool passed(Clock const& clock) const;
    /// Not negative; Duration::max() for never.
    [[nodiscard]] Duration left(Clock const& clock) const;
    friend constexpr Deadline earliest(Deadline a, Deadline b) { return a.at_ < b.at_ ? a : b; }
    friend constexpr bool operator==(Deadline, Deadline) = default;

  private:
    TimePoint at_ = TimePoint::max();
};

/// One callback at one time. Destroying or cancelling it before means that the callback never runs. Does not
/// own what the callback touches: the owner of the Timer must be the owner (or outlived by the owner) of
/// that.
class Timer {
  public:
    explicit Timer(Clock& clock) : clock_(&clock) {}
    ~Timer() { cancel(); }
    Timer(Timer const&) = delete;
    Timer& operator=(Timer const&) = delete;

    /// Arms (again); a Deadline of never only cancels. The callback runs from the reactor, never inline.
    void arm(Deadline at, std::function<void()> fire);
    void cancel();
    [[nodiscard]] bool armed() const { return armed_; }

  private:
    friend class Clock;
    Clock* clock_;
    std::multimap<TimePoint, Timer*>::iterator place_{};
    std::function<void()> fire_;
    std::uint64_t serial_ = 0;
    bool armed_ = false;
};

class Clock {
  public:
    virtual ~Clock();
    [[nodiscard]] virtual TimePoint now() const = 0;
    [[nodiscard]] virtual WallTime wall() const = 0;
    /// Waits until `at` (or cancellation, which returns early without throwing). True when the time has come.
    [[nodiscard]] Task<bool> sleep_until(Deadline at);
    [[nodiscard]] Task<bool> sleep_for(Duration d) { return sleep_until(Deadline::in(*this, d)); }
    [[nodiscard]] std::size_t armed_timers() const { return due_.size(); }

  protected:
    friend class Timer;
    /// The earliest due time changed (TimePoint::max() = nothing armed).
    virtual void earliest_changed(TimePoint at) = 0;
    /// Runs everything due at `now` that was armed before the call, in order of due time.
    void fire_due(TimePoint now);
    [[nodiscard]] TimePoint next_due() const { return due_.empty() ? TimePoint::max() : due_.begin()->first; }

  private:
    std::multimap<TimePoint, Timer*> due_;
    std::uint64_t armed_so_far_ = 0;
};

/// The steady clock on an io_context; one kernel timer serves all Timers.
class RealClock final : public Clock {
  public:
    explicit RealClock(asio::io_context& io);
    ~RealClock() override;
    [[nodiscard]] TimePoint now() const override { return std::chrono::steady_clock::now(); }
    [[nodiscard]] WallTime wall() const override { return std::chrono::system_clock::now(); }

  private:
    void earliest_changed(TimePoint at) override;
    struct Impl;
    std::shared_ptr<Impl> impl_;
};

/// Stands still until advanced.
class VirtualClock final : public Clock {
  public:
    explicit VirtualClock(asio::io_context& io) : io_(&io) {}
    [[nodiscard]] TimePoint now() const override { return now_; }
    [[nodiscard]] WallTime wall() const override {
        return WallTime(std::chrono::seconds(1'765'000'000)) +
               std::chrono::duration_cast<WallTime::duration>(now_.time_since_epoch());
    }
    /// Moves on step by step: at each due time fires and then polls the io_context until it is idle.
    void advance(Duration d);
    /// Polls the io_context until nothing is ready.
    void settle();

  private:
    void earliest_changed(TimePoint) override {}
    asio::io_context* io_;
    TimePoint now_{};
};

}  // namespace execd
