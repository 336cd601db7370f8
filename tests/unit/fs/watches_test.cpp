#include "fs/watches.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>

#include "support.hpp"

namespace execd::fs {
namespace {

using testing::put;
using testing::Reactor;
using testing::TempDir;

Task<int> closed(Watches& all) {
    co_await all.close();
    co_return 0;
}

/// Two coroutines at once: one waits, the other changes something once the first does.
struct Both {
    Watches& all;
    Reactor& reactor;
    std::optional<Result<Waited>> out;

    static Task<void> wait(Both* self, std::string path, WaitFor what, Deadline until) {
        auto done = co_await self->all.wait(self->reactor.files, std::move(path), what, until);
        self->out.emplace(std::move(done));
    }
    template <class Change>
    Waited run(std::string path, WaitFor what, Change change) {
        out.reset();
        auto const until = Deadline::in(reactor.clock, std::chrono::seconds(20));
        reactor.scope.spawn("wait", wait(this, std::move(path), what, until));
        reactor.settle();
        EXPECT_FALSE(out.has_value());
        change();
        reactor.io.restart();
        while (!out && reactor.io.run_one() > 0) {
        }
        reactor.settle();
        EXPECT_TRUE(out && out->has_value());
        return out && *out ? **out : Waited();
    }
};

TEST(WaitForPath, ExistsGoneAndChanged) {
    TempDir dir;
    Reactor reactor;
    {
        Watches all(reactor.loop);
        Both both{all, reactor, std::nullopt};
        auto done = both.run(dir / "flag", WaitFor::exists, [&] { put(dir / "flag", "12345"); });
        EXPECT_TRUE(done.met && done.exists);
        done = both.run(dir / "flag", WaitFor::changed, [&] { put(dir / "flag", "123456"); });
        EXPECT_TRUE(done.met);
        // Another file of the same size and time in its place.
        done = both.run(dir / "flag", WaitFor::changed, [&] {
            put(dir / "other", "654321");
            std::filesystem::last_write_time(dir / "other", std::filesystem::last_write_time(dir / "flag"));
            ::rename((dir / "other").c_str(), (dir / "flag").c_str());
        });
        EXPECT_TRUE(done.met);
        done = both.run(dir / "flag", WaitFor::gone, [&] { ::unlink((dir / "flag").c_str()); });
        EXPECT_TRUE(done.met && !done.exists);
        // Neither the directory nor its parent is there yet.
        done = both.run(dir / "a/b/flag", WaitFor::exists, [&] {
            ::mkdir((dir / "a").c_str(), 0755);
            ::mkdir((dir / "a/b").c_str(), 0755);
            put(dir / "a/b/flag", "");
        });
        EXPECT_TRUE(done.met);
        reactor.run(closed(all));
    }
}

/// What settle() says is done is done: what moved from waiting to running under its eyes was missed once.
TEST(WaitForPath, SettledMeansThatNothingIsUnderWay) {
    Reactor reactor;
    for (int i = 0; i < 3000; ++i) {
        std::atomic<bool> ran{false};
        reactor.pool.submit(Lane::metadata, [&ran] { ran = true; });
        reactor.settle();
        ASSERT_TRUE(ran) << i;
    }
}

/// Its missing directories may appear between any two looks of the one who waits.
TEST(WaitForPath, DirectoriesAppearAtAnyMoment) {
    Reactor reactor;
    Watches all(reactor.loop);
    Both both{all, reactor, std::nullopt};
    bool met = true;
    for (int steps = 0; met && steps < 12; ++steps) {
        TempDir dir;
        both.out.reset();
        reactor.scope.spawn("wait", Both::wait(&both, dir / "a/b/flag", WaitFor::exists, Deadline::never()));
        reactor.io.restart();
        for (int i = 0; i < steps; ++i) {
            reactor.io.poll_one();
            while (reactor.at_work()) std::this_thread::yield();
        }
        std::filesystem::create_directories(dir / "a/b");
        reactor.settle();
        put(dir / "a/b/flag", "");
        reactor.io.restart();
        while (!both.out && reactor.io.run_one_for(std::chrono::seconds(10)) > 0) {
        }
        met = both.out && *both.out && (*both.out)->met;
        EXPECT_TRUE(met) << "never woken: " << steps;
        reactor.settle();
    }
    reactor.run(closed(all));
}

TEST(WaitForPath, WhatIsAlreadySoIsAnsweredAtOnceAndTheDeadlineIsKept) {
    TempDir dir;
    Reactor reactor;
    Watches all(reactor.loop);
    put(dir / "flag", "x");
    auto const now = Deadline(reactor.clock.now());
    auto done = reactor.run(all.wait(reactor.files, dir / "flag", WaitFor::exists, now));
    ASSERT_TRUE(done);
    EXPECT_TRUE(done->met);
    done = reactor.run(all.wait(reactor.files, dir / "flag", WaitFor::gone, now));
    ASSERT_TRUE(done);
    EXPECT_FALSE(done->met);
    EXPECT_TRUE(done->exists);
    reactor.run(closed(all));
}

TEST(WatchesTable, IdsCapsAndTheEnd) {
    TempDir dir;
    Reactor reactor;
    WatchesOptions options;
    options.at_most = 2;
    Watches all(reactor.loop, options);
    auto const first = reactor.run(all.start(reactor.files, WatchOptions(dir.path())));
    auto const second = reactor.run(all.start(reactor.files, WatchOptions(dir.path())));
    ASSERT_TRUE(first && second);
    EXPECT_EQ(reactor.run(all.start(reactor.files, WatchOptions(dir.path()))).error().code, Code::exhausted);
    EXPECT_NE(all.find(*first), nullptr);
    EXPECT_EQ(all.find("nobody"), nullptr);
    EXPECT_TRUE(reactor.run(all.remove(*first)));
    EXPECT_FALSE(reactor.run(all.remove(*first)));
    EXPECT_EQ(reactor.run(all.start(reactor.files, WatchOptions(dir / "gone/deeper"))).error().code,
              Code::not_found);
    EXPECT_EQ(all.ids(), std::vector<std::string>{*second});
    reactor.run(closed(all));
    EXPECT_TRUE(all.ids().empty());
    EXPECT_EQ(reactor.run(all.start(reactor.files, WatchOptions(dir.path()))).error().code,
              Code::unavailable);
}

TEST(WatchesTable, WhatNobodyAsksForIsClosed) {
    TempDir dir;
    Reactor reactor;
    WatchesOptions options;
    options.idle = std::chrono::milliseconds(30);
    Watches all(reactor.loop, options);
    ASSERT_TRUE(reactor.run(all.start(reactor.files, WatchOptions(dir.path()))));
    reactor.io.restart();
    while (!all.ids().empty() && reactor.io.run_one() > 0) {
    }
    EXPECT_TRUE(all.ids().empty());
    reactor.run(closed(all));
}

}  // namespace
}  // namespace execd::fs
