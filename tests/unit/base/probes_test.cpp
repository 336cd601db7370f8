// The instruments: loop-lag probe, leak ledger, fault injection.
#include <poll.h>
#include <time.h>

#include <cerrno>

#include "base/fault.hpp"
#include "base/lag_probe.hpp"
#include "base/ledger.hpp"
#include "tests/unit/base/virtual_loop.hpp"

namespace execd {
namespace {

using namespace std::chrono_literals;

TEST(LagProbe, BucketsAndQuantiles) {
    LagProbe probe;
    for (int i = 0; i < 99; ++i) probe.record(500ns);
    probe.record(3ms);
    auto const figures = probe.figures();
    EXPECT_EQ(figures.holds, 100U);
    EXPECT_EQ(figures.counts[0], 99U);
    EXPECT_EQ(figures.longest, 3ms);
    EXPECT_EQ(figures.quantile(0.5), 1us);
    EXPECT_EQ(figures.quantile(1.0), 3ms);
    EXPECT_EQ(figures.total, 99 * 500ns + 3ms);
    EXPECT_EQ(figures.above(1ms), 1U);
    EXPECT_EQ(figures.above(5ms), 0U);
    probe.record(100h);
    EXPECT_EQ(probe.figures().counts[LagProbe::kBuckets - 1], 1U);
    probe.reset();
    EXPECT_EQ(probe.figures().holds, 0U);
    EXPECT_EQ(probe.figures().quantile(0.99), 0ns);
}

void hold_for(Duration d) {
    auto const end = std::chrono::steady_clock::now() + d;
    while (std::chrono::steady_clock::now() < end) {
    }
}

TEST(LagProbe, MeasuresWhatHoldsTheLoopAndNotItsWaits) {
    CaughtLog const log;
    asio::io_context io(1);
    RealClock clock(io);
    LagProbe probe;
    probe.install();
    Timer idle(clock);
    Timer busy(clock);
    auto const start = clock.now();
    busy.arm(Deadline::in(clock, 1ms), [] {
        LoopLabel const label("test.busy");
        hold_for(60ms);
    });
    idle.arm(Deadline::in(clock, 300ms), [] {});
    io.run();
    EXPECT_GE(clock.now() - start, 300ms);
    probe.remove();
    auto const figures = probe.figures();
    EXPECT_GE(figures.longest, 60ms);
    EXPECT_LT(figures.total, 290ms);  // the wait of 240 ms is not in it
    EXPECT_GE(figures.holds, 1U);
#ifdef EXECD_DEBUG
    EXPECT_EQ(log.count(R"("event":"loop.held")"), 1U);
    EXPECT_EQ(log.count(R"("by":"test.busy")"), 1U);
#endif
}

void work_for(Duration d) {
    auto const used = [] {
        timespec now{};
        ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
        return Duration(std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec));
    };
    auto const end = used() + d;
    while (used() < end) {
    }
}

TEST(LagProbe, TellsWorkFromStandingStill) {
    CaughtLog const log;
    asio::io_context io(1);
    RealClock clock(io);
    LagProbe probe;
    probe.install(LagProbe::Measure::processor_too);
    Timer still(clock);
    Timer busy(clock);
    Timer last(clock);
    still.arm(Deadline::in(clock, 1ms), [] { ::poll(nullptr, 0, 40); });
    busy.arm(Deadline::in(clock, 60ms), [] { work_for(5ms); });
    last.arm(Deadline::in(clock, 120ms), [] {});
    io.run();
    probe.remove();
    EXPECT_GE(probe.figures().longest, 39ms);
    EXPECT_GE(probe.processor_figures().longest, 5ms);
    EXPECT_LT(probe.processor_figures().total, 39ms) << "standing still is no work";
    EXPECT_EQ(probe.processor_figures().above(1ms), 1U);
}

ledger::Name const kFirst{"test.first"};
ledger::Name const kFirstAgain{"test.first"};
ledger::Name const kSecond{"test.second"};

TEST(Ledger, CountsByNameAndForgetsWhatEnded) {
    EXPECT_EQ(ledger::report(), "");
    {
        ledger::Token a(kFirst);
        ledger::Token b(kFirstAgain);
        std::vector<ledger::Token> more;
        for (int i = 0; i < 10; ++i) more.emplace_back(kSecond);
        EXPECT_EQ(ledger::report(), "test.first 2, test.second 10");
        ledger::Token c(std::move(a));
        more.erase(more.begin(), more.begin() + 5);
        EXPECT_EQ(ledger::report(), "test.first 2, test.second 5");
        c = std::move(b);
        EXPECT_EQ(ledger::report(), "test.first 1, test.second 5");
        c.end();
        c.end();
        EXPECT_EQ(ledger::report(), "test.second 5");
    }
    EXPECT_TRUE(ledger::outstanding().empty());
}

TEST(Ledger, PrintsAtExitWhatIsLeft) {
    auto const leave = [](bool leak) {
        ledger::report_at_exit();
        static auto* const token = new ledger::Token(kSecond);  // never destroyed
        if (!leak) token->end();
        std::exit(3);
    };
    EXPECT_EXIT(leave(true), testing::ExitedWithCode(3), "outstanding at exit: test.second 1");
    EXPECT_EXIT(leave(false), testing::ExitedWithCode(3), "^$");
}

TEST(Fault, TheNthOperationOfANameFails) {
    EXPECT_EQ(fault::hit("open"), 0);
    fault::arm("open", 2, EMFILE);
    EXPECT_EQ(fault::hit("open"), 0);
    EXPECT_EQ(fault::hit("read"), 0);
    EXPECT_FALSE(fault::struck());
    EXPECT_EQ(fault::hit("open"), EMFILE);
    EXPECT_TRUE(fault::struck());
    EXPECT_EQ(fault::hit("open"), 0);
    EXPECT_EQ(fault::seen(), 3U);
    fault::arm("*", 1, EIO, true);
    EXPECT_EQ(fault::hit("accept"), EIO);
    EXPECT_EQ(fault::hit("spawn"), EIO);
    fault::disarm();
    EXPECT_EQ(fault::hit("spawn"), 0);
}

TEST(Fault, ReadsItsTextForm) {
    EXPECT_TRUE(fault::arm_from_text("alloc:3:12"));
    EXPECT_EQ(fault::hit("alloc"), 0);
    EXPECT_EQ(fault::hit("alloc"), 0);
    EXPECT_EQ(fault::hit("alloc"), ENOMEM);
    fault::disarm();
    for (char const* bad :
         {"", ":", "::", ":1:2", "open", "open:1", "open:x:2", "open:1:", "open:1:2x", "open::2"})
        EXPECT_FALSE(fault::arm_from_text(bad)) << bad;
    EXPECT_EQ(fault::hit("open"), 0);
}

}  // namespace
}  // namespace execd
