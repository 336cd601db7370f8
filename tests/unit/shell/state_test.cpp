// Executions and journals as plain data, and readers that come and go.
#include <fcntl.h>

#include <random>

#include "harness.hpp"
#include "shell/channels.hpp"
#include "shell/execution_state.hpp"

namespace execd::shell {
namespace {

TEST(ExecutionState, AnEndedOneIsTheSameInAnotherDaemon) {
    Harness old;
    ExecutionSpec spec = old.shell("echo out; echo err >&2; kill -9 $$");
    spec.id = "carried";
    spec.label = "kind";
    spec.owner = "somebody";
    spec.text = "text";
    spec.digest = "d1";
    auto const before = old.start(std::move(spec));
    Verdict const verdict = old.verdict(before);
    std::string const text = old.read(*before);
    ExecutionState const state = before->save();

    Harness h;
    auto const restored = h.executions.restore(state, {});
    ASSERT_TRUE(restored.has_value()) << restored.error().message();
    Execution& after = **restored;
    EXPECT_EQ(after.id(), "carried");
    EXPECT_EQ(after.label() + after.owner() + after.text() + after.digest(), "kindsomebodytextd1");
    EXPECT_EQ(after.started_wall(), before->started_wall());
    ASSERT_TRUE(after.verdict().has_value());
    EXPECT_EQ(after.verdict()->text(), verdict.text());
    EXPECT_EQ(after.verdict()->wall, verdict.wall);
    EXPECT_EQ(after.verdict()->usage.user, verdict.usage.user);
    EXPECT_EQ(after.verdict()->at - after.started_at(), verdict.at - before->started_at());
    EXPECT_EQ(h.read(after), text);
    EXPECT_EQ(h.read(after, Stream::err), "err\n");
    EXPECT_EQ(h.executions.find("carried"), *restored);
    EXPECT_EQ(h.executions.running(), 0U);
    // The same request still finds it, another one does not.
    ExecutionSpec same = h.shell("true");
    same.id = "carried";
    same.digest = "d1";
    auto const attached = h.run(h.executions.start_or_attach(std::move(same)));
    ASSERT_TRUE(attached.has_value());
    EXPECT_FALSE(attached->started);
    ExecutionSpec other = h.shell("true");
    other.id = "carried";
    other.digest = "d2";
    EXPECT_EQ(h.run(h.executions.start_or_attach(std::move(other))).error().code, Code::conflict);
    EXPECT_EQ(h.executions.restore(state, {}).error().code, Code::already_exists);
}

TEST(ExecutionState, ARunningOneGoesOnWithItsProcessAndPipes) {
    Harness h;
    auto pipe = open_pipe(true);
    ASSERT_TRUE(pipe.has_value());
    ASSERT_TRUE(set_nonblocking(pipe->read.get()).has_value());
    SpawnSpec child;
    child.argv = {"/bin/sh", "-c", "echo more; exit 6"};
    child.env = {"PATH=/bin:/usr/bin"};
    child.fds = {{pipe->write.get(), 1}};
    auto process = h.run(h.spawner.spawn(std::move(child)));
    ASSERT_TRUE(process.has_value());
    pipe->write.reset();

    ExecutionState state;
    state.id = "going-on";
    state.age = 5s;
    state.timeout_left = 15s;
    auto journal = std::make_shared<Journal>(h.loop, std::make_shared<SpillStore>(), Journal::Options{});
    journal->append(Stream::out, "earlier ");
    state.journal = journal->save();
    auto const run = h.executions.restore(state, {std::move(*process), std::move(pipe->read), {}});
    ASSERT_TRUE(run.has_value()) << run.error().message();
    EXPECT_TRUE((*run)->running());
    EXPECT_EQ(h.verdict(*run).exit_code(), 6);
    EXPECT_EQ(h.read(**run), "earlier more\n");
    // A reader of the old daemon comes back at its place.
    EXPECT_EQ(h.read(**run, {.position = state.journal.end}), "more\n");
}

TEST(ExecutionState, ARunningOneWithoutItsProcessIsLost) {
    Harness old;
    auto const before = old.start("echo begun; sleep 60");
    Batch batch;
    Cursor cursor = before->journal().reader();
    ASSERT_EQ(old.run(cursor.next(batch, old.soon())), Next::data);
    ExecutionState const state = before->save();
    EXPECT_FALSE(state.verdict.has_value());
    Harness h;
    auto const run = h.executions.restore(state, {});
    ASSERT_TRUE(run.has_value());
    ASSERT_TRUE((*run)->verdict().has_value());
    EXPECT_EQ((*run)->verdict()->kind(), "lost");
    EXPECT_EQ(h.read(**run), "begun\n");
    old.run(before->stop(Duration::zero()));
}

TEST(ExecutionState, StatesThatContradictThemselvesAreRefused) {
    Harness h;
    auto journal = std::make_shared<Journal>(h.loop, std::make_shared<SpillStore>(), Journal::Options{});
    journal->append(Stream::out, "abc");
    journal->append(Stream::err, "de");
    JournalState const good = journal->save();
    auto const refused = [&](JournalState const& state) {
        auto const r = Journal::restore(h.loop, std::make_shared<SpillStore>(), Journal::Options{}, state);
        return !r && r.error().code == Code::invalid_argument;
    };
    EXPECT_FALSE(refused(good));
    auto bad = good;
    bad.bytes += "x";
    EXPECT_TRUE(refused(bad));
    bad = good;
    bad.segments.push_back(0xc0000001U);
    EXPECT_TRUE(refused(bad));
    bad = good;
    bad.segments.front() = 0x3fffffffU;
    EXPECT_TRUE(refused(bad));
    bad = good;
    bad.end.total += 1;
    EXPECT_TRUE(refused(bad));
    bad = good;
    bad.verdict = Position{99, {99, 0, 0}};
    EXPECT_TRUE(refused(bad));
    ExecutionState nameless;
    EXPECT_EQ(h.executions.restore(nameless, {}).error().code, Code::invalid_argument);
}

// One client after the other: each reads a piece from where the last one was cut off.
struct Client {
    std::string bytes;
    std::uint64_t lost = 0;
    bool broken = false;  // a slice that does not follow the one before
    std::uint64_t next = 0;
};

Task<void> visit(Client& client, Journal& journal, std::size_t at_most, std::size_t step, Deadline deadline) {
    Position const at = journal.seek(Stream::out, client.next);
    Cursor cursor = journal.reader({mask_of(Stream::out), Until::verdict, at});
    Batch batch;
    std::size_t got = 0;
    while (got < at_most) {
        Next const next = co_await cursor.next(batch, deadline, step);
        if (next != Next::data) co_return;
        for (auto const& slice : batch.slices) {
            client.broken = client.broken || slice.offset != client.next;
            client.lost += slice.lost;
            client.bytes += std::string(slice.lost, '?');  // keeps offsets and places the same
            client.bytes += slice.bytes;
            client.next = slice.offset + slice.lost + slice.bytes.size();
            got += slice.bytes.size() + slice.lost;
        }
    }
}

void random_disconnects(Keep keep, std::size_t ring, std::uint64_t spill, bool may_lose) {
    auto const store = std::make_shared<SpillStore>(
        SpillStore::Options{.parent = "/tmp", .limit = 64U << 20, .allow_tmpfs = true});
    Harness h(store);
    std::mt19937 random(static_cast<unsigned>(ring + spill));
    for (int round = 0; round < 4; ++round) {
        ExecutionSpec spec = h.shell(
            "for i in {1..60}; do seq -f \"%.0f $i abcdefghijklmnopqrstuvwxyz\" 1 600; echo noise >&2; done");
        spec.journal = {.keep = keep, .ring = ring, .spill = spill};
        std::string expected;
        for (int i = 1; i <= 60; ++i)
            for (int n = 1; n <= 600; ++n)
                expected += std::to_string(n) + " " + std::to_string(i) + " abcdefghijklmnopqrstuvwxyz\n";
        auto const run = h.start(std::move(spec));
        Client client;
        while (client.next < expected.size()) {
            std::uint64_t const before = client.next;
            std::size_t const at_most = 1 + random() % (random() % 3 == 0 ? 400'000 : 3000);
            h.run(visit(client, run->journal(), at_most, 1 + random() % 100'000, h.soon()));
            ASSERT_GT(client.next, before) << "a visit that saw nothing although there is more";
        }
        EXPECT_FALSE(client.broken);
        EXPECT_EQ(client.bytes.size(), expected.size());
        std::uint64_t differing = 0;
        for (std::size_t i = 0; i < std::min(client.bytes.size(), expected.size()); ++i)
            if (client.bytes[i] != expected[i]) differing += client.bytes[i] == '?' ? 1 : 1'000'000'000;
        EXPECT_EQ(differing, client.lost);
        if (!may_lose) {
            EXPECT_EQ(client.lost, 0U);
        }
    }
}

TEST(RandomDisconnects, KeepAllOnDiskLosesNothing) {
    random_disconnects(Keep::all, 100'000, 64U << 20, false);
}
TEST(RandomDisconnects, KeepAllInASmallSpillDeclaresItsGaps) {
    random_disconnects(Keep::all, 100'000, 300'000, true);
}
TEST(RandomDisconnects, AWindowDeclaresItsGaps) { random_disconnects(Keep::window, 100'000, 1U << 20, true); }
TEST(RandomDisconnects, MemoryAloneDeclaresItsGaps) { random_disconnects(Keep::all, 150'000, 0, true); }

}  // namespace
}  // namespace execd::shell
