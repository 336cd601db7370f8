#include "base/scope.hpp"

#include "tests/unit/base/virtual_loop.hpp"

namespace execd {
namespace {

using namespace std::chrono_literals;

class ScopeTest : public VirtualLoop {
  protected:
    CaughtLog log_;
    Event event_;
    int ended_ = 0;

    static Task<void> wait(Event* event, int* ended) {
        co_await event->wait();
        ++*ended;
    }
    static Task<void> wait_twice(Event* event, int* ended) {
        co_await event->wait();
        co_await event->wait();
        ++*ended;
    }
    // Swallows its cancellation, which nobody should do: a straggler.
    static Task<void> stubborn(Event* event) {
        co_await asio::this_coro::throw_if_cancelled(false);
        for (int i = 0; i < 2; ++i) co_await event->wait();
    }
    static Task<void> throws(int what) {
        co_await asio::this_coro::executor;
        if (what == 0) throw std::runtime_error("broken");
        if (what == 1) throw boost::system::system_error(asio::error::operation_aborted);
        throw 42;
    }
};

TEST_F(ScopeTest, RunsAndForgetsWhatEnded) {
    Scope scope(loop_, "test");
    EXPECT_TRUE(scope.spawn("one", wait(&event_, &ended_)));
    EXPECT_TRUE(scope.spawn("two", wait(&event_, &ended_)));
    clock_.settle();
    EXPECT_EQ(scope.names(), (std::vector<std::string>{"one", "two"}));
    event_.notify_all();
    clock_.settle();
    EXPECT_EQ(scope.running(), 0U);
    EXPECT_EQ(ended_, 2);
}

TEST_F(ScopeTest, CloseCancelsAndRefusesNewWork) {
    Scope scope(loop_, "test");
    scope.spawn("a", wait_twice(&event_, &ended_));
    EXPECT_TRUE(close(scope).empty());
    EXPECT_TRUE(scope.closing());
    EXPECT_FALSE(scope.spawn("late", wait(&event_, &ended_)));
    clock_.settle();
    EXPECT_EQ(ended_, 0);
    EXPECT_EQ(log_.count("scope.exception"), 0U);
}

TEST_F(ScopeTest, CancelledBeforeItEverRan) {
    Scope scope(loop_, "test");
    scope.spawn("a", wait_twice(&event_, &ended_));
    scope.cancel_all();
    clock_.settle();
    EXPECT_EQ(scope.running(), 0U);
    EXPECT_EQ(ended_, 0);
}

// The cancellation is asked for from outside the reactor while the child's last step is queued already.
TEST_F(ScopeTest, CancelRacesWithTheEnd) {
    Scope scope(loop_, "test");
    Scope::Handle handle;
    scope.spawn("a", wait(&event_, &ended_), handle);
    clock_.settle();
    event_.notify_all();
    handle.cancel();
    scope.cancel_all();
    clock_.settle();
    EXPECT_EQ(ended_, 1);
    EXPECT_EQ(scope.running(), 0U);
    handle.cancel();
}

TEST_F(ScopeTest, AChildMayCancelEverybodyAndItself) {
    struct Suicide {
        static Task<void> run(Scope* scope, Event* event, int* ended) {
            co_await event->wait();
            scope->cancel_all();
            *ended += 10;
            co_await event->wait();
            ++*ended;
        }
    };
    Scope scope(loop_, "test");
    scope.spawn("a", Suicide::run(&scope, &event_, &ended_));
    scope.spawn("b", wait_twice(&event_, &ended_));
    clock_.settle();
    event_.notify_one();
    clock_.settle();
    EXPECT_EQ(scope.running(), 0U);
    EXPECT_EQ(ended_, 10);
}

TEST_F(ScopeTest, StragglersAreNamedAndLogged) {
    Scope scope(loop_, "kernels");
    scope.spawn("nice", wait(&event_, &ended_));
    scope.spawn("heartbeat", stubborn(&event_));
    clock_.settle();
    EXPECT_EQ(close(scope, 2s), std::vector<std::string>{"heartbeat"});
    EXPECT_EQ(log_.count(R"("event":"scope.straggler","scope":"kernels","work":"heartbeat")"), 1U);
    event_.notify_all();
    clock_.settle();
    EXPECT_EQ(scope.running(), 0U);
}

TEST_F(ScopeTest, ExceptionsAreCountedAndNotFatal) {
    Scope scope(loop_, "test");
    auto const before = Scope::exceptions();
    scope.spawn("runtime", throws(0));
    scope.spawn("aborted without being cancelled", throws(1));
    scope.spawn("not even an exception", throws(2));
    clock_.settle();
    EXPECT_EQ(scope.running(), 0U);
    EXPECT_EQ(Scope::exceptions() - before, 3U);
    EXPECT_EQ(log_.count("scope.exception"), 3U);
    EXPECT_EQ(log_.count(R"("what":"broken")"), 1U);
}

Task<void> drain_into(Scope* scope, Deadline at, int* out) { *out = co_await scope->drain(at) ? 1 : 2; }

TEST_F(ScopeTest, DrainWaitsForTheEndOrItsDeadline) {
    Scope scope(loop_, "test");
    Scope other(loop_, "other");
    scope.spawn("a", wait(&event_, &ended_));
    int first = 0;
    int second = 0;
    other.spawn("d1", drain_into(&scope, Deadline::in(clock_, 1s), &first));
    other.spawn("d2", drain_into(&scope, Deadline::never(), &second));
    clock_.advance(1s);
    EXPECT_EQ(first, 2);
    EXPECT_EQ(second, 0);
    event_.notify_all();
    clock_.settle();
    EXPECT_EQ(second, 1);
}

struct Owner {
    static Task<void> run(Scope* inner, Event* event, Clock* clock, int* ended) {
        auto const left = co_await inner->close(Deadline::in(*clock, 1s));
        if (left.empty()) ++*ended;
        co_await event->wait();  // from here on the cancellation counts again
        *ended += 10;
    }
};

TEST_F(ScopeTest, ACancellationDoesNotCutAClosingShort) {
    Scope outer(loop_, "outer");
    Scope inner(loop_, "inner");
    Event slow;
    inner.spawn("slow", stubborn(&slow));
    outer.spawn("owner", Owner::run(&inner, &event_, &clock_, &ended_));
    clock_.settle();
    outer.cancel_all();
    clock_.settle();
    outer.cancel_all();  // impatient: changes nothing
    clock_.settle();
    EXPECT_EQ(inner.running(), 1U);
    EXPECT_EQ(outer.running(), 1U);
    EXPECT_EQ(ended_, 0);
    slow.notify_all();
    clock_.settle();
    EXPECT_EQ(ended_, 1);
    EXPECT_EQ(outer.running(), 0U);
}

TEST_F(ScopeTest, WorkMaySpawnMoreWork) {
    struct Tree {
        static Task<void> grow(Scope* scope, int depth, int* ended) {
            co_await asio::this_coro::executor;
            if (depth > 0)
                for (int i = 0; i < 2; ++i) scope->spawn("leaf", grow(scope, depth - 1, ended));
            ++*ended;
        }
    };
    Scope scope(loop_, "test");
    scope.spawn("root", Tree::grow(&scope, 6, &ended_));
    clock_.settle();
    EXPECT_EQ(ended_, 127);
    EXPECT_EQ(scope.running(), 0U);
}

#ifdef EXECD_DEBUG
TEST_F(ScopeTest, DyingWithWorkInsideIsLoud) {
    EXPECT_DEATH(
        {
            Scope scope(loop_, "test");
            scope.spawn("a", wait(&event_, &ended_));
            clock_.settle();
        },
        "check failed");
}
#endif

}  // namespace
}  // namespace execd
