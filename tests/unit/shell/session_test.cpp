#include <signal.h>
#include <stdlib.h>

#include "harness.hpp"
#include "shell/session.hpp"

namespace execd::shell {
namespace {

class SessionTest : public ::testing::Test {
  protected:
    void SetUp() override {
        Session::Options options;
        options.environment = Environment({"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/tmp"});
        options.cwd = "/tmp";
        auto opened = h.run(Session::open(h.loop, h.executions, std::move(options)));
        ASSERT_TRUE(opened.has_value()) << opened.error().message();
        session = *opened;
    }
    std::shared_ptr<SessionRun> begin(std::string text, Duration timeout = {}) {
        auto run =
            h.run(session->run({.text = std::move(text), .cwd = {}, .exports = {}, .timeout = timeout}));
        EXPECT_TRUE(run.has_value()) << (run ? "" : run.error().message());
        if (!run) throw std::runtime_error("see the failure above");
        return *run;
    }
    RunEnd finish(std::shared_ptr<SessionRun> const& run) {
        EXPECT_EQ(h.run(run->wait(h.soon())), SessionRun::Waited::ended);
        if (!run->end()) throw std::runtime_error("see the failure above");
        return *run->end();
    }
    std::string output(SessionRun const& run, StreamMask streams = kAllStreams) {
        return h.run(Harness::collect(run.reader(streams), h.soon()));
    }
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
    Harness h;
    std::shared_ptr<Session> session;
};

TEST_F(SessionTest, StateLivesOnAndNothingIsAdded) {
    EXPECT_EQ(ask("echo hi; echo err >&2; false"), "hi\nerr\n[1]");
    EXPECT_EQ(ask("cd /; export A=1; b=2; f() { echo f$b; }; alias zz='echo aliased'; set -o pipefail"),
              "[0]");
    EXPECT_EQ(ask("echo $A $b; f; zz; pwd; false | true"), "1 2\nf2\naliased\n/\n[1]");
    EXPECT_EQ(session->cwd(), "/");
    EXPECT_EQ(ask("printf no-newline"), "no-newline[0]");
    EXPECT_EQ(ask("printf 'a\\0\\1\\1\\1b\\n'"),
              std::string("a\0\1\1\1b\n[0]", 10));  // PEERS 6.1, DAY execute.go
}

TEST_F(SessionTest, PrivateDescriptorsAreClosedForCommands) {
    EXPECT_EQ(ask("ls /proc/self/fd | grep -c '^6'; echo x >&61"), "0\nbash: 61: Bad file descriptor\n[1]");
}

TEST_F(SessionTest, HeredocsAndReadersNeverHang) {  // PEERS 6.1, CF #446/#141
    EXPECT_EQ(ask("cat <<EOF\nhere $((1+1))\nEOF"), "here 2\n[0]");
    EXPECT_EQ(ask("read x; echo \"[$x]\" $?; cat"), "[] 1\n[0]");
    EXPECT_EQ(ask("cat <<'E'\nunfinished"),
              "bash: warning: here-document at line 1 delimited by end-of-file "
              "(wanted `E')\nunfinished\n[0]");
}

TEST_F(SessionTest, ExitIsAnsweredAndTheSessionGoesOn) {
    EXPECT_EQ(ask("cd /usr; export KEEP='a b'"), "[0]");
    auto const run = begin("echo last; exit 7");
    auto const end = finish(run);
    EXPECT_EQ(end.kind, RunEnd::Kind::shell_exited);
    EXPECT_EQ(end.status, 7);
    EXPECT_EQ(output(*run), "last\n");
    EXPECT_EQ(ask("echo $KEEP; pwd"), "a b\n/usr\n[0]");
}

TEST_F(SessionTest, AReopenedShellHasItsOwnMarkAndSparesTheServersOfTheOld) {
    auto const mark = [this] { return session->execution()->id() + "\n[0]"; };
    EXPECT_EQ(ask("echo $EXECD_EXECUTION"), mark());  // the shell is the same one before and after
    auto const run = begin("setsid sleep 1000 & echo $!; exit 3");
    finish(run);
    std::string pid = output(*run);
    pid.pop_back();
    auto const old = session->execution();
    std::string const seen = ask("env | sed -n s/^EXECD_EXECUTION=//p");
    EXPECT_EQ(seen, mark());
    EXPECT_NE(session->execution(), old);
    EXPECT_EQ(ask("read -t 0.05 x < <(sleep 1); kill -0 " + pid), "[0]");
    h.run(old->stop({}));
    EXPECT_EQ(ask("exec 2>/dev/null; while kill -0 " + pid + "; do sleep 0.01; done"), "[0]");  // gone
}

TEST_F(SessionTest, ItsEndTakesWhatTheShellsBeforeLeftRunning) {
    std::vector<pid_t> left;
    for (int i = 0; i < 3; ++i) {
        auto const run = begin("setsid sleep 1000 >/dev/null 2>&1 & echo $!; exit 3");
        finish(run);
        left.push_back(std::stoi(output(*run)));
    }
    EXPECT_TRUE(h.executions.remove(session->execution()->id()));  // of that one the marker alone is known
    EXPECT_EQ(ask("echo on"), "on\n[0]");
    for (pid_t const pid : left) EXPECT_EQ(::kill(pid, 0), 0);
    h.run(session->close());
    std::string all;
    for (pid_t const pid : left) all += " " + std::to_string(pid);
    auto const gone =
        h.start("for p in" + all + "; do while kill -0 $p 2>/dev/null; do sleep 0.01; done; done");
    EXPECT_TRUE(h.verdict(gone).success());
}

TEST_F(SessionTest, AnInterruptAtAnyMomentIsAnswered) {
    ask("v=1");
    for (int i = 0; i < 10; ++i) {
        auto const run = begin("sleep 1000");
        for (int turns = 0; turns < i; ++turns) h.loop.io().poll_one();
        EXPECT_TRUE(session->interrupt());
        EXPECT_EQ(finish(run).status, 130) << i;
    }
    EXPECT_EQ(ask("echo $v").substr(0, 1), "1");
}

TEST_F(SessionTest, ExecSetEAndKills) {
    EXPECT_EQ(ask("exec bash -c 'sleep 0.05; echo replaced; exit 9'"), "replaced\n[9]");
    EXPECT_EQ(ask("trap 'echo bye' EXIT; set -e; echo a; false; echo never"), "a\nbye\n[1]");
    EXPECT_EQ(ask("kill -9 $$"), "[137]");
    EXPECT_EQ(ask("exec 2>&1; echo back"), "back\n[0]");
}

TEST_F(SessionTest, SyntaxErrorsAndReturns) {
    EXPECT_EQ(ask("if then"),
              "bash: eval: line 1: syntax error near unexpected token `then'\n"
              "bash: eval: line 1: `if then'\n[2]");
    EXPECT_EQ(ask("return 5"), "[5]");
    EXPECT_EQ(ask("PS1='$ '; PROMPT_COMMAND='echo pc'; echo x"), "x\n[0]");
    EXPECT_EQ(ask("echo y"), "y\n[0]");
}

TEST_F(SessionTest, InterruptReachesLoopsAndChildrenAndKeepsState) {
    ask("v=1");
    for (std::string const text : {"echo go; sleep 1000", "echo go; while :; do :; done",
                                   "echo go; for i in 1 2; do sleep 1000; done"}) {
        auto const run = begin(text);
        wait_for(*run, "go");
        EXPECT_TRUE(session->interrupt());
        auto const end = finish(run);
        EXPECT_EQ(end.status, 130) << text;
        EXPECT_TRUE(end.interrupted);
        EXPECT_EQ(end.kind, RunEnd::Kind::completed);
    }
    EXPECT_EQ(ask("echo $v"), "1\n[0]");
    EXPECT_EQ(session->interrupt().error().code, Code::conflict);
}

TEST_F(SessionTest, TimeoutInterruptsAndThenKills) {
    ask("cd /usr; v=1");
    auto const polite = begin("sleep 1000", 50ms);
    EXPECT_EQ(finish(polite).kind, RunEnd::Kind::timed_out);
    EXPECT_EQ(ask("echo $v"), "1\n[0]");
    auto const stubborn = begin("trap '' INT; while :; do :; done", 50ms);
    auto const end = finish(stubborn);
    EXPECT_EQ(end.kind, RunEnd::Kind::timed_out);
    ASSERT_TRUE(end.verdict.has_value());
    EXPECT_EQ(ask("pwd"), "/usr\n[0]");
}

TEST_F(SessionTest, ATimeoutKillsWhatItsCommandStartedAndSparesOlderJobs) {
    auto const older = begin("sleep 1000 & echo $!");
    finish(older);
    std::string const server = output(*older);
    ask("v=1; read -t 0.05 x < <(sleep 1)");  // a job of the same clock tick counts as the next command's
    auto const run =
        begin("trap '' INT; (setsid sleep 1000 & echo $!) ; bash -c 'sleep 1000; echo no'", 50ms);
    auto const end = finish(run);
    EXPECT_EQ(end.kind, RunEnd::Kind::timed_out);
    EXPECT_FALSE(end.verdict.has_value());  // the shell itself lives on
    std::string const pid = output(*run).substr(0, output(*run).find('\n'));
    EXPECT_EQ(ask("kill -0 " + pid + " 2>/dev/null; echo $?; kill -0 " + server.substr(0, server.size() - 1) +
                  "; echo $? $v"),
              "1\n0 1\n[0]");
}

TEST_F(SessionTest, AnAbandonedCommandIsEndedAndItsJobsStay) {
    // Until it is sleep, the job is a fork of bash that has not ignored SIGINT yet.
    auto const run =
        begin("sleep 1000 & until [ \"$(</proc/$!/comm)\" = sleep ]; do :; done; echo $!; sleep 1000");
    wait_for(*run, "\n");
    session->abandon(run);
    EXPECT_EQ(finish(run).status, 130);
    std::string const text = output(*run);
    EXPECT_EQ(ask("kill -0 " + text.substr(0, text.find('\n')) + "; echo $?"), "0\n[0]");
    session->abandon(run);  // it has ended: nothing happens
    EXPECT_EQ(ask("echo on"), "on\n[0]");
}

TEST_F(SessionTest, OptionsAndTracesStayAndAreTheCommandsOwn) {
    Session::Options options;
    options.environment = Environment({"PATH=/usr/local/bin:/usr/bin:/bin"});
    options.merge_output = true;  // the traces' place among the output
    session = *h.run(Session::open(h.loop, h.executions, std::move(options)));
    EXPECT_EQ(ask("set -x; echo a"), "+++ echo a\na\n[0]");
    EXPECT_EQ(ask("echo b"), "+++ echo b\nb\n[0]");
    EXPECT_EQ(ask("set +x"), "+++ set +x\n[0]");
    EXPECT_EQ(ask("echo c"), "c\n[0]");
    EXPECT_EQ(ask("set -v; echo d"), "d\n[0]");
    EXPECT_EQ(ask("set +v; echo e"), "e\n[0]");
    EXPECT_EQ(ask("set -u; shopt -s nullglob; set -f"), "[0]");
    EXPECT_EQ(ask("shopt nullglob; echo $- | tr -cd fu"), "nullglob       \ton\nfu[0]");
    auto const run = begin("set -x; echo go; sleep 1000");
    wait_for(*run, "go");
    EXPECT_TRUE(session->interrupt());
    EXPECT_EQ(finish(run).status, 130);
    EXPECT_EQ(ask("echo f"), "+++ echo f\nf\n[0]");
}

TEST_F(SessionTest, TrapsAreTheCommandsOwn) {
    EXPECT_EQ(ask("trap 'echo err' ERR"), "[0]");
    EXPECT_EQ(ask("true"), "[0]");
    EXPECT_EQ(ask("trap - ERR; trap 'echo usr' USR1; kill -USR1 $$; true"), "usr\n[0]");
    EXPECT_EQ(ask("kill -USR1 $$; :"), "usr\n[0]");
}

TEST_F(SessionTest, JobsSurvive) {
    EXPECT_EQ(ask("sleep 1000 & sleep 1001 &"), "[0]");
    EXPECT_EQ(ask("jobs | wc -l; kill %1; wait %1; echo $?"), "2\n143\n[0]");
    EXPECT_EQ(ask("jobs -r | wc -l; kill $(jobs -p); wait"), "1\n[0]");
}

TEST_F(SessionTest, ANewEnvironmentReachesTheNextCommand) {
    auto const with = [this](std::vector<std::string> const& more) {
        std::vector<std::string> all = {"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/tmp"};
        all.insert(all.end(), more.begin(), more.end());
        Session::RunSpec spec;
        spec.text = "echo \"$A|$B\"; export B=own";
        spec.environment = Environment(all);
        auto run = h.run(session->run(std::move(spec)));
        EXPECT_TRUE(run.has_value());
        finish(*run);
        return output(**run);
    };
    EXPECT_EQ(with({"A=it's", "B=1", "not a name=x"}), "it's|1\n");
    EXPECT_EQ(with({"A=it's", "B=1"}), "it's|own\n");  // what the session set stays
    EXPECT_EQ(with({"A=2", "B=1"}), "2|own\n");
    EXPECT_EQ(ask("exit 1"), "[1]");
    EXPECT_EQ(with({"A=2", "B=1"}), "2|own\n");
}

TEST_F(SessionTest, ReopensWhereTheFirstDirectoryHasGone) {
    std::string pattern = ::testing::TempDir() + "sessionXXXXXX";
    std::string const home = ::mkdtemp(pattern.data());
    Session::Options options;
    options.environment = Environment({"PATH=/usr/local/bin:/usr/bin:/bin"});
    options.cwd = home;
    session = *h.run(Session::open(h.loop, h.executions, std::move(options)));
    ask("cd /usr; rmdir " + home);
    ask("exit 3");
    EXPECT_EQ(ask("pwd"), "/usr\n[0]");
}

TEST_F(SessionTest, BadSpecsAreRefused) {
    auto const code = [this](Session::RunSpec spec) {
        auto run = h.run(session->run(std::move(spec)));
        return run ? Code::internal : run.error().code;
    };
    std::string const nul("a\0b", 3);
    EXPECT_EQ(code({.text = nul}), Code::invalid_argument);
    EXPECT_EQ(code({.text = "true", .cwd = nul}), Code::invalid_argument);
    EXPECT_EQ(code({.text = "true", .cwd = {}, .exports = {{"A", nul}}}), Code::invalid_argument);
    EXPECT_EQ(code({.text = "true", .cwd = {}, .exports = {{"A B", "x"}}}), Code::invalid_argument);
    EXPECT_EQ(code({.text = "true", .cwd = {}, .exports = {}, .timeout = -1ms}), Code::invalid_argument);
    EXPECT_EQ(ask("echo on"), "on\n[0]");
}

TEST_F(SessionTest, BusySessionsQueueOrRefuse) {
    auto const first = begin("echo one; read -t 0.2 x < <(sleep 1); echo two");
    auto refused =
        h.run(session->run({.text = "true", .cwd = {}, .exports = {}, .timeout = {}, .queue = false}));
    EXPECT_EQ(refused.error().code, Code::conflict);
    EXPECT_EQ(ask("echo three"), "three\n[0]");
    EXPECT_FALSE(first->running());
    EXPECT_EQ(output(*first), "one\ntwo\n");
}

TEST_F(SessionTest, CwdAndExportsOfOneRun) {
    auto run =
        h.run(session->run({.text = "pwd; echo \"$X\"", .cwd = "/usr", .exports = {{"X", "it's $HOME"}}}));
    finish(*run);
    EXPECT_EQ(output(**run), "/usr\nit's $HOME\n");
    auto bad = h.run(session->run({.text = "echo never", .cwd = "/nonexistent", .exports = {}}));
    EXPECT_EQ(finish(*bad).status, 1);
}

TEST_F(SessionTest, LargeSourcesAndLargeOutputs) {
    std::string const text =
        ": " + std::string(3'000'000, 'x') + "\necho ok; head -c 500000 /dev/zero | tr '\\0' y";
    auto const run = begin(text);
    finish(run);
    EXPECT_EQ(output(*run).size(), 500'003U);
    auto bad = h.run(session->run({.text = std::string(1, '\0'), .cwd = {}, .exports = {}}));
    EXPECT_EQ(bad.error().code, Code::invalid_argument);
}

TEST_F(SessionTest, BackgroundJobsSurviveTheirCommand) {
    EXPECT_EQ(ask("sleep 0.1 & echo started"), "started\n[0]");
    EXPECT_EQ(ask("wait; echo waited"), "waited\n[0]");
}

TEST_F(SessionTest, SoftWaitsReportAndLeaveItRunning) {
    auto const run = begin("echo x; sleep 1000");
    EXPECT_EQ(h.run(run->wait(Deadline::in(h.clock, 50ms))), SessionRun::Waited::deadline);
    EXPECT_EQ(h.run(run->wait(h.soon(), 50ms)), SessionRun::Waited::no_change);
    EXPECT_TRUE(run->running());
    h.run(session->close());
    EXPECT_EQ(finish(run).kind, RunEnd::Kind::closed);
    EXPECT_EQ(h.run(session->run({.text = "true", .cwd = {}, .exports = {}})).error().code, Code::gone);
}

class TerminalSessionTest : public SessionTest {
  protected:
    void SetUp() override {
        Session::Options options;
        options.environment = Environment({"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/tmp", "TERM=dumb"});
        options.cwd = "/tmp";
        options.terminal = WindowSize{90, 20};
        auto opened = h.run(Session::open(h.loop, h.executions, std::move(options)));
        ASSERT_TRUE(opened.has_value()) << opened.error().message();
        session = *opened;
    }
};

TEST_F(TerminalSessionTest, StateExitAndCleanOutput) {
    EXPECT_EQ(ask("echo hi; tty >/dev/null; echo $?; stty size"), "hi\r\n0\r\n20 90\r\n[0]");
    EXPECT_EQ(ask("cd /usr; v=1; f() { echo f$v; }; export KEEP=x; false"), "[1]");
    EXPECT_EQ(ask("f; pwd"), "f1\r\n/usr\r\n[0]");
    auto const run = begin("exit 7");
    EXPECT_EQ(finish(run).kind, RunEnd::Kind::shell_exited);
    EXPECT_EQ(ask("echo $KEEP $PWD"), "x /usr\r\n[0]");
    EXPECT_EQ(ask(": " + std::string(20'000, 'x') + "; echo long"), "long\r\n[0]");
}

TEST_F(TerminalSessionTest, CommandsAreTypedTo) {
    auto const run = begin("read -p 'name? ' name; echo \"hello $name\"");
    wait_for(*run, "name? ");
    EXPECT_TRUE(h.run(session->write("bob\n", h.soon())));
    EXPECT_EQ(finish(run).status, 0);
    EXPECT_EQ(output(*run), "name? bob\r\nhello bob\r\n");
    EXPECT_TRUE(h.run(session->write("\n\n", h.soon())));  // typed at the idle shell: no command, no report
    EXPECT_EQ(ask("echo next").substr(0, 100).find("[0]") != std::string::npos, true);
}

TEST_F(TerminalSessionTest, InterruptReachesTheForegroundJob) {
    ask("v=1");
    for (std::string const text : {"echo go; sleep 1000", "echo go; while :; do :; done"}) {
        auto const run = begin(text);
        wait_for(*run, "go");
        EXPECT_TRUE(session->interrupt());
        EXPECT_EQ(finish(run).status, 130) << text;
    }
    EXPECT_NE(ask("echo v=$v").find("v=1"), std::string::npos);
}

}  // namespace
}  // namespace execd::shell
