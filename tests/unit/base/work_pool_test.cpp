#include "base/work_pool.hpp"

#include <sys/resource.h>

#include <latch>
#include <thread>

#include "base/fault.hpp"
#include "tests/unit/base/virtual_loop.hpp"

namespace execd {
namespace {

class WorkPoolTest : public VirtualLoop {
  protected:
    Scope scope_{loop_, "test"};
    std::atomic<int> done_{0};

    static Task<void> fetch(WorkPool* pool, std::unique_ptr<int>* out) {
        *out = co_await pool->run(Lane::metadata, [] { return std::make_unique<int>(42); });
    }
    static Task<void> fail_in(WorkPool* pool, Result<int>* out, bool throws) {
        *out = co_await pool->run(Lane::bulk, [throws]() -> Result<int> {
            if (throws) throw std::runtime_error("in the pool");
            return fail(Code::io, "disk");
        });
    }
    static Task<void> where(WorkPool* pool, std::thread::id* there, std::thread::id* back) {
        *there = co_await pool->run(Lane::search, [] { return std::this_thread::get_id(); });
        *back = std::this_thread::get_id();
    }
};

TEST_F(WorkPoolTest, BringsMoveOnlyResultsBack) {
    std::unique_ptr<int> out;
    scope_.spawn("fetch", fetch(&pool_, &out));
    ASSERT_TRUE(run_until([&] { return scope_.running() == 0; }));
    ASSERT_TRUE(out);
    EXPECT_EQ(*out, 42);
}

TEST_F(WorkPoolTest, RunsElsewhereAndComesBack) {
    std::thread::id there;
    std::thread::id back;
    scope_.spawn("where", where(&pool_, &there, &back));
    ASSERT_TRUE(run_until([&] { return scope_.running() == 0; }));
    EXPECT_NE(there, std::this_thread::get_id());
    EXPECT_EQ(back, std::this_thread::get_id());
}

TEST_F(WorkPoolTest, ErrorsAreValuesAndExceptionsReachTheCoroutine) {
    CaughtLog const log;
    Result<int> out;
    scope_.spawn("error", fail_in(&pool_, &out, false));
    ASSERT_TRUE(run_until([&] { return scope_.running() == 0; }));
    EXPECT_EQ(out.error().code, Code::io);
    scope_.spawn("throws", fail_in(&pool_, &out, true));
    ASSERT_TRUE(run_until([&] { return scope_.running() == 0; }));
    EXPECT_EQ(log.count("in the pool"), 1U);
}

TEST_F(WorkPoolTest, ACancelledCoroutineWaitsForItsThread) {
    std::latch go(1);
    struct Slow {
        static Task<void> run(WorkPool* pool, std::latch* gate, std::atomic<int>* done) {
            std::string local = "lives in the frame";
            auto const size = co_await pool->run(Lane::bulk, [&local, gate] {
                gate->wait();
                return local.size();
            });
            *done = static_cast<int>(size);
        }
    };
    scope_.spawn("slow", Slow::run(&pool_, &go, &done_));
    clock_.settle();
    scope_.cancel_all();
    clock_.settle();
    EXPECT_EQ(scope_.running(), 1U);
    go.count_down();
    ASSERT_TRUE(run_until([&] { return scope_.running() == 0; }));
    EXPECT_EQ(done_, 18);
}

TEST_F(WorkPoolTest, AFullLaneDoesNotHoldUpTheOthers) {
    WorkPool pool(WorkPool::Options{2, 0, std::chrono::milliseconds(1)});
    std::latch go(1);
    std::latch stuck(2);
    for (int i = 0; i < 2; ++i)
        pool.submit(Lane::bulk, [&] {
            stuck.count_down();
            go.wait();
        });
    stuck.wait();
    pool.submit(Lane::bulk, [&] { ++done_; });
    std::latch other(1);
    pool.submit(Lane::metadata, [&] { other.count_down(); });
    other.wait();
    EXPECT_EQ(pool.busy(Lane::bulk), 2U);
    EXPECT_EQ(pool.queued(Lane::bulk), 1U);
    EXPECT_EQ(done_, 0);
    go.count_down();
}

// Three stuck threads are no reason for a fourth job to wait for ever: nothing else has to be submitted.
TEST_F(WorkPoolTest, SparesTakeWhatStuckThreadsLeave) {
    WorkPool pool(WorkPool::Options{2, 2, std::chrono::milliseconds(1)});
    std::latch go(1);
    std::latch stuck(3);
    for (int i = 0; i < 3; ++i)
        pool.submit(Lane::bulk, [&] {
            stuck.count_down();
            go.wait();
        });
    stuck.wait();
    std::latch last(1);
    pool.submit(Lane::bulk, [&] { last.count_down(); });
    last.wait();
    go.count_down();
}

TEST_F(WorkPoolTest, ShutdownDropsWhatIsQueued) {
    auto alive = std::make_shared<int>(0);
    std::weak_ptr<int> const queued = alive;
    auto pool = std::make_unique<WorkPool>(WorkPool::Options{1, 0, std::chrono::milliseconds(1)});
    std::latch started(1);
    std::latch go(1);
    pool->submit(Lane::bulk, [&] {
        started.count_down();
        go.wait();
        ++done_;
    });
    started.wait();
    pool->submit(Lane::bulk, [kept = std::move(alive), this] { done_ += 100; });
    std::thread opener([&] { go.count_down(); });
    // The destructor marks the pool as stopping before the running job's end can pick up the next one only
    // when it comes first; either way nothing is lost half-way: the queued closure has run or is gone.
    pool.reset();
    opener.join();
    EXPECT_TRUE(queued.expired());
    EXPECT_TRUE(done_ == 1 || done_ == 101);
}

TEST_F(WorkPoolTest, DroppedWorkMaySubmitInItsDestructor) {
    struct Again {
        WorkPool* pool;
        ~Again() { static_cast<void>(pool->queued(Lane::bulk)); }
    };
    auto pool = std::make_unique<WorkPool>(WorkPool::Options{1, 0, std::chrono::milliseconds(1)});
    std::latch started(1);
    std::atomic<bool> end{false};
    pool->submit(Lane::bulk, [&] {
        started.count_down();
        while (!end) std::this_thread::yield();
    });
    started.wait();
    pool->submit(Lane::bulk, [again = std::make_shared<Again>(pool.get())] {});
    end = true;
    pool.reset();
}

TEST_F(WorkPoolTest, WithoutThreadsWorkRunsInTheCaller) {
    CaughtLog const log;
    fault::arm("thread", 1, EAGAIN, true);
    WorkPool pool;
    std::thread::id there;
    pool.submit(Lane::bulk, [&] { there = std::this_thread::get_id(); });
    fault::disarm();
    EXPECT_EQ(there, std::this_thread::get_id());
    EXPECT_EQ(log.count("work_pool.no_thread"), 1U);
    EXPECT_EQ(pool.queued(Lane::bulk), 0U);
    std::latch done(1);
    pool.submit(Lane::bulk, [&] { done.count_down(); });
    done.wait();
}

TEST_F(WorkPoolTest, ManyJobsFromManyThreads) {
    WorkPool pool(WorkPool::Options{2, 2, std::chrono::milliseconds(1)});
    std::latch all(4 * 500);
    std::vector<std::thread> callers;
    for (int t = 0; t < 4; ++t)
        callers.emplace_back([&pool, &all, t] {
            for (int i = 0; i < 500; ++i)
                pool.submit(static_cast<Lane>((t + i) % 3), [&all] { all.count_down(); });
        });
    for (auto& caller : callers) caller.join();
    all.wait();
}

}  // namespace
}  // namespace execd
