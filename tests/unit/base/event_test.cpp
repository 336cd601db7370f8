#include "base/event.hpp"

#include "tests/unit/base/virtual_loop.hpp"

namespace execd {
namespace {

using namespace std::chrono_literals;

class EventTest : public VirtualLoop {
  protected:
    Scope scope_{loop_, "test"};
    std::string seen_;  // one letter an event: upper case when notified, lower case when not

    static Task<void> wait_once(Event* event, char name, std::string* seen) {
        bool const notified = co_await event->wait();
        *seen += notified ? name : static_cast<char>(name + 32);
    }
    static Task<void> wait_until(Event* event, Clock* clock, Deadline at, char name, std::string* seen) {
        bool const notified = co_await event->wait(*clock, at);
        *seen += notified ? name : static_cast<char>(name + 32);
    }
    static Task<void> wait_for_ever(Event* event, char name, std::string* seen) {
        for (;;) {
            co_await event->wait();
            *seen += name;
        }
    }
};

TEST_F(EventTest, NotifyOneWakesInOrderNotifyAllTheRest) {
    Event event;
    for (char name : {'A', 'B', 'C'}) scope_.spawn("w", wait_once(&event, name, &seen_));
    clock_.settle();
    EXPECT_TRUE(event.has_waiters());
    event.notify_one();
    EXPECT_EQ(seen_, "");  // never inline
    clock_.settle();
    EXPECT_EQ(seen_, "A");
    event.notify_all();
    clock_.settle();
    EXPECT_EQ(seen_, "ABC");
    EXPECT_FALSE(event.has_waiters());
    event.notify_one();
    event.notify_all();  // nobody waits: nothing is remembered
    scope_.spawn("w", wait_once(&event, 'D', &seen_));
    clock_.settle();
    EXPECT_EQ(seen_, "ABC");
    event.notify_all();
    clock_.settle();
    EXPECT_EQ(seen_, "ABCD");
}

TEST_F(EventTest, AWaiterThatWaitsAgainIsNotWokenTwice) {
    Event event;
    scope_.spawn("a", wait_for_ever(&event, 'A', &seen_));
    scope_.spawn("b", wait_for_ever(&event, 'B', &seen_));
    clock_.settle();
    event.notify_all();
    event.notify_all();  // both are awake already
    clock_.settle();
    EXPECT_EQ(seen_, "AB");
    event.notify_all();
    clock_.settle();
    EXPECT_EQ(seen_, "ABAB");
    EXPECT_TRUE(close(scope_).empty());
}

TEST_F(EventTest, DeadlineAtItsInstantAndNotifyBeforeIt) {
    Event event;
    Deadline const at = Deadline::in(clock_, 10ms);
    scope_.spawn("a", wait_until(&event, &clock_, at, 'A', &seen_));
    scope_.spawn("b", wait_until(&event, &clock_, Deadline::never(), 'B', &seen_));
    clock_.advance(10ms - 1ns);
    EXPECT_EQ(seen_, "");
    clock_.advance(1ns);
    EXPECT_EQ(seen_, "a");
    scope_.spawn("c", wait_until(&event, &clock_, at, 'C', &seen_));  // has passed already
    clock_.settle();
    EXPECT_EQ(seen_, "ac");
    scope_.spawn("d", wait_until(&event, &clock_, Deadline::in(clock_, 1ms), 'D', &seen_));
    clock_.settle();
    event.notify_all();
    clock_.advance(1s);
    EXPECT_EQ(seen_, "acBD");
    EXPECT_EQ(clock_.armed_timers(), 0U);
}

TEST_F(EventTest, CancellationWakesOnlyTheCancelled) {
    Event event;
    Scope::Handle a;
    scope_.spawn("a", wait_until(&event, &clock_, Deadline::in(clock_, 1s), 'A', &seen_), a);
    scope_.spawn("b", wait_once(&event, 'B', &seen_));
    clock_.settle();
    a.cancel();
    a.cancel();
    clock_.settle();
    EXPECT_EQ(seen_, "a");
    a.cancel();  // has ended
    EXPECT_EQ(clock_.armed_timers(), 0U);
    event.notify_all();
    clock_.settle();
    EXPECT_EQ(seen_, "aB");
}

TEST_F(EventTest, NotifiedThenCancelledBeforeItRanIsNotified) {
    Event event;
    Scope::Handle a;
    scope_.spawn("a", wait_once(&event, 'A', &seen_), a);
    clock_.settle();
    event.notify_all();
    a.cancel();
    clock_.settle();
    EXPECT_EQ(seen_, "A");
}

TEST_F(EventTest, DestructionWakesWithFalse) {
    auto event = std::make_unique<Event>();
    scope_.spawn("a", wait_once(event.get(), 'A', &seen_));
    scope_.spawn("b", wait_until(event.get(), &clock_, Deadline::in(clock_, 1s), 'B', &seen_));
    clock_.settle();
    event.reset();
    clock_.settle();
    EXPECT_EQ(seen_, "ab");
    EXPECT_EQ(clock_.armed_timers(), 0U);
    EXPECT_EQ(scope_.running(), 0U);
}

// A slot that still held the handler of an earlier wait would wake the wrong one.
TEST_F(EventTest, CancellationFindsTheCurrentWait) {
    Event first;
    Event second;
    Scope::Handle handle;
    struct Both {
        static Task<void> wait(Event* a, Event* b, std::string* seen) {
            *seen += co_await a->wait() ? '1' : '0';
            *seen += co_await b->wait() ? '1' : '0';
            co_await a->wait();  // cancelled: throws
            *seen += '!';
        }
    };
    scope_.spawn("both", Both::wait(&first, &second, &seen_), handle);
    clock_.settle();
    first.notify_all();
    clock_.settle();
    handle.cancel();
    clock_.settle();
    EXPECT_EQ(seen_, "10");
    EXPECT_EQ(scope_.running(), 0U);
}

// Every mixture of notifications, cancellations and deadlines ends every wait exactly once.
TEST_F(EventTest, AnyMixtureEndsEveryWaitOnce) {
    std::uint32_t state = 7;
    auto const dice = [&state](std::uint32_t n) {
        state = state * 1664525U + 1013904223U;
        return (state >> 16) % n;
    };
    for (int round = 0; round < 200; ++round) {
        auto event = std::make_unique<Event>();
        std::string seen;
        std::vector<Scope::Handle> handles(8);
        for (auto& handle : handles)
            scope_.spawn(
                "w", wait_until(event.get(), &clock_, Deadline::in(clock_, 1ms * (1 + dice(4))), 'A', &seen),
                handle);
        if (dice(8) != 0) clock_.settle();
        for (int step = 0; step < 6; ++step) {
            switch (dice(5)) {
                case 0: event->notify_one(); break;
                case 1: handles[dice(8)].cancel(); break;
                case 2: clock_.advance(1ms); break;
                case 3: clock_.settle(); break;
                default:
                    if (dice(3) == 0) event->notify_all();
            }
        }
        clock_.settle();
        event.reset();
        clock_.settle();
        ASSERT_LE(seen.size(), 8U);
        ASSERT_EQ(scope_.running(), 0U) << "round " << round;
        ASSERT_EQ(clock_.armed_timers(), 0U);
    }
}

}  // namespace
}  // namespace execd
