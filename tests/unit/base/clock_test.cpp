#include "base/clock.hpp"

#include "tests/unit/base/virtual_loop.hpp"

namespace execd {
namespace {

using namespace std::chrono_literals;

class ClockTest : public VirtualLoop {
  protected:
    Deadline in(Duration d) const { return Deadline::in(clock_, d); }
    std::vector<int> fired_;
};

TEST_F(ClockTest, DeadlineArithmetic) {
    EXPECT_TRUE(Deadline().is_never());
    EXPECT_FALSE(Deadline::never().passed(clock_));
    EXPECT_EQ(Deadline::never().left(clock_), Duration::max());
    EXPECT_TRUE(in(Duration::max()).is_never());
    EXPECT_EQ(in(5s).left(clock_), Duration(5s));
    EXPECT_EQ(in(-5s).left(clock_), Duration(0));
    EXPECT_TRUE(in(-5s).passed(clock_));
    EXPECT_EQ(earliest(in(1s), Deadline::never()), in(1s));
}

TEST_F(ClockTest, FiresInOrderOfDueTimeThenOfArming) {
    Timer a(clock_), b(clock_), c(clock_), d(clock_);
    a.arm(in(3ms), [this] { fired_.push_back(3); });
    b.arm(in(1ms), [this] { fired_.push_back(1); });
    c.arm(in(2ms), [this] { fired_.push_back(2); });
    d.arm(in(1ms), [this] { fired_.push_back(11); });
    EXPECT_EQ(clock_.armed_timers(), 4U);
    clock_.advance(1ms - 1ns);
    EXPECT_TRUE(fired_.empty());
    clock_.advance(10ms);
    EXPECT_EQ(fired_, (std::vector{1, 11, 2, 3}));
    EXPECT_EQ(clock_.armed_timers(), 0U);
}

TEST_F(ClockTest, CancelAndRearm) {
    Timer a(clock_);
    a.arm(in(1ms), [this] { fired_.push_back(1); });
    a.cancel();
    a.cancel();
    EXPECT_FALSE(a.armed());
    a.arm(in(5ms), [this] { fired_.push_back(5); });
    a.arm(in(2ms), [this] { fired_.push_back(2); });
    clock_.advance(10ms);
    EXPECT_EQ(fired_, std::vector{2});
    a.arm(Deadline::never(), [this] { fired_.push_back(9); });
    EXPECT_FALSE(a.armed());
    {
        Timer gone(clock_);
        gone.arm(in(1ms), [this] { fired_.push_back(7); });
    }
    clock_.advance(10ms);
    EXPECT_EQ(fired_, std::vector{2});
}

TEST_F(ClockTest, CallbacksMayCancelDestroyAndRearm) {
    Timer a(clock_);
    Timer other(clock_);
    auto owned = std::make_unique<Timer>(clock_);
    other.arm(in(1ms), [this] { fired_.push_back(99); });
    a.arm(in(1ms) /* after other by arming, so other would fire first */, [] {});
    a.arm(in(0ms), [&] {
        fired_.push_back(1);
        other.cancel();
        a.arm(in(1ms), [&] { fired_.push_back(2); });
    });
    owned->arm(in(3ms), [&] {
        owned.reset();
        fired_.push_back(3);
    });
    clock_.advance(10ms);
    EXPECT_EQ(fired_, (std::vector{1, 2, 3}));
    EXPECT_EQ(owned, nullptr);
}

// A callback that holds the last reference to the owner of its own timer.
TEST_F(ClockTest, CancelMayEndTheOwner) {
    struct Owner {
        explicit Owner(Clock& clock) : timer(clock) {}
        Timer timer;
    };
    auto owner = std::make_shared<Owner>(clock_);
    owner->timer.arm(in(1ms), [owner] {});
    Timer& timer = owner->timer;
    owner.reset();
    timer.cancel();
    EXPECT_EQ(clock_.armed_timers(), 0U);
}

// The reactor must get its turn between two rounds of a timer that is always due.
TEST_F(ClockTest, ATimerThatIsAlwaysDueDoesNotHoldTheLoop) {
    RealClock real(io_);
    Timer greedy(real);
    int rounds = 0;
    bool other_ran = false;
    std::function<void()> again = [&] {
        if (++rounds < 1000 && !other_ran) greedy.arm(Deadline(TimePoint{}), again);
    };
    greedy.arm(Deadline(TimePoint{}), [&] {
        asio::post(io_, [&] { other_ran = true; });
        again();
    });
    io_.run();
    EXPECT_TRUE(other_ran);
    EXPECT_LT(rounds, 100);
}

TEST_F(ClockTest, RealClockFiresNotEarlyAndInOrder) {
    RealClock real(io_);
    Timer a(real), b(real), c(real);
    TimePoint const start = real.now();
    a.arm(Deadline::in(real, 6ms), [&] {
        EXPECT_GE(real.now() - start, 6ms);
        fired_.push_back(2);
    });
    b.arm(Deadline::in(real, 2ms), [&] {
        EXPECT_GE(real.now() - start, 2ms);
        fired_.push_back(1);
        c.arm(Deadline::in(real, 1h), [&] { fired_.push_back(9); });
    });
    ASSERT_TRUE(run_until([&] { return fired_.size() == 2; }));
    EXPECT_EQ(fired_, (std::vector{1, 2}));
    EXPECT_TRUE(c.armed());
}

TEST_F(ClockTest, RealClockMayDieBeforeItsTimers) {
    auto real = std::make_unique<RealClock>(io_);
    Timer a(*real);
    a.arm(Deadline::in(*real, 1ms), [this] { fired_.push_back(1); });
    real.reset();
    EXPECT_FALSE(a.armed());
    io_.run();
    EXPECT_TRUE(fired_.empty());
}

Task<void> sleep_then(Clock* clock, Duration d, std::vector<int>* out) {
    out->push_back(co_await clock->sleep_for(d) ? 1 : 0);
}

TEST_F(ClockTest, SleepEndsAtTheInstantOrByCancellation) {
    Scope scope(loop_, "test");
    scope.spawn("sleep", sleep_then(&clock_, 10ms, &fired_));
    clock_.advance(10ms - 1ns);
    EXPECT_TRUE(fired_.empty());
    clock_.advance(1ns);
    EXPECT_EQ(fired_, std::vector{1});
    Scope::Handle handle;
    scope.spawn("sleep", sleep_then(&clock_, 10ms, &fired_), handle);
    clock_.settle();
    handle.cancel();
    clock_.settle();
    EXPECT_EQ(fired_, (std::vector{1, 0}));
    EXPECT_EQ(clock_.armed_timers(), 0U);
}

}  // namespace
}  // namespace execd
