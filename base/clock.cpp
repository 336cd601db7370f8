#include "base/clock.hpp"

#include <boost/asio/steady_timer.hpp>

#include "base/check.hpp"
#include "base/event.hpp"

namespace execd {

Deadline Deadline::in(Clock const& clock, Duration d) {
    TimePoint const now = clock.now();
    if (d >= TimePoint::max() - now) return never();
    return Deadline(now + std::max(d, Duration::zero()));
}

bool Deadline::passed(Clock const& clock) const { return !is_never() && clock.now() >= at_; }

Duration Deadline::left(Clock const& clock) const {
    if (is_never()) return Duration::max();
    return std::max(Duration(at_ - clock.now()), Duration::zero());
}

void Timer::arm(Deadline at, std::function<void()> fire) {
    cancel();
    if (at.is_never()) return;
    fire_ = std::move(fire);
    place_ = clock_->due_.emplace(at.at(), this);
    serial_ = ++clock_->armed_so_far_;
    armed_ = true;
    if (place_ == clock_->due_.begin()) clock_->earliest_changed(at.at());
}

void Timer::cancel() {
    if (!armed_) return;
    armed_ = false;
    // What the callback holds may own this Timer: it goes last.
    auto const held = std::exchange(fire_, nullptr);
    // The kernel timer is left as it is: firing for nothing is cheaper than re-arming at every cancel.
    clock_->due_.erase(place_);
}

Clock::~Clock() {
    for (auto& [at, timer] : due_) timer->armed_ = false;
}

void Clock::fire_due(TimePoint now) {
    // A timer that a callback arms waits for the next round, even when it is due at once: a callback that
    // re-arms itself for "now" must not keep the reactor from everything else.
    std::uint64_t const last = armed_so_far_;
    for (;;) {
        auto at = due_.begin();
        while (at != due_.end() && at->first <= now && at->second->serial_ > last) ++at;
        if (at == due_.end() || at->first > now) return;
        Timer* timer = at->second;
        auto const fire = std::exchange(timer->fire_, nullptr);
        timer->armed_ = false;
        due_.erase(at);
        fire();
    }
}

Task<bool> Clock::sleep_until(Deadline at) {
    Event never;
    co_return !co_await never.wait(*this, at) && at.passed(*this);
}

struct RealClock::Impl : std::enable_shared_from_this<Impl> {
    Impl(asio::io_context& io, RealClock* owner) : timer(io.get_executor()), clock(owner) {}
    asio::basic_waitable_timer<std::chrono::steady_clock, asio::wait_traits<std::chrono::steady_clock>,
                               Executor>
        timer;
    RealClock* clock;  // null once the clock is gone
    TimePoint armed_for = TimePoint::max();

    void arm(TimePoint at) {
        if (at >= armed_for) return;  // it will fire early enough
        armed_for = at;
        timer.expires_at(at);
        timer.async_wait([weak = weak_from_this()](boost::system::error_code ec) {
            auto self = weak.lock();
            if (ec || !self || self->clock == nullptr) return;
            self->armed_for = TimePoint::max();
            self->clock->fire_due(self->clock->now());
            if (self->clock != nullptr && self->clock->next_due() != TimePoint::max())
                self->arm(self->clock->next_due());
        });
    }
};

RealClock::RealClock(asio::io_context& io) : impl_(std::make_shared<Impl>(io, this)) {}
RealClock::~RealClock() {
    impl_->clock = nullptr;
    impl_->timer.cancel();
}
void RealClock::earliest_changed(TimePoint at) { impl_->arm(at); }

void VirtualClock::settle() {
    io_->restart();
    while (io_->poll() > 0) io_->restart();
}

void VirtualClock::advance(Duration d) {
    settle();
    TimePoint const end = now_ + d;
    int rounds_here = 0;
    while (next_due() <= end) {
        rounds_here = next_due() > now_ ? 0 : rounds_here + 1;
        EXECD_REQUIRE(rounds_here < 100'000);  // something re-arms itself for "now" and would hang the test
        now_ = std::max(now_, next_due());
        fire_due(now_);
        settle();
    }
    now_ = end;
}

}  // namespace execd
