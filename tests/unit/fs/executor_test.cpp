#include "fs/executor.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <condition_variable>
#include <mutex>

#include "fs/progress.hpp"
#include "fs/remote_mounts.hpp"
#include "support.hpp"

namespace execd::fs {
namespace {

using testing::put;
using testing::TempDir;

constexpr char const* kMountinfo =
    "22 1 8:1 / / rw - ext4 /dev/sda rw\n"
    "40 22 0:50 / /mnt/dead\\040server rw,relatime shared:1 - nfs4 host:/x rw\n"
    "41 22 0:51 / /mnt/user rw master:2 - fuse.sshfs host rw\n"
    "42 22 0:52 / /tmp rw - tmpfs tmpfs rw\nnonsense\n43 22\n";

TEST(RemoteMounts, AreFoundByTypeAndPath) {
    auto const mounts = parse_remote_mounts(kMountinfo);
    EXPECT_EQ(mounts, (std::vector<std::string>{"/mnt/dead server", "/mnt/user"}));
    EXPECT_TRUE(below_any(mounts, "/mnt/user"));
    EXPECT_TRUE(below_any(mounts, "/mnt/dead server/a/b"));
    EXPECT_FALSE(below_any(mounts, "/mnt/users"));
    EXPECT_FALSE(below_any(mounts, "/tmp/x"));
    RemoteMounts real;
    EXPECT_FALSE(real.covers("/proc/self"));
    EXPECT_FALSE(real.covers("/proc/self"));
}

TEST(RemoteMounts, WhatLiesOnADeviceIsAskedOnce) {
    TempDir dir;
    UniqueFd const here(::open(dir.path().c_str(), O_PATH | O_CLOEXEC));
    UniqueFd const proc(::open("/proc", O_PATH | O_CLOEXEC));
    RemoteMounts real;
    auto const storage = real.storage(dir.path(), here.get(), 1);
    EXPECT_EQ(storage, storage_of(here.get()));
    EXPECT_EQ(real.storage("/proc", proc.get(), 1), storage) << "of a known device nothing is asked";
    EXPECT_EQ(real.storage("/proc", proc.get(), 2), Storage::may_wait);
    RemoteMounts blind(dir / "no-such-table");
    EXPECT_EQ(blind.storage(dir.path(), here.get(), 1), storage);
    EXPECT_EQ(blind.storage("/proc", proc.get(), 1), Storage::may_wait)
        << "who hears of no change asks each time";
    put(dir / "table", "40 22 0:50 / " + dir.path() + " rw,relatime shared:1 - nfs4 host:/x rw\n");
    RemoteMounts remote(dir / "table");
    EXPECT_EQ(remote.storage(dir.path(), here.get(), 1), Storage::may_wait);
}

TEST(RemoteMounts, LinksAreFollowedWithoutAWordToTheMount) {
    TempDir dir;
    auto const mounts = parse_remote_mounts(kMountinfo);
    auto const link = [&dir](std::string const& name, std::string const& target) {
        ASSERT_EQ(::symlink(target.c_str(), (dir / name).c_str()), 0);
    };
    ASSERT_EQ(::mkdir((dir / "sub").c_str(), 0755), 0);
    link("direct", "/mnt/user");
    link("relative", "sub/../direct/deep");
    link("sub/up", "../relative");
    link("round", "around");
    link("around", "round");
    link("here", "sub");
    for (auto const* name : {"direct", "direct/x/y", "relative", "sub/up/z", "here/up"})
        EXPECT_TRUE(leads_below(mounts, dir / name)) << name;
    for (auto const* name : {"sub", "round", "here", "missing/direct", "here/../sub"})
        EXPECT_FALSE(leads_below(mounts, dir / name)) << name;
}

/// Stands for an operation that the file system does not answer: its thread waits until the gate opens.
struct Gate {
    std::mutex mutex;
    std::condition_variable open;
    bool opened = false;
    int inside = 0;
    void pass() {
        std::unique_lock lock(mutex);
        ++inside;
        open.notify_all();
        open.wait(lock, [this] { return opened; });
    }
    void release() {
        std::lock_guard const lock(mutex);
        opened = true;
        open.notify_all();
    }
    void until(int n) {
        std::unique_lock lock(mutex);
        open.wait(lock, [&] { return inside >= n; });
    }
};

struct Hanging {
    using Answer = Done;
    static constexpr Lane kLane = Lane::metadata;
    std::string path{};
    std::shared_ptr<Gate> gate{};
    CancelFlag cancel{};
    explicit Hanging(std::string p = {}, std::shared_ptr<Gate> g = {})
        : path(std::move(p)), gate(std::move(g)) {}
    [[nodiscard]] Result<Done> run() const {
        gate->pass();
        return Done{};
    }
    template <class A>
    void visit(A& a) {
        a(path);
    }
};
}  // namespace
template <>
struct OperationNumber<Hanging> {
    static constexpr std::uint16_t value = 60'000;
};
namespace {

class ExecutorTest : public ::testing::Test {
  protected:
    ExecutorTest() {
        put(dir / "mounts", kMountinfo);
        options.mountinfo = dir / "mounts";
        loop.bind_thread();
    }
    template <class Op>
    void start(Executor& files, Op op, std::optional<Result<typename Op::Answer>>& out,
               Scope::Handle& handle) {
        scope.spawn("op", keep(files, std::move(op), &out), handle);
    }
    template <class Op>
    static Task<void> keep(Executor& files, Op op, std::optional<Result<typename Op::Answer>>* out) {
        auto answer = co_await files.run(std::move(op));
        out->emplace(std::move(answer));
    }
    TempDir dir;
    asio::io_context io;
    VirtualClock clock{io};
    WorkPool pool;
    Loop loop{io, clock, pool};
    Scope scope{loop, "test"};
    ExecutorOptions options;
};

TEST_F(ExecutorTest, AWaitEndsAtItsDeadlineAndTheThreadIsLeftBehind) {
    Executor files(loop, options);
    auto const gate = std::make_shared<Gate>();
    std::optional<Result<Done>> out;
    Scope::Handle handle;
    start(files, Hanging("/x", gate), out, handle);
    clock.settle();
    gate->until(1);
    clock.advance(std::chrono::seconds(29));
    EXPECT_FALSE(out);
    clock.advance(std::chrono::seconds(2));
    ASSERT_TRUE(out);
    EXPECT_EQ((*out).error().where, "fs.deadline");
    EXPECT_EQ((*out).error().code, Code::timed_out);
    gate->release();
}

TEST_F(ExecutorTest, ACancelledWaitEndsAtOnceAndTellsTheSearch) {
    Executor files(loop, options);
    auto const gate = std::make_shared<Gate>();
    Hanging op("/x", gate);
    op.cancel = std::make_shared<std::atomic<bool>>(false);
    auto const flag = op.cancel;
    std::optional<Result<Done>> out;
    Scope::Handle handle;
    start(files, std::move(op), out, handle);
    clock.settle();
    gate->until(1);
    handle.cancel();
    clock.settle();
    EXPECT_EQ(scope.running(), 0U);
    EXPECT_TRUE(flag->load());
    gate->release();
}

TEST_F(ExecutorTest, ADeadServerHoldsAFewThreadsAndNobodyElse) {
    Executor files(loop, options);
    auto const gate = std::make_shared<Gate>();
    std::array<std::optional<Result<Done>>, 12> dead;
    std::vector<Scope::Handle> handles(dead.size());
    for (std::size_t i = 0; i < dead.size(); ++i)
        start(files, Hanging("/mnt/dead server/f", gate), dead[i], handles[i]);
    clock.settle();
    gate->until(2);
    std::optional<Result<Entry>> other;
    Scope::Handle handle;
    start(files, Stat(dir.path()), other, handle);
    while (!other) clock.settle();
    EXPECT_TRUE((*other).has_value());
    EXPECT_LE(pool.busy(Lane::metadata), options.remote_at_once + 1);
    clock.advance(std::chrono::seconds(31));
    for (auto const& one : dead) ASSERT_TRUE(one && !one->has_value());
    // Their time is over, their threads are not free yet.
    std::optional<Result<Done>> late;
    start(files, Hanging("/mnt/dead server/f", gate), late, handle);
    clock.advance(std::chrono::seconds(31));
    ASSERT_TRUE(late);
    EXPECT_EQ((*late).error().code, Code::timed_out);
    {
        std::lock_guard const lock(gate->mutex);
        EXPECT_EQ(gate->inside, 3);
    }
    gate->release();
    while (pool.busy(Lane::metadata) > 0) std::this_thread::yield();
    clock.settle();
    std::optional<Result<Done>> again;
    start(files, Hanging("/mnt/dead server/f", gate), again, handle);
    while (!again) clock.settle();
    EXPECT_TRUE(again->has_value());
}

TEST_F(ExecutorTest, AFileOfADeadServerIsReadByAFewThreads) {
    Executor files(loop, options);
    put(dir / "file", "content");
    auto file = OpenRead{dir / "file"}.run();
    ASSERT_TRUE(file);
    file->may_hang = true;
    // Its threads are taken: a read waits for one, and no longer than its deadline.
    std::vector<Executor::Slot> held;
    std::array<char, 16> buffer{};
    std::optional<Result<std::size_t>> got;
    Scope::Handle handle;
    auto const take = [](Executor& from, std::vector<Executor::Slot>* into) -> Task<void> {
        for (int i = 0; i < 3; ++i) {
            auto slot = co_await from.slot(Lane::bulk, Deadline::never());
            if (slot) into->push_back(std::move(*slot));
        }
    };
    scope.spawn("slots", take(files, &held), handle);
    clock.settle();
    ASSERT_EQ(held.size(), 3U);
    auto const read = [](Executor& from, OpenFile const* what, std::span<char> out,
                         std::optional<Result<std::size_t>>* into) -> Task<void> {
        into->emplace(co_await read_some(from, *what, 0, out));
    };
    Scope::Handle reading;
    scope.spawn("read", read(files, &*file, buffer, &got), reading);
    clock.advance(std::chrono::minutes(59));
    EXPECT_FALSE(got);
    held.clear();
    while (!got) clock.settle();
    ASSERT_TRUE(got->has_value());
    EXPECT_EQ(std::string(buffer.data(), **got), "content");
}

/// Reads as fast as its server answers: `allow` lets it take that many steps, `end` lets it come to its end.
struct Pace {
    std::mutex mutex;
    std::condition_variable changed;
    int allowed = 0;
    int taken = 0;
    bool ended = false;
    void allow(int n) {
        std::unique_lock lock(mutex);
        allowed += n;
        changed.notify_all();
        changed.wait(lock, [this] { return taken == allowed; });
    }
    void end() {
        std::lock_guard const lock(mutex);
        ended = true;
        changed.notify_all();
    }
    void steps() {
        std::unique_lock lock(mutex);
        for (;;) {
            changed.wait(lock, [this] { return ended || taken < allowed; });
            if (taken == allowed) return;
            count_step();
            ++taken;
            changed.notify_all();
        }
    }
};

struct Stepping {
    using Answer = Done;
    static constexpr Lane kLane = Lane::bulk;
    static constexpr bool kStepwise = true;
    std::string path{};
    std::shared_ptr<Pace> pace{};
    explicit Stepping(std::string p = {}, std::shared_ptr<Pace> at = {})
        : path(std::move(p)), pace(std::move(at)) {}
    [[nodiscard]] Result<Done> run() const {
        pace->steps();
        return Done{};
    }
    template <class A>
    void visit(A& a) {
        a(path);
    }
};
}  // namespace
template <>
struct OperationNumber<Stepping> {
    static constexpr std::uint16_t value = 60'002;
};
namespace {

TEST_F(ExecutorTest, ASlowServerIsWaitedForAsLongAsItGoesOn) {
    Executor files(loop, options);
    auto const pace = std::make_shared<Pace>();
    std::optional<Result<Done>> out;
    Scope::Handle handle;
    start(files, Stepping("/mnt/user/f", pace), out, handle);
    clock.settle();
    for (int i = 0; i < 10; ++i) {
        pace->allow(1);
        clock.advance(std::chrono::seconds(29));
        ASSERT_FALSE(out);
    }
    pace->end();
    while (!out) clock.settle();
    EXPECT_TRUE(out->has_value());
}

TEST_F(ExecutorTest, AServerThatStopsAnsweringIsNotWaitedForUntilTheBulkDeadline) {
    Executor files(loop, options);
    auto const pace = std::make_shared<Pace>();
    std::optional<Result<Done>> dead;
    std::optional<Result<Done>> here;
    Scope::Handle handle;
    Scope::Handle other;
    start(files, Stepping("/mnt/user/f", pace), dead, handle);
    start(files, Stepping("/tmp/f", pace), here, other);
    clock.settle();
    pace->allow(2);
    clock.advance(std::chrono::seconds(29));
    EXPECT_FALSE(dead);
    clock.advance(std::chrono::seconds(31));
    clock.advance(std::chrono::seconds(31));
    ASSERT_TRUE(dead);
    EXPECT_EQ((*dead).error().code, Code::timed_out);
    EXPECT_FALSE(here);
    pace->end();
    while (!here) clock.settle();
    EXPECT_TRUE(here->has_value());
}

struct Throwing {
    using Answer = Done;
    static constexpr Lane kLane = Lane::metadata;
    std::string path{};
    explicit Throwing(std::string p = {}) : path(std::move(p)) {}
    [[nodiscard]] Result<Done> run() const { throw std::bad_alloc(); }
    template <class A>
    void visit(A& a) {
        a(path);
    }
};
}  // namespace
template <>
struct OperationNumber<Throwing> {
    static constexpr std::uint16_t value = 60'001;
};
namespace {

TEST_F(ExecutorTest, AnExceptionOnTheThreadIsAnError) {
    Executor files(loop, options);
    std::optional<Result<Done>> out;
    Scope::Handle handle;
    start(files, Throwing("/x"), out, handle);
    while (!out) clock.settle();
    EXPECT_EQ((*out).error().code, Code::exhausted);
}

}  // namespace
}  // namespace execd::fs
