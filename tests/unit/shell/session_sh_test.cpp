// Sessions where there is no bash: PATH has a POSIX sh alone, dash or busybox's.
#include <stdlib.h>

#include <filesystem>
#include <stdexcept>

#include "harness.hpp"
#include "shell/session.hpp"

namespace execd::shell {
namespace {

class ShSession : public ::testing::TestWithParam<char const*> {
  protected:
    void SetUp() override {
        std::string pattern = ::testing::TempDir() + "shXXXXXX";
        bin = ::mkdtemp(pattern.data());
        std::filesystem::create_symlink(std::string("/usr/bin/") + GetParam(), bin + "/sh");
        for (std::string const name : {"cat", "sleep", "setsid"})
            std::filesystem::create_symlink(std::filesystem::canonical("/usr/bin/" + name), bin + "/" + name);
        Session::Options options;
        options.environment =
            Environment({"PATH=" + bin, "HOME=/tmp", "ENV=" + bin + "/never", "LC_ALL=C.UTF-8"});
        options.cwd = "/tmp";
        auto opened = h.run(Session::open(h.loop, h.executions, std::move(options)));
        ASSERT_TRUE(opened.has_value()) << opened.error().message();
        session = *opened;
    }
    void TearDown() override { std::filesystem::remove_all(bin); }
    std::shared_ptr<SessionRun> begin(std::string text, Duration timeout = {}) {
        auto run =
            h.run(session->run({.text = std::move(text), .cwd = {}, .exports = {}, .timeout = timeout}));
        EXPECT_TRUE(run.has_value()) << (run ? "" : run.error().message());
        if (!run) throw std::runtime_error("no run");
        return *run;
    }
    RunEnd finish(std::shared_ptr<SessionRun> const& run) {
        EXPECT_EQ(h.run(run->wait(h.soon())), SessionRun::Waited::ended);
        if (!run->end()) throw std::runtime_error("no end");
        return *run->end();
    }
    std::string output(SessionRun const& run) { return h.run(Harness::collect(run.reader(), h.soon())); }
    /// "output[status]"
    std::string ask(std::string text) {
        auto const run = begin(std::move(text));
        auto const end = finish(run);
        return output(*run) + "[" + std::to_string(end.status) + "]";
    }
    void wait_for(SessionRun const& run, std::string const& text) {
        Cursor cursor = run.reader();
        Batch batch;
        std::string seen;
        while (seen.find(text) == std::string::npos && h.run(cursor.next(batch, h.soon())) == Next::data)
            for (auto const& slice : batch.slices) seen += slice.bytes;
        EXPECT_NE(seen.find(text), std::string::npos) << seen;
    }
    std::string bin;
    Harness h;
    std::shared_ptr<Session> session;
};

TEST_P(ShSession, StateLivesOnAndNothingIsAdded) {
    EXPECT_EQ(ask("echo hi; echo err >&2; false"), "hi\nerr\n[1]");
    EXPECT_EQ(ask("cd /; export A=1; b=2; f() { echo f$b; }; alias zz='echo aliased'; set -f"), "[0]");
    EXPECT_EQ(ask("echo $A $b *; f; zz; pwd; set +f; false | true"), "1 2 *\nf2\naliased\n/\n[0]");
    EXPECT_EQ(session->cwd(), "/");
    EXPECT_EQ(ask("printf no-newline"), "no-newline[0]");
    EXPECT_EQ(ask("printf 'a\\0\\1\\1\\1b\\n'"), std::string("a\0\1\1\1b\n[0]", 10));
    EXPECT_EQ(ask("echo \"${ENV##*/}\""), "never\n[0]");  // seen, and not run
    EXPECT_EQ(ask("echo \"it's\" 'ä €'; PS1='$ '"), "it's ä €\n[0]");
    EXPECT_EQ(ask("echo y"), "y\n[0]");
}

TEST_P(ShSession, ErrorsOfTheShellEndTheCommandAlone) {
    EXPECT_EQ(ask("v=1; return 5"), "[5]");
    for (std::string const text : {"if then", "echo ${nope:?bad}; echo no", "readonly R=1; R=2; echo no",
                                   "set -u; echo $nothing; echo no"}) {
        std::string const answer = ask(text);
        EXPECT_TRUE(answer.ends_with("[2]") && answer.find("no\n[") == std::string::npos) << answer;
    }
    EXPECT_EQ(ask("set +u; echo $v"), "1\n[0]");
    EXPECT_TRUE(ask("nosuchcommand").ends_with("not found\n[127]"));
}

TEST_P(ShSession, PrivateDescriptorsAreClosedForCommandsAndNoReaderHangs) {
    EXPECT_NE(ask("echo x >&7"), "[0]");
    EXPECT_EQ(ask("cat /proc/self/fd/8 2>/dev/null || echo none"), "none\n[0]");
    EXPECT_EQ(ask("read x; echo \"[$x]\" $?; cat"), "[] 1\n[0]");
    EXPECT_EQ(ask("cat <<EOF\nhere $((1+1))\nEOF"), "here 2\n[0]");
    EXPECT_EQ(ask("exec 3>" + bin + "/three; echo three >&3"), "[0]");
    EXPECT_EQ(ask("echo more >&3; cat " + bin + "/three"), "three\nmore\n[0]");
}

TEST_P(ShSession, ExitExecAndKillsAreAnsweredAndTheSessionGoesOn) {
    EXPECT_EQ(ask("cd /usr; export KEEP=\"a 'b\""), "[0]");
    auto const run = begin("echo last; exit 7");
    auto const end = finish(run);
    EXPECT_EQ(end.kind, RunEnd::Kind::shell_exited);
    EXPECT_EQ(end.status, 7);
    EXPECT_EQ(output(*run), "last\n");
    EXPECT_EQ(ask("echo $KEEP; pwd"), "a 'b\n/usr\n[0]");
    EXPECT_EQ(ask("exec sh -c 'sleep 0.05; echo replaced; exit 9'"), "replaced\n[9]");
    EXPECT_EQ(ask("set -e; echo a; false; echo never"), "a\n[1]");
    EXPECT_EQ(ask("kill -9 $$"), "[137]");
    EXPECT_EQ(ask("exec 2>&1; echo back"), "back\n[0]");
}

TEST_P(ShSession, InterruptReachesLoopsAndChildrenAndKeepsState) {
    ask("v=1");
    for (std::string const text : {"echo go; sleep 1000", "echo go; while :; do :; done",
                                   "echo go; for i in 1 2; do sleep 1000; done"}) {
        auto const run = begin(text);
        wait_for(*run, "go");
        EXPECT_TRUE(session->interrupt());
        auto const end = finish(run);
        EXPECT_EQ(end.status, 130) << text;
        EXPECT_EQ(end.kind, RunEnd::Kind::completed);
    }
    EXPECT_EQ(ask("echo $v"), "1\n[0]");
}

TEST_P(ShSession, AnInterruptAtAnyMomentIsAnswered) {
    ask("v=1");
    for (int i = 0; i < 10; ++i) {
        auto const run = begin("sleep 1000");
        for (int turns = 0; turns < i; ++turns) h.loop.io().poll_one();
        EXPECT_TRUE(session->interrupt());
        EXPECT_EQ(finish(run).status, 130) << i;
    }
    EXPECT_EQ(ask("echo $v").substr(0, 1), "1");
}

TEST_P(ShSession, TimeoutsJobsAndTracesAsInBash) {
    ask("cd /usr; v=1");
    EXPECT_EQ(finish(begin("sleep 1000", 50ms)).kind, RunEnd::Kind::timed_out);
    EXPECT_EQ(ask("echo $v"), "1\n[0]");
    EXPECT_EQ(finish(begin("trap '' INT; while :; do :; done", 50ms)).kind, RunEnd::Kind::timed_out);
    EXPECT_EQ(ask("pwd"), "/usr\n[0]");
    // dash ignores SIGTERM where it is interactive, and so does its job until it has begun (bash takes care):
    // a signal that comes before is lost, and `wait` waits for ever.
    EXPECT_EQ(ask("{ : >" + bin + "/up; exec sleep 1000; } & j=$!; until [ -e " + bin + "/up ]; do :; done"),
              "[0]");
    EXPECT_EQ(ask("kill -0 $j && echo alive"), "alive\n[0]");
    EXPECT_NE(ask("kill $j; wait $j").find("[143]"), std::string::npos);
    EXPECT_EQ(ask("set -x; echo a"), "+ echo a\na\n[0]");
    EXPECT_EQ(ask("echo b"), "+ echo b\nb\n[0]");
    EXPECT_EQ(ask("set +x"), "+ set +x\n[0]");
    EXPECT_EQ(ask("trap 'echo usr' USR1; kill -USR1 $$; true"), "usr\n[0]");
}

TEST_P(ShSession, CwdExportsAndLargeSources) {
    auto run =
        h.run(session->run({.text = "pwd; echo \"$X\"", .cwd = "/usr", .exports = {{"X", "it's $HOME"}}}));
    finish(*run);
    EXPECT_EQ(output(**run), "/usr\nit's $HOME\n");
    auto bad = h.run(session->run({.text = "echo never", .cwd = "/nonexistent", .exports = {}}));
    EXPECT_NE(finish(*bad).status, 0);
    EXPECT_EQ(output(**bad).find("never\n"), std::string::npos);
    EXPECT_EQ(ask(": " + std::string(1'000'000, 'x') + "\necho ok"), "ok\n[0]");
}

INSTANTIATE_TEST_SUITE_P(NoBash, ShSession, ::testing::Values("dash", "busybox"),
                         [](auto const& one) { return std::string(one.param); });

}  // namespace
}  // namespace execd::shell
