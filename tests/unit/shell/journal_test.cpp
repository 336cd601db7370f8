#include "shell/journal.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <future>
#include <random>

#include "base/fault.hpp"
#include "harness.hpp"
#include "shell/channels.hpp"

namespace execd::shell {
namespace {

std::shared_ptr<SpillStore> disk_store(std::uint64_t limit = 512 << 20) {
    return std::make_shared<SpillStore>(SpillStore::Options{
        .parent = ::testing::TempDir().substr(0, 4), .limit = limit, .allow_tmpfs = true});
}

struct Piece {
    Stream stream;
    std::string bytes;
};

/// Random output of two streams; `reference` is what a reader must see.
std::vector<Piece> random_pieces(std::mt19937& random, std::size_t total) {
    std::vector<Piece> out;
    char letter = 'a';
    while (total > 0) {
        std::size_t const size =
            std::min<std::size_t>(total, 1 + random() % (random() % 4 == 0 ? 200'000 : 300));
        out.push_back({random() % 3 == 0 ? Stream::err : Stream::out, std::string(size, letter)});
        letter = letter == 'z' ? 'a' : static_cast<char>(letter + 1);
        total -= size;
    }
    return out;
}

std::string joined(std::vector<Piece> const& pieces, StreamMask mask) {
    std::string out;
    for (auto const& piece : pieces)
        if ((mask & mask_of(piece.stream)) != 0) out += piece.bytes;
    return out;
}

Task<void> write_all(Journal& journal, std::vector<Piece> pieces) {
    for (auto const& piece : pieces) {
        journal.append(piece.stream, piece.bytes);
        if (journal.needs_room()) co_await journal.make_room();
    }
    journal.mark_verdict();
    journal.close();
}

Task<std::string> read_in_steps(Cursor cursor, Deadline deadline, std::size_t max, bool* ordered) {
    std::string out;
    Batch batch;
    StreamOffsets expected = cursor.position().offsets;
    for (; co_await cursor.next(batch, deadline, max) == Next::data;)
        for (auto const& slice : batch.slices) {
            auto& at = expected[index_of(slice.stream)];
            if (slice.offset != at) *ordered = false;
            at = slice.offset + slice.lost + slice.bytes.size();
            if (slice.lost > 0) out += "<lost>";
            out += slice.bytes;
        }
    if (!cursor.at_end()) out += "<timeout>";
    co_return out;
}

TEST(Journal, EveryReaderSeesTheSameBytesInOrder) {
    Harness h;
    std::mt19937 random(7);
    for (bool const disk : {false, true}) {
        auto const store = disk ? disk_store() : std::make_shared<SpillStore>();
        auto const pieces = random_pieces(random, 3'000'000);
        auto journal = std::make_shared<Journal>(
            h.loop, store, Journal::Options{.keep = Keep::all, .ring = disk ? 200'000UL : 8UL << 20});
        h.run(write_all(*journal, pieces));
        EXPECT_EQ(journal->spilled_bytes() > 0, disk);
        if (disk) {
            EXPECT_LE(journal->memory_bytes(), 300'000U);
        }
        for (StreamMask const mask : {kAllStreams, mask_of(Stream::out), mask_of(Stream::err)})
            for (std::size_t const step : {4097UL, 300'000UL}) {
                bool ordered = true;
                auto const text =
                    h.run(read_in_steps(journal->reader({.streams = mask}), h.soon(), step, &ordered));
                EXPECT_TRUE(text == joined(pieces, mask)) << "mask " << int(mask) << " step " << step;
                EXPECT_TRUE(ordered);
            }
        for (int i = 0; i < 30; ++i) {
            auto const whole = joined(pieces, mask_of(Stream::err));
            std::uint64_t const offset = random() % (whole.size() + 1);
            bool ordered = true;
            auto const text = h.run(read_in_steps(
                journal->reader({mask_of(Stream::err), Until::verdict, journal->seek(Stream::err, offset)}),
                h.soon(), 100'000, &ordered));
            EXPECT_TRUE(text == whole.substr(offset)) << offset;
            std::uint64_t const total = random() % journal->end().total;
            auto const rest = h.run(
                read_in_steps(journal->reader({kAllStreams, Until::verdict, journal->seek_total(total)}),
                              h.soon(), 70'000, &ordered));
            EXPECT_TRUE(rest == joined(pieces, kAllStreams).substr(total)) << total;
        }
    }
}

TEST(Journal, AResumedPositionContinuesExactly) {
    Harness h;
    std::mt19937 random(8);
    auto const pieces = random_pieces(random, 400'000);
    auto journal = std::make_shared<Journal>(h.loop, std::make_shared<SpillStore>(), Journal::Options{});
    for (auto const& piece : pieces) journal->append(piece.stream, piece.bytes);
    journal->mark_verdict();
    std::string text;
    Position at;
    while (true) {
        Cursor cursor = journal->reader({.position = at});  // a new reader for every batch
        Batch batch;
        if (!cursor.poll(batch, 1 + random() % 5000)) break;
        for (auto const& slice : batch.slices) text += slice.bytes;
        at = cursor.position();
    }
    EXPECT_TRUE(text == joined(pieces, kAllStreams));
}

TEST(Journal, WithoutADiskTheOldestGoesAndAGapSaysSo) {
    Harness h;
    auto journal = std::make_shared<Journal>(h.loop, std::make_shared<SpillStore>(),
                                             Journal::Options{.keep = Keep::all, .ring = 100'000});
    Cursor early = journal->reader();
    h.run(write_all(*journal,
                    {{Stream::out, std::string(300'000, 'a')}, {Stream::err, std::string(50'000, 'b')}}));
    std::uint64_t lost = 0;
    std::uint64_t seen = 0;
    Batch batch;
    while (h.run(early.next(batch, h.soon())) == Next::data)
        for (auto const& slice : batch.slices) {
            lost += slice.lost;
            seen += slice.bytes.size();
        }
    EXPECT_GT(lost, 200'000U);
    EXPECT_EQ(lost + seen, 350'000U);
    EXPECT_LE(journal->memory_bytes(), 170'000U);
    auto const gap = h.run(Harness::collect(
        journal->reader({mask_of(Stream::out), Until::verdict, journal->seek(Stream::out, 10)}), h.soon()));
    EXPECT_TRUE(gap.starts_with("<lost ")) << gap.substr(0, 30);
}

TEST(Journal, AWindowKeepsWhatAnAttachedReaderHasNotRead) {
    Harness h;
    auto const store = disk_store();
    auto journal =
        std::make_shared<Journal>(h.loop, store, Journal::Options{.keep = Keep::window, .ring = 100'000});
    {
        Cursor slow = journal->reader();
        h.run(write_all(*journal, {{Stream::out, std::string(1'000'000, 'a')}}));
        EXPECT_GT(journal->spilled_bytes(), 800'000U);
        EXPECT_EQ(h.run(Harness::collect(std::move(slow), h.soon())).size(), 1'000'000U);
    }
    auto other =
        std::make_shared<Journal>(h.loop, store, Journal::Options{.keep = Keep::window, .ring = 100'000});
    h.run(write_all(*other, {{Stream::out, std::string(1'000'000, 'a')}}));
    EXPECT_EQ(other->spilled_bytes(), 0U);  // nobody reads: the last ring is enough
    EXPECT_LE(other->memory_bytes(), 170'000U);
}

Task<void> read_on(Cursor cursor, Deadline deadline, std::uint64_t* bytes) {
    Batch batch;
    for (; co_await cursor.next(batch, deadline, 100'000) == Next::data;) *bytes += batch.bytes;
}

TEST(Journal, AReaderAtWorkIsWaitedForInsteadOfTheDisk) {
    Harness h;
    auto const store = disk_store();
    auto journal = std::make_shared<Journal>(h.loop, store, Journal::Options{.ring = 100'000});
    Scope scope(h.loop, "reader");
    std::uint64_t bytes = 0;
    scope.spawn("reader", read_on(journal->reader(), h.soon(), &bytes));
    // It never gets a turn of its own but in make_room().
    h.run(write_all(*journal, std::vector<Piece>(50, {Stream::out, std::string(90'000, 'a')})));
    EXPECT_TRUE(h.run(scope.drain(h.soon())));
    EXPECT_EQ(bytes, 50U * 90'000U);
    EXPECT_EQ(journal->spilled_bytes(), 0U);
}

/// Both streams' pumps wait for the same readers. When one of them has begun to write to the disk, a reader
/// that moves must not make the other one forget the blocks that are being written: a failed check ended the
/// daemon in a soak.
TEST(Journal, WhatIsBeingWrittenToTheDiskIsNotForgotten) {
    asio::io_context io;
    VirtualClock clock(io);
    WorkPool pool(WorkPool::Options{.threads_per_lane = 1, .spare = 0});
    Loop loop(io, clock, pool);
    std::promise<void> disk;  // busy until then
    pool.submit(Lane::bulk, [busy = disk.get_future().share()] { busy.wait(); });
    auto journal = std::make_shared<Journal>(loop, disk_store(),
                                             Journal::Options{.keep = Keep::window, .ring = 100'000});
    journal->append(Stream::out, std::string(1'500'000, 'a'));
    Cursor reader = journal->reader();
    Scope scope(loop, "pumps");
    scope.spawn("out", journal->make_room());
    clock.advance(10ms);
    scope.spawn("err", journal->make_room());
    clock.advance(
        10ms);  // the first one has waited long enough and goes to the disk; the second one waits still
    ASSERT_GT(journal->spilled_bytes(), 0U);
    Batch batch;
    EXPECT_TRUE(reader.poll(batch, 400'000));
    std::uint64_t bytes = batch.bytes;
    clock.settle();  // the reader has woken the second one
    EXPECT_EQ(journal->begin().total, 0U);
    disk.set_value();
    journal->mark_verdict();
    journal->close();
    scope.spawn("reader", read_on(std::move(reader), Deadline::never(), &bytes));
    auto const until = std::chrono::steady_clock::now() + 15s;
    while (scope.running() > 0 && std::chrono::steady_clock::now() < until) {
        clock.advance(1ms);
        io.restart();
        io.run_one_for(std::chrono::milliseconds(1));
    }
    EXPECT_EQ(scope.running(), 0U);
    EXPECT_EQ(bytes, 1'500'000U);
}

Task<void> make_room_at(Journal& journal, Clock& clock, Duration when) {
    Event never;
    co_await never.wait(clock, Deadline::in(clock, when));
    if (journal.needs_room()) co_await journal.make_room();
}

/// A reader that takes a little every millisecond, so that somebody who waits for readers is woken all the
/// time.
Task<void> read_slowly(Cursor cursor, Clock& clock, int times) {
    Batch batch;
    for (int i = 0; i < times; ++i) {
        auto const next = co_await cursor.next(batch, Deadline::in(clock, 1s), 4'000);
        if (next != Next::data) co_return;
        Event never;
        co_await never.wait(clock, Deadline::in(clock, 1ms));
    }
}

/// The same on the real clock, with the second one coming at any moment.
TEST(Journal, BothPumpsBesideASlowReaderComeToTheirEnd) {
    Harness h;
    auto const store = disk_store();
    for (int round = 0; round < 40; ++round) {
        auto journal =
            std::make_shared<Journal>(h.loop, store, Journal::Options{.keep = Keep::window, .ring = 100'000});
        journal->append(Stream::out, std::string(1'500'000, 'a'));
        Scope scope(h.loop, "pumps");
        scope.spawn("reader", read_slowly(journal->reader(), h.clock, 60));
        scope.spawn("out", make_room_at(*journal, h.clock, std::chrono::milliseconds(1)));
        scope.spawn("err", make_room_at(*journal, h.clock, std::chrono::milliseconds(1 + round % 20)));
        EXPECT_TRUE(h.run(scope.drain(h.soon())));
    }
}

TEST(Journal, InMemoryAloneAReaderAtWorkLosesNothingOfWhatIsKept) {
    Harness h;
    auto journal = std::make_shared<Journal>(h.loop, std::make_shared<SpillStore>(),
                                             Journal::Options{.keep = Keep::all, .ring = 100'000});
    Scope scope(h.loop, "reader");
    std::uint64_t bytes = 0;
    scope.spawn("reader", read_on(journal->reader(), h.soon(), &bytes));
    h.run(write_all(*journal, std::vector<Piece>(50, {Stream::out, std::string(90'000, 'a')})));
    EXPECT_TRUE(h.run(scope.drain(h.soon())));
    EXPECT_EQ(bytes, 50U * 90'000U);
}

TEST(Journal, AReaderThatStandsStillDelaysTheChildOnce) {
    Harness h;
    auto const store = disk_store();
    auto journal = std::make_shared<Journal>(h.loop, store, Journal::Options{.ring = 100'000});
    Cursor stuck = journal->reader();
    auto const before = h.clock.now();
    h.run(write_all(*journal, std::vector<Piece>(300, {Stream::out, std::string(30'000, 'a')})));
    EXPECT_GT(journal->spilled_bytes(), 8'000'000U);
    // 300 waits would be 6 s; what it takes is the disk's time.
    EXPECT_LT(h.clock.now() - before, 3s);
    EXPECT_EQ(h.run(Harness::collect(std::move(stuck), h.soon())).size(), 9'000'000U);
}

TEST(Journal, CapsHoldAndOldFinishedOnesYield) {
    Harness h;
    auto const store = disk_store(1 << 20);
    Journal::Options const options{.keep = Keep::all, .ring = 100'000, .spill = 700'000};
    auto first = std::make_shared<Journal>(h.loop, store, options);
    h.run(write_all(*first, {{Stream::out, std::string(2'000'000, 'a')}}));
    EXPECT_LE(first->spilled_bytes(), 700'000U);
    EXPECT_GT(first->spilled_bytes(), 0U);
    auto second = std::make_shared<Journal>(h.loop, store, options);
    h.run(write_all(*second, {{Stream::out, std::string(700'000, 'b')}}));
    EXPECT_EQ(first->spilled_bytes(), 0U);
    EXPECT_LE(store->used(), 1U << 20);
    second.reset();
    EXPECT_EQ(store->used(), 0U);
}

/// Compares every slice with what was written there; counts bytes and lost ones.
Task<void> check_all(Cursor cursor, std::string const& whole, Deadline deadline, std::uint64_t* got,
                     std::uint64_t* lost, bool* right) {
    Batch batch;
    for (; co_await cursor.next(batch, deadline) == Next::data;)
        for (auto const& slice : batch.slices) {
            *got += slice.bytes.size();
            *lost += slice.lost;
            if (slice.bytes != std::string_view(whole).substr(slice.total, slice.bytes.size()))
                *right = false;
        }
}

TEST(Journal, AFullFileGoesRound) {
    Harness h;
    std::mt19937 random(11);
    auto const store = disk_store();
    auto const pieces = random_pieces(random, 24'000'000);
    auto const whole = joined(pieces, kAllStreams);
    for (std::uint64_t const cap : {2'300'000U, 3'000'000U, 7'000'000U}) {
        auto journal = std::make_shared<Journal>(
            h.loop, store, Journal::Options{.keep = Keep::all, .ring = 100'000, .spill = cap});
        std::uint64_t got = 0;
        std::uint64_t lost = 0;
        bool right = true;
        Scope scope(h.loop, "reader");
        scope.spawn("reader", check_all(journal->reader(), whole, h.soon(), &got, &lost, &right));
        h.run(write_all(*journal, pieces));
        EXPECT_TRUE(h.run(scope.drain(h.soon())));
        EXPECT_EQ(got + lost, whole.size());
        EXPECT_GT(got, whole.size() / 10);
        EXPECT_LE(journal->spilled_bytes(), cap);
        EXPECT_GT(journal->spilled_bytes(), cap / 2);
        EXPECT_LE(store->used(), cap);
        auto const begin = journal->begin().total;
        got = lost = 0;
        h.run(check_all(journal->reader(), whole, h.soon(), &got, &lost, &right));
        EXPECT_EQ(lost, begin);
        EXPECT_EQ(got, whole.size() - begin);
        EXPECT_TRUE(right) << cap;
        journal.reset();
        EXPECT_EQ(store->used(), 0U);
    }
}

TEST(Journal, ACircleThatHasBeenReadIsGivenBack) {
    Harness h;
    auto const store = disk_store();
    auto journal =
        std::make_shared<Journal>(h.loop, store, Journal::Options{.ring = 100'000, .spill = 3'000'000});
    auto const write = [&](char letter, int count) -> Task<void> {
        for (int i = 0; i < count; ++i) {
            journal->append(Stream::out, std::string(50'000, letter));
            if (journal->needs_room()) co_await journal->make_room();
        }
    };
    Cursor slow = journal->reader();
    h.run(write('a', 200));
    EXPECT_GT(store->used(), 2'000'000U);
    Batch batch;
    std::uint64_t seen = 0;
    while (seen < 10'000'000) {
        ASSERT_EQ(h.run(slow.next(batch, h.soon())), Next::data);
        for (auto const& slice : batch.slices) seen += slice.bytes.size() + slice.lost;
    }
    h.run(write('b', 3));
    EXPECT_LE(store->used(), 200'000U);
    std::string rest;
    while (rest.size() < 150'000) {
        ASSERT_EQ(h.run(slow.next(batch, h.soon())), Next::data);
        for (auto const& slice : batch.slices) rest += slice.bytes;
    }
    EXPECT_EQ(rest, std::string(150'000, 'b'));
}

TEST(Journal, AFullDiskBecomesAGap) {
    Harness h;
    auto journal =
        std::make_shared<Journal>(h.loop, disk_store(), Journal::Options{.keep = Keep::all, .ring = 100'000});
    fault::arm("journal.spill.write", 1, ENOSPC, true);
    h.run(write_all(*journal, {{Stream::out, std::string(1'000'000, 'a')}}));
    fault::disarm();
    auto const text = h.run(Harness::collect(journal->reader(), h.soon()));
    EXPECT_TRUE(text.starts_with("<lost ")) << text.substr(0, 30);
    EXPECT_EQ(journal->spilled_bytes(), 0U);
}

TEST(Journal, AnUnreadableSpillBecomesAGap) {
    Harness h;
    auto journal =
        std::make_shared<Journal>(h.loop, disk_store(), Journal::Options{.keep = Keep::all, .ring = 100'000});
    h.run(write_all(*journal, {{Stream::out, std::string(1'000'000, 'a')}}));
    fault::arm("journal.spill.read", 1, EIO);
    auto const text = h.run(Harness::collect(journal->reader(), h.soon()));
    fault::disarm();
    EXPECT_TRUE(text.starts_with("<lost ")) << text.substr(0, 30);
}

TEST(SpillStore, TheDirectoryIsPrivateAndRemoved) {
    std::string path;
    {
        auto const store = disk_store();
        ASSERT_TRUE(store->enabled());
        path = store->path();
        struct stat info {};
        ASSERT_EQ(::stat(path.c_str(), &info), 0);
        EXPECT_EQ(info.st_mode & 0777, 0700U);
        auto const again = disk_store();  // does not take a living one away
        EXPECT_EQ(::stat(path.c_str(), &info), 0);
    }
    struct stat info {};
    EXPECT_NE(::stat(path.c_str(), &info), 0);
    std::string const stale = "/tmp/execd-journal-0000000000000000";
    ::mkdir(stale.c_str(), 0700);
    auto const store = disk_store();
    EXPECT_NE(::stat(stale.c_str(), &info), 0);
}

TEST(Journal, AlternatingStreamsCostBounded) {
    Harness h;
    auto journal =
        std::make_shared<Journal>(h.loop, std::make_shared<SpillStore>(), Journal::Options{.ring = 100'000});
    for (int i = 0; i < 200'000; ++i) {
        journal->append(i % 2 == 0 ? Stream::out : Stream::err, "x");
        if (journal->needs_room()) h.run(journal->make_room());
    }
    EXPECT_LE(journal->memory_bytes(), 150'000U);
}

}  // namespace
}  // namespace execd::shell
