// What peers got wrong with processes and sessions (PEERS.md §6.1), by name. Those of terminals over the wire
// are in tests/conformance/test_pty.py.
#include <dirent.h>
#include <signal.h>

#include "harness.hpp"
#include "shell/session.hpp"
#include "shell/sessions.hpp"

namespace execd::shell {
namespace {

std::size_t open_descriptors() {
    std::size_t count = 0;
    DIR* listing = ::opendir("/proc/self/fd");
    while (::readdir(listing) != nullptr) ++count;
    ::closedir(listing);
    return count;
}

TEST(Peers, AStuckSubscriberDoesNotSlowTheChild) {  // E2B handler
    Harness h;
    auto run = h.start("head -c 20000000 /dev/zero; echo end >&2");
    Cursor stuck = run->journal().reader();
    Batch held;
    ASSERT_EQ(h.run(stuck.next(held, h.soon(), 1)), Next::data);
    EXPECT_TRUE(h.verdict(run).success());
    EXPECT_EQ(h.read(*run, Stream::err), "end\n");
    EXPECT_LT(run->journal().memory_bytes(), 4U << 20);
}

TEST(Peers, ATerminalThatItsProgramClosedIsAnEndOfOutput) {  // E2B #2769: EIO of the master
    Harness h;
    auto spec = h.shell("echo hi; exec 0<&- 1>&- 2>&-; exit 5");
    spec.terminal = WindowSize();
    auto run = h.start(std::move(spec));
    EXPECT_EQ(h.verdict(run).exit_code(), 5);
    EXPECT_FALSE(run->verdict()->output_open);
    EXPECT_EQ(h.read(*run, ReadFrom{.until = Until::closed}), "hi\r\n");
}

Task<void> start_one(Executions* executions, ExecutionSpec spec, int* done) {
    (void)co_await executions->start(std::move(spec));
    ++*done;
}

TEST(Peers, AStartCancelledMidSpawnLeavesNothing) {  // E2B #2769, #3256
    Harness h;
    h.verdict(h.start("true"));
    std::size_t const before = open_descriptors();
    for (int polls = 0; polls < 20; ++polls) {
        Scope scope(h.loop, "callers");
        Scope::Handle handle;
        int done = 0;
        scope.spawn("start", start_one(&h.executions, h.shell("true"), &done), handle);
        for (int i = 0; i < polls; ++i) h.io.poll_one();
        handle.cancel();
        h.run(scope.drain(h.soon()));
        // What was made is a complete record that ends by itself; what was not is nothing.
        for (auto const& run : h.executions.list()) h.verdict(run);
        EXPECT_EQ(h.executions.running(), 0U);
        EXPECT_TRUE(h.verdict(h.start("true")).success());
    }
    EXPECT_EQ(open_descriptors(), before);
    EXPECT_EQ(h.reaper.registered(), 0U);
}

Task<void> run_many(Harness* h, int from, int count, int* wrong) {
    for (int i = from; i < from + count; ++i) {
        ExecutionSpec spec;
        spec.argv = {"/bin/sh", "-c", "sleep 0 & exit " + std::to_string(i % 256)};
        auto started = co_await h->executions.start(std::move(spec));
        if (!started) {
            ++*wrong;
            continue;
        }
        bool const ended = co_await (*started)->ended(h->soon());
        if (!ended || (*started)->verdict()->exit_code() != i % 256) ++*wrong;
    }
}

TEST(Peers, ShortChildrenWithEightWaitersLoseNoStatus) {  // DAY childreap, OSB #1041
    Harness h;
    Scope scope(h.loop, "waiters");
    int wrong = 0;
    for (int waiter = 0; waiter < 8; ++waiter) scope.spawn("waiter", run_many(&h, waiter * 60, 60, &wrong));
    EXPECT_TRUE(h.run(scope.drain(h.soon())));
    EXPECT_EQ(wrong, 0);
    EXPECT_EQ(h.reaper.registered(), 0U);
}

TEST(Peers, AnswersOrReportsShellExited42AndCanBeReopened) {  // DAY execute.go
    Harness h;
    Session::Options options;
    options.environment = Environment({"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/tmp"});
    options.cwd = "/tmp";
    auto const session = *h.run(Session::open(h.loop, h.executions, std::move(options)));
    struct Case {
        char const* text;
        int status;
        RunEnd::Kind kind;
        char const* output;
    };
    constexpr auto kDone = RunEnd::Kind::completed;
    constexpr auto kExited = RunEnd::Kind::shell_exited;
    for (Case const& one :
         {Case{"exit 42", 42, kExited, ""}, Case{"set -e; false; echo no", 1, kExited, ""},
          Case{"exec true", 0, kExited, ""}, Case{"cat <<A\nx\nA", 0, kDone, "x\n"},
          Case{"trap 'echo bye' EXIT; exit 42", 42, kExited, "bye\n"},
          Case{"printf '\\1\\1\\1tail'", 0, kDone, "\1\1\1tail"}, Case{"kill -9 $$", 137, kExited, ""}}) {
        auto const run = *h.run(session->run({.text = one.text, .cwd = {}, .exports = {}}));
        EXPECT_EQ(h.run(run->wait(h.soon())), SessionRun::Waited::ended) << one.text;
        EXPECT_EQ(run->end()->status, one.status) << one.text;
        EXPECT_EQ(run->end()->kind, one.kind) << one.text;
        EXPECT_EQ(h.run(Harness::collect(run->reader(), h.soon())), one.output) << one.text;
    }
}

TEST(Peers, SessionsAndTerminalsAreForgottenWhenTaken) {  // jupyter #6244
    Harness h;
    Terminals terminals(h.loop, h.executions, 3);
    std::vector<std::string> ids;
    for (int i = 0; i < 3; ++i) {
        Terminal::Options options;
        options.argv = {"/bin/true"};
        ids.push_back((*terminals.create(std::move(options)))->id());
    }
    EXPECT_EQ(terminals.create({}).error().code, Code::exhausted);
    for (auto const& id : ids) {
        EXPECT_NE(terminals.find(id), nullptr);
        EXPECT_NE(terminals.take(id), nullptr);
        EXPECT_EQ(terminals.take(id), nullptr);
    }
    for (int i = 0; i < 1000; ++i) EXPECT_EQ(terminals.find(ids.front()), nullptr);
    EXPECT_EQ(terminals.size(), 0U);
    h.run(terminals.close_all({}));
    EXPECT_EQ(terminals.create({}).error().code, Code::unavailable);
}

}  // namespace
}  // namespace execd::shell
