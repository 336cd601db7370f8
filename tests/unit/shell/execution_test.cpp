#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "harness.hpp"

namespace execd::shell {
namespace {

TEST(Execution, BothStreamsAndTheExitCodeArrive) {
    Harness h;
    auto run = h.start("echo out; echo err >&2; exit 3");
    EXPECT_EQ(h.read(*run, Stream::out), "out\n");
    EXPECT_EQ(h.read(*run, Stream::err), "err\n");
    auto const verdict = h.verdict(run);
    EXPECT_EQ(std::get<Exited>(verdict.ending).code, 3);
    EXPECT_EQ(verdict.text(), "exit status 3");
    EXPECT_FALSE(verdict.output_open);
}

TEST(Execution, AReaderThatFindsItsEndFindsTheVerdict) {
    Harness h;
    auto run = h.start("printf hello");
    EXPECT_EQ(h.read(*run), "hello");
    ASSERT_TRUE(run->verdict().has_value());
    EXPECT_TRUE(run->verdict()->success());
}

TEST(Execution, PeakMemoryIsItsOwnOrNotKnown) {
    Harness h;
    EXPECT_EQ(h.verdict(h.start("true")).usage.peak_memory, 0U);  // smaller than this program
    rusage own{};
    ::getrusage(RUSAGE_SELF, &own);
    auto const bytes = static_cast<std::uint64_t>(own.ru_maxrss) * 1024 + (64U << 20);
    auto const text = "head -c " + std::to_string(bytes) + " /dev/zero | tail -c " + std::to_string(bytes);
    auto const verdict = h.verdict(h.start(text + " >/dev/null"));
    EXPECT_GE(verdict.usage.peak_memory, bytes);
    EXPECT_LT(verdict.usage.peak_memory, 2 * bytes + (64U << 20));
}

TEST(Execution, AFailedStartIsAVerdictWithStepAndErrno) {
    Harness h;
    auto spec = h.shell("true");
    spec.cwd = "/nonexistent";
    auto run = h.start(std::move(spec));
    auto const verdict = h.verdict(run);
    auto const& failed = std::get<FailedToStart>(verdict.ending);
    EXPECT_EQ(failed.step, Step::cwd);
    EXPECT_EQ(failed.error, ENOENT);
    EXPECT_EQ(h.read(*run), "");

    ExecutionSpec missing;
    missing.argv = {"no-such-program"};
    missing.env = {"PATH=/usr/bin:/bin"};
    auto const second = h.verdict(h.start(std::move(missing)));
    EXPECT_EQ(std::get<FailedToStart>(second.ending).step, Step::exec);
    EXPECT_EQ(second.shell_status(), 127);
}

TEST(Execution, ASignalIsNotAnExitCode) {
    Harness h;
    auto run = h.start("kill -9 $$");
    auto const verdict = h.verdict(run);
    EXPECT_EQ(std::get<Signaled>(verdict.ending).signal, SIGKILL);
    EXPECT_EQ(verdict.exit_code(), -1);
    EXPECT_EQ(verdict.text(), "signal: killed");
}

TEST(Execution, TermHandlerPrintsAndExits3) {  // PEERS 6.1, E2B handler
    Harness h;
    auto run = h.start("trap 'echo bye; exit 3' TERM; echo ready; while :; do sleep 0.01; done");
    auto cursor = run->journal().reader();
    Batch batch;
    ASSERT_EQ(h.run(cursor.next(batch, h.soon())), Next::data);
    h.run(run->stop(10s));
    EXPECT_EQ(h.read(*run, Stream::out), "ready\nbye\n");
    auto const verdict = h.verdict(run);
    EXPECT_TRUE(std::holds_alternative<Cancelled>(verdict.ending));
    EXPECT_EQ(std::get<Exited>(verdict.status).code, 3);
}

TEST(Execution, HardTimeoutKillsTheGroup) {
    Harness h;
    auto spec = h.shell("echo started; sleep 1000 & sleep 1000");
    spec.timeout = 100ms;
    auto run = h.start(std::move(spec));
    auto const verdict = h.verdict(run);
    ASSERT_TRUE(std::holds_alternative<TimedOut>(verdict.ending));
    EXPECT_FALSE(verdict.output_open);
    EXPECT_EQ(h.read(*run), "started\n");
}

TEST(Execution, ABackgroundServerKeepsItsPipe) {
    Harness h;
    auto run = h.start("(trap '' TERM; read -r x <&0; sleep 0.2; echo late; exit 0) & echo now");
    auto const verdict = h.verdict(run);
    EXPECT_TRUE(verdict.output_open);
    EXPECT_TRUE(verdict.success());
    EXPECT_EQ(h.read(*run), "now\n");  // before the verdict
    EXPECT_EQ(h.read(*run, ReadFrom{.until = Until::closed}), "now\nlate\n");
}

TEST(Execution, InputBytesAndPipes) {
    Harness h;
    auto spec = h.shell("cat");
    spec.input = Input::bytes;
    spec.input_bytes = std::string(300'000, 'x');
    auto run = h.start(std::move(spec));
    EXPECT_EQ(h.read(*run).size(), 300'000U);

    auto piped = h.shell("read -r a; echo got $a; cat; echo end");
    piped.input = Input::pipe;
    auto second = h.start(std::move(piped));
    EXPECT_TRUE(h.run(second->write("one\ntwo\n", h.soon())));
    EXPECT_TRUE(second->close_input());
    EXPECT_EQ(h.read(*second), "got one\ntwo\nend\n");
    EXPECT_EQ(h.run(second->write("x", h.soon())).error().code, Code::gone);
}

TEST(Execution, ChildrenHaveDefaultSignalsAndNoForeignDescriptors) {
    Harness h;
    int const leaked = ::open("/dev/null", O_RDONLY);  // on purpose without O_CLOEXEC
    auto run = h.start("grep -E 'Sig(Blk|Ign)' /proc/self/status; ls /proc/self/fd | tr '\\n' ' '");
    EXPECT_EQ(h.read(*run), "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n0 1 2 3 ");
    ::close(leaked);
}

TEST(Execution, TerminalIsControllingAndEndsCleanly) {
    Harness h;
    auto spec = h.shell("tty >/dev/null && echo yes; stty size; exit 4");
    spec.terminal = WindowSize{100, 30};
    auto run = h.start(std::move(spec));
    EXPECT_EQ(h.read(*run), "yes\r\n30 100\r\n");
    EXPECT_EQ(h.verdict(run).exit_code(), 4);
}

TEST(Execution, StartOrAttachIsIdempotent) {
    Harness h;
    auto spec = [&] {
        auto s = h.shell("echo once");
        s.id = "job-1";
        s.digest = "a";
        return s;
    };
    auto first = h.run(h.executions.start_or_attach(spec()));
    auto second = h.run(h.executions.start_or_attach(spec()));
    ASSERT_TRUE(first && second);
    EXPECT_TRUE(first->started);
    EXPECT_FALSE(second->started);
    EXPECT_EQ(first->execution, second->execution);
    auto other = spec();
    other.digest = "b";
    EXPECT_EQ(h.run(h.executions.start_or_attach(std::move(other))).error().code, Code::conflict);
    h.verdict(first->execution);
}

TEST(Execution, BadSpecsAreRefused) {
    Harness h;
    EXPECT_EQ(h.run(h.executions.start({})).error().code, Code::invalid_argument);
    EXPECT_EQ(h.run(h.executions.start(h.shell(std::string("a\0b", 3)))).error().code,
              Code::invalid_argument);
    auto negative = h.shell("true");
    negative.timeout = -1s;
    EXPECT_EQ(h.run(h.executions.start(std::move(negative))).error().code, Code::invalid_argument);
}

TEST(Execution, EventsTellStartAndEnd) {
    Harness h;
    auto run = h.start("exit 5");
    h.verdict(run);
    auto const events = h.executions.events_after(0);
    ASSERT_EQ(events.size(), 2U);
    EXPECT_EQ(events[0].kind, ExecutionEvent::Kind::started);
    EXPECT_EQ(events[1].kind, ExecutionEvent::Kind::ended);
    EXPECT_EQ(events[1].verdict, "exited");
    EXPECT_TRUE(h.executions.events_after(events[1].number).empty());
}

TEST(Execution, LateAndSecondReadersGetEverything) {  // PEERS 6.1, KER process.go
    Harness h(std::make_shared<SpillStore>(
        SpillStore::Options{.parent = ::testing::TempDir().substr(0, 4), .allow_tmpfs = true}));
    constexpr std::size_t kBytes = 10'000'000;  // far more than the ring
    auto spec = h.shell("head -c 10000000 /dev/zero; printf end");
    spec.journal.keep = Keep::all;
    auto run = h.start(std::move(spec));
    h.verdict(run);
    EXPECT_EQ(run->journal().written(Stream::out), kBytes + 3);  // all of it before the end is told
    for (int reader = 0; reader < 2; ++reader) {
        std::string const text = h.read(*run);
        EXPECT_EQ(text.size(), kBytes + 3);
        EXPECT_TRUE(text.ends_with("end") && text.starts_with(std::string(1000, '\0')));
    }
}

}  // namespace
}  // namespace execd::shell
