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
    armed_ = true;
    if (place_ == clock_->due_.begin()) clock_->earliest_changed(at.at());
}

void Timer::cancel() {
    if (!armed_) return;
    armed_ = false;
    fire_ = nullptr;
    // The kernel timer is left as it is: firing for nothing is cheaper than re-arming at every cancel.
    clock_->due_.erase(place_);
}

Clock::~Clock() {
    for (auto& [at, timer] : due_) timer->armed_ = false;
}

void Clock::fire_due(TimePoint now) {
    while (!due_.empty() && due_.begin()->first <= now) {
        Timer* timer = due_.begin()->second;
        auto fire = std::move(timer->fire_);
        timer->fire_ = nullptr;
        timer->armed_ = false;
        due_.erase(due_.begin());
        fire();
    }
}

Task<bool> Clock::sleep_until(Deadline at) {
    Event never;
    co_return !co_await never.wait(*this, at) && at.passed(*this);
}

struct RealClock::Impl : std::enable_shared_from_this<Impl> {
    Impl(asio::io_context& io, RealClock* owner) : timer(io.get_executor()), clock(owner) {}
    asio::basic_waitable_timer<std::chrono::steady_clock, asio::wait_traits<std::chrono::steady_clock>, Executor>
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
    while (next_due() <= end) {
        now_ = std::max(now_, next_due());
        fire_due(now_);
        settle();
    }
    now_ = end;
}

}  // namespace execd
