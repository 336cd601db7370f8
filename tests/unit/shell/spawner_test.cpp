#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/fault.hpp"
#include "harness.hpp"
#include "shell/channels.hpp"

namespace execd::shell {
namespace {

SpawnSpec bash(std::string text) {
    SpawnSpec spec;
    spec.argv = {"bash", "-c", std::move(text)};
    spec.env = {"PATH=/nonexistent:/usr/bin:/bin"};
    return spec;
}

TEST(Candidates, FollowThePathOfTheChild) {
    EXPECT_EQ(exec_candidates("a/b", {"PATH=/x"}), (std::vector<std::string>{"a/b"}));
    EXPECT_EQ(exec_candidates("b", {"PATH=/x::/y"}), (std::vector<std::string>{"/x/b", "./b", "/y/b"}));
    EXPECT_FALSE(exec_candidates("b", {}).empty());
}

TEST(Spawner, StatusOfAProgramFoundInPath) {
    Harness h;
    auto process = h.run(h.spawner.spawn(bash("exit 7")));
    ASSERT_TRUE(process.has_value());
    ASSERT_TRUE(h.run((*process)->wait(h.soon())));
    EXPECT_EQ((*process)->status().value, 7);
    EXPECT_EQ((*process)->signal(SIGTERM).error().code, Code::gone);
    EXPECT_EQ(h.reaper.registered(), 0U);
}

TEST(Spawner, AllSettingsReachTheChild) {
    Harness h;
    auto pipe = open_pipe(false);
    ASSERT_TRUE(pipe.has_value());
    auto spec = bash(
        "id -u; id -g; id -G; umask; ulimit -n; nice; cat /proc/self/oom_score_adj; pwd;"
        "grep NoNewPrivs /proc/self/status; echo to9 >&9");
    spec.cwd = "/";
    spec.umask = 077;
    spec.nice = 5;
    spec.oom_score_adj = 500;
    spec.limits = {{RLIMIT_NOFILE, 64, 64}};
    spec.no_new_privs = true;
    if (::geteuid() == 0) spec.identity = Identity{65534, 65534, {100, 4}};
    spec.fds = {{pipe->write.get(), 1}, {pipe->write.get(), 9}};
    spec.owned.push_back(std::move(pipe->write));
    auto process = h.run(h.spawner.spawn(std::move(spec)));
    ASSERT_TRUE(process.has_value());
    ASSERT_TRUE(h.run((*process)->wait(h.soon())));
    std::string text(1000, '\0');
    text.resize(
        static_cast<std::size_t>(std::max<ssize_t>(0, ::read(pipe->read.get(), text.data(), text.size()))));
    std::string const tail = "0077\n64\n5\n500\n/\nNoNewPrivs:\t1\nto9\n";
    if (::geteuid() == 0)
        EXPECT_EQ(text, "65534\n65534\n65534 4 100\n" + tail);
    else
        EXPECT_TRUE(text.ends_with(tail)) << text;
}

TEST(Spawner, EachFailingStepIsNamed) {
    Harness h;
    auto const failure = [&](auto&& change) {
        auto spec = bash("true");
        change(spec);
        auto const result = h.run(h.spawner.spawn(std::move(spec)));
        EXPECT_FALSE(result.has_value());
        return result ? SpawnFailure{} : result.error();
    };
    EXPECT_EQ(failure([](auto& s) { s.cwd = "/none"; }).step, Step::cwd);
    EXPECT_EQ(failure([](auto& s) { s.cwd = "/etc/passwd"; }).error, ENOTDIR);
    EXPECT_EQ(failure([](auto& s) { s.program = "/etc/passwd"; }).error, EACCES);
    EXPECT_EQ(failure([](auto& s) { s.argv = {"nothing"}; }).error, ENOENT);
    EXPECT_EQ(failure([](auto& s) { s.limits = {{999, 1, 1}}; }).step, Step::limits);
    EXPECT_EQ(failure([](auto& s) { s.fds = {{-1, 1}}; }).step, Step::prepare);
    EXPECT_EQ(failure([](auto& s) { s.argv.emplace_back(200'000, 'x'); }).error, E2BIG);
    EXPECT_EQ(failure([](auto& s) { s.argv.clear(); }).step, Step::prepare);
    EXPECT_EQ(failure([](auto& s) { s.cgroup_procs = {999}; }).step, Step::cgroup);
}

TEST(Spawner, WorksWithoutClone3) {
    Harness h;
    force_clone_quirks({.no_clone3 = true, .no_into_cgroup = true});
    auto process = h.run(h.spawner.spawn(bash("exit 9")));
    force_clone_quirks({});
    ASSERT_TRUE(process.has_value());
    ASSERT_TRUE(h.run((*process)->wait(h.soon())));
    EXPECT_EQ((*process)->status().value, 9);
}

TEST(Spawner, AnInjectedCloneFailureIsReported) {
    Harness h;
    fault::arm("spawn.clone", 1, EAGAIN);
    auto const result = h.run(h.spawner.spawn(bash("true")));
    fault::disarm();
    ASSERT_FALSE(result.has_value());
    EXPECT_EQ(result.error().step, Step::clone);
    EXPECT_EQ(result.error().to_error().code, Code::exhausted);
}

Task<void> run_and_check(Spawner& spawner, int code, Deadline deadline, int* good) {
    auto spec = bash("exit " + std::to_string(code));
    auto process = co_await spawner.spawn(std::move(spec));
    if (!process) co_return;
    bool const ended = co_await (*process)->wait(deadline);
    if (ended && (*process)->status().value == code) ++*good;
}

// PEERS 6.1, DAY childreap and OSB #1041 (the long form is test_command_groups.py's)
TEST(Reaper, NoStatusIsLostOrSwapped) {
    Harness h;
    int good = 0;
    Scope scope(h.loop, "test");
    for (int round = 0; round < 10; ++round) {
        for (int i = 0; i < 20; ++i) scope.spawn("child", run_and_check(h.spawner, i, h.soon(), &good));
        h.run(scope.drain(h.soon()));
    }
    EXPECT_EQ(good, 200);
    EXPECT_EQ(h.reaper.registered(), 0U);
}

TEST(Reaper, OrphansAreTakenAway) {
    Harness h;
    auto run = h.start("for i in 1 2 3 4 5; do (sleep 0.05 & exit 0); done; exit 0");
    h.verdict(run);
    h.read(*run, ReadFrom{.until = Until::closed});  // the sleepers held the pipes
    auto again = h.start("sleep 0.05");              // their SIGCHLDs have come by its end
    h.verdict(again);
    EXPECT_GE(h.reaper.orphans(), 5U);
}

TEST(Reaper, ADroppedHelperDies) {
    Harness h;
    auto process = h.run(h.spawner.spawn(bash("sleep 1000")));
    ASSERT_TRUE(process.has_value());
    pid_t const pid = (*process)->pid();
    (*process)->kill_when_dropped();
    process->reset();
    auto later = h.start("exec 2>/dev/null; while kill -0 " + std::to_string(pid) + "; do sleep 0.01; done");
    EXPECT_TRUE(h.verdict(later).success());
}

}  // namespace
}  // namespace execd::shell
