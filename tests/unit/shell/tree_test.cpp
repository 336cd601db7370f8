#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "harness.hpp"
#include "shell/clone_child.hpp"
#include "shell/owners.hpp"
#include "shell/process_tree.hpp"

namespace execd::shell {
namespace {

TEST(ProcessTree, StatLinesWithAnyName) {
    auto const entry = parse_stat("42 (a) b (c)) S 7 42 40 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 12345 0 0");
    EXPECT_EQ(entry.pid, 42);
    EXPECT_EQ(entry.parent, 7);
    EXPECT_EQ(entry.group, 42);
    EXPECT_EQ(entry.session, 40);
    EXPECT_EQ(entry.state, 'S');
    EXPECT_EQ(entry.started, 12345U);
    EXPECT_EQ(parse_stat("").pid, 0);
    EXPECT_EQ(parse_stat("42 (x) S").pid, 0);
    EXPECT_EQ(parse_stat("x (x) S 1 2 3").pid, 0);
}

/// Waits (by a shell that polls kill -0, outside of us) until these processes are gone.
bool gone(Harness& h, std::string const& pids) {
    // `exit 0`: a loop ends with the status of its last round, and that of one that waited is not 0.
    auto spec = h.shell("for p in " + pids +
                        "; do n=0; while kill -0 $p 2>/dev/null; do sleep 0.01; n=$((n+1)); "
                        "[ $n -gt 500 ] && exit 1; done; done; exit 0");
    auto const verdict = h.verdict(h.start(std::move(spec)));
    EXPECT_TRUE(verdict.success()) << "looking for " << pids << ": " << verdict.text();
    return verdict.success();
}

TEST(ProcessTree, GoneIsAlsoWhatGoesMeanwhile) {
    Harness h;
    auto run = h.start("exec sleep 0.05");  // a killed process, too, takes its time on a full machine
    EXPECT_TRUE(gone(h, std::to_string(run->pid())));
}

TEST(ProcessTree, StopEndsWhatLeftGroupAndSession) {
    Harness h;
    auto run = h.start(
        "setsid sleep 1000 & echo $!; (setsid setsid sleep 1001 & echo $!; exit 0); sleep 1002 & echo $!;"
        "echo done; sleep 1003");
    std::string pids;
    Cursor cursor = run->journal().reader({.streams = mask_of(Stream::out)});
    Batch batch;
    while (pids.find("done") == std::string::npos && h.run(cursor.next(batch, h.soon())) == Next::data)
        for (auto const& slice : batch.slices) pids += slice.bytes;
    h.run(run->stop(0s));
    EXPECT_TRUE(std::holds_alternative<Cancelled>(h.verdict(run).ending));
    pids.resize(pids.find("done"));
    std::replace(pids.begin(), pids.end(), '\n', ' ');
    EXPECT_TRUE(gone(h, pids)) << pids;
    EXPECT_TRUE(find_tree({0, run->id()}).empty());
}

/// A line of its output.
std::string next_line(Harness& h, Cursor& cursor) {
    std::string text;
    Batch batch;
    while (text.find('\n') == std::string::npos && h.run(cursor.next(batch, h.soon())) == Next::data)
        for (auto const& slice : batch.slices) text += slice.bytes;
    return text.substr(0, text.find('\n'));
}

TEST(ProcessTree, StopEndsWhatIgnoresTermInTheGroupAndHasACleanEnvironment) {
    Harness h;
    auto run = h.start("env -i /bin/sh -c 'trap \"\" TERM; echo $$; exec sleep 1000' & wait");
    Cursor cursor = run->journal().reader();
    std::string const pid = next_line(h, cursor);
    h.run(run->stop(10s));  // the leader obeys at once
    EXPECT_EQ(std::get<Signaled>(run->verdict()->status).signal, SIGTERM);
    EXPECT_TRUE(gone(h, pid));
}

TEST(ProcessTree, StopAfterTheVerdictEndsTheServerThatStayed) {
    Harness h;
    auto run = h.start("sleep 1000 & echo $!");
    EXPECT_TRUE(h.verdict(run).output_open);
    std::string pid = h.read(*run);
    h.run(run->stop(0s));
    pid.pop_back();
    EXPECT_TRUE(gone(h, pid));
    EXPECT_EQ(h.read(*run, ReadFrom{.until = Until::closed}), pid + "\n");
}

TEST(ProcessTree, FreezeAndThaw) {
    Harness h;
    auto run = h.start("echo up; exec sleep 1000");
    Cursor cursor = run->journal().reader();
    Batch batch;
    ASSERT_EQ(h.run(cursor.next(batch, h.soon())), Next::data);
    h.run(run->freeze(true));
    auto const frozen = find_tree({run->pid(), run->id()});
    ASSERT_EQ(frozen.size(), 1U);
    h.run(run->freeze(false));
    h.run(run->stop(1s));
}

// ---- cgroups

TEST(Cgroups, ParsesHybridMounts) {
    auto const mounts = parse_cgroup_mounts(
        "30 24 0:26 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs rw,mode=755\n"
        "31 30 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate\n"
        "32 30 0:28 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n"
        "33 30 0:30 /  /sys rw - cgroup cgroup rw,memory\n"  // no place
        "33 30 0:29 /docker/abc /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n");
    ASSERT_EQ(mounts.size(), 2U);
    EXPECT_EQ(mounts[0].path, "/sys/fs/cgroup/unified");
    EXPECT_TRUE(mounts[0].controllers.empty());
    EXPECT_EQ(mounts[1].root, "/docker/abc");
    EXPECT_EQ(mounts[1].controllers, (std::vector<std::string>{"cpu", "cpuacct"}));
    std::string const self = "8:pids:/a\n5:cpu,cpuacct:/b/c\n0::/d\n";
    EXPECT_EQ(own_cgroup(self, ""), "/d");
    EXPECT_EQ(own_cgroup(self, "cpu"), "/b/c");
    EXPECT_FALSE(own_cgroup(self, "memory").has_value());
    EXPECT_EQ(flat_value("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n", "oom_kill"), 3U);
}

class FakeV2 {
  public:
    FakeV2() {
        std::string pattern = ::testing::TempDir() + "cgXXXXXX";
        root = ::mkdtemp(pattern.data());
        put("cgroup.controllers", "cpuset cpu memory pids\n");
        put("memory.events", "low 0\noom 0\noom_kill 2\n");
        for (auto const* name : {"cgroup.subtree_control", "cgroup.procs"}) put(name, "");
        put("mountinfo", "31 30 0:27 / " + root + " rw - cgroup2 cgroup2 rw\n");
        put("self", "0::/\n");
        for (char const c : std::filesystem::read_symlink("/proc/self/ns/pid").string())
            if (c >= '0' && c <= '9') prefix += c;
        prefix += '-';
        base = root + "/" + prefix + std::to_string(::getpid());
        ::mkdir(base.c_str(), 0755);
        put(prefix + std::to_string(::getpid()) + "/cgroup.subtree_control", "");
    }
    void put(std::string const& name, std::string const& text) { std::ofstream(root + "/" + name) << text; }
    std::string root;
    std::string prefix = "execd-";
    std::string base;
};

TEST(Cgroups, V2AgainstAFakeTree) {
    FakeV2 fake;
    auto const groups = Cgroups::detect({fake.root + "/mountinfo", fake.root + "/self", false});
    EXPECT_EQ(groups->kind(), "v2");
    EXPECT_EQ(groups->controllers(), (std::vector<std::string>{"memory", "pids", "cpu"}));
    EXPECT_EQ(groups->own_oom_kills(), 2U);
    // A fake directory has no control files, so nothing is in force, and that is said.
    auto const group = groups->create("x", {1 << 20, 10, 0.5});
    ASSERT_TRUE(group.has_value());
    EXPECT_EQ((*group)->not_enforced(), (std::vector<std::string>{"memory", "pids", "cpu"}));
    EXPECT_GE((*group)->spawn_dir(), 0);
    EXPECT_FALSE((*group)->kill());
}

TEST(Cgroups, WhereNoGroupMayBeMadeTheContainersCounterStillTells) {
    FakeV2 fake;
    std::filesystem::remove_all(fake.base);
    std::ofstream(fake.base) << "in the way";
    auto const groups = Cgroups::detect({fake.root + "/mountinfo", fake.root + "/self", false});
    EXPECT_EQ(groups->kind(), "none");
    EXPECT_EQ(groups->own_oom_kills(), 2U);
    Executions::Options options;
    options.cgroups = groups;
    Harness h(nullptr, options);
    auto run = h.start("read x < <(sleep 1000)");
    fake.put("memory.events", "low 0\noom 1\noom_kill 3\n");
    (void)run->signal(SIGKILL);  // as the kernel would
    EXPECT_EQ(h.verdict(run).kind(), "oom_killed");
    auto other = h.start("kill -9 $$");
    EXPECT_EQ(h.verdict(other).kind(), "signaled");
    auto contained = h.shell("kill -9 $$");
    contained.contain = true;  // what the container had before is not its own either
    EXPECT_EQ(h.verdict(h.start(std::move(contained))).kind(), "signaled");
}

TEST(Cgroups, AGroupThatCountsNoMemoryLeavesItToTheContainersCounter) {
    FakeV2 fake;
    Executions::Options options;
    options.cgroups = Cgroups::detect({fake.root + "/mountinfo", fake.root + "/self", false});
    Harness h(nullptr, options);
    auto spec = h.shell("read x < <(sleep 1000)");
    spec.contain = true;
    auto run = h.start(std::move(spec));
    fake.put("memory.events", "low 0\noom 1\noom_kill 3\n");
    (void)run->signal(SIGKILL);
    EXPECT_EQ(h.verdict(run).kind(), "oom_killed");
}

TEST(Cgroups, GroupsAreMadeBesideTheLeafOfADaemonBefore) {
    FakeV2 fake;
    fake.put("self", "0::/execd-daemon\n");
    std::filesystem::create_directories(fake.root + "/execd-daemon");
    auto const groups = Cgroups::detect({fake.root + "/mountinfo", fake.root + "/self", false});
    EXPECT_EQ(groups->kind(), "v2");
    EXPECT_TRUE(groups->create("x", {}).has_value());
    EXPECT_TRUE(std::filesystem::exists(fake.base + "/x"));  // else one level deeper with every restart
}

TEST(Cgroups, WhatKilledDaemonsLeftIsRemoved) {
    FakeV2 fake;
    std::string const dead = "2000000000";  // beyond the kernel's largest number
    for (std::string const& name :
         {fake.prefix + dead, fake.prefix + "1", "execd-1-" + dead, fake.prefix + "x"})
        std::filesystem::create_directories(fake.root + "/" + name + "/below");
    (void)Cgroups::detect({fake.root + "/mountinfo", fake.root + "/self", false});
    EXPECT_FALSE(std::filesystem::exists(fake.root + "/" + fake.prefix + dead));
    EXPECT_TRUE(std::filesystem::exists(fake.root + "/" + fake.prefix + "1"));
    EXPECT_TRUE(std::filesystem::exists(fake.root + "/execd-1-" + dead));  // another pid namespace's
    EXPECT_TRUE(std::filesystem::exists(fake.root + "/" + fake.prefix + "x"));
}

TEST(Cgroups, NothingThereIsSaid) {
    auto const groups = Cgroups::detect({"/nonexistent", "/nonexistent", false});
    EXPECT_EQ(groups->kind(), "none");
    EXPECT_EQ(groups->create("x", {}).error().code, Code::unavailable);
    Executions::Options options;
    options.cgroups = groups;
    Harness h(nullptr, options);
    auto spec = h.shell("true");
    spec.resources.memory = 1 << 20;
    auto run = h.start(std::move(spec));
    EXPECT_EQ(run->not_enforced(), (std::vector<std::string>{"memory"}));
    EXPECT_TRUE(h.verdict(run).success());
}

class RealCgroups : public ::testing::Test {
  protected:
    static Executions::Options options() {
        Executions::Options out;
        out.cgroups = Cgroups::detect();
        return out;
    }
    static bool can(Executions::Options const& o, std::string const& controller) {
        auto const& all = o.cgroups->controllers();
        return std::find(all.begin(), all.end(), controller) != all.end();
    }
};

TEST_F(RealCgroups, MemoryLimitGivesAnOomVerdict) {
    auto const opts = options();
    if (!can(opts, "memory")) GTEST_SKIP() << "cgroup memory limits cannot be made here";
    Harness h(nullptr, opts);
    auto spec = h.shell("head -c 200000000 /dev/zero | tail -c 200000000 >/dev/null; exit ${PIPESTATUS[1]}");
    spec.resources.memory = 32 << 20;
    auto run = h.start(std::move(spec));
    EXPECT_TRUE(run->not_enforced().empty());
    auto const verdict = h.verdict(run);
    EXPECT_EQ(verdict.kind(), "oom_killed") << verdict.text();
    EXPECT_GT(verdict.usage.peak_memory, 20U << 20);
    bool told = false;
    for (auto const& event : h.executions.events_after(0))
        told = told || event.kind == ExecutionEvent::Kind::oom;
    EXPECT_TRUE(told);
}

// Linux 6.14 and later kill at once what is made in a group that was killed before.
TEST_F(RealCgroups, AGroupThatWasKilledIsNotUsedAgain) {
    auto const opts = options();
    if (!opts.cgroups->can_contain()) GTEST_SKIP() << "plain groups cannot be had here";
    Harness h(nullptr, opts);
    for (int i = 0; i < 5; ++i) {
        auto victim = h.start("sleep 1000 & sleep 1000");
        h.run(victim->stop(0s));
        EXPECT_EQ(h.verdict(victim).kind(), "cancelled");
        EXPECT_EQ(h.verdict(h.start("exit 3")).text(), "exit status 3");
    }
}

/// Starts a process without a group that waits for a line, and moves it into one, as an adopted one is.
std::shared_ptr<Execution> contained_later(Harness& h, std::string const& text, ResourceLimits limits) {
    auto spec = h.shell("read x; " + text);
    spec.input = Input::pipe;
    auto run = h.start(std::move(spec));
    auto const moved = h.run(h.executions.contain(run, limits));
    EXPECT_TRUE(moved.has_value()) << moved.error().message();
    EXPECT_TRUE(h.run(run->write("go\n", h.soon())).has_value());
    return run;
}

TEST_F(RealCgroups, WhatIsContainedLaterHasItsLimits) {
    auto const opts = options();
    if (!can(opts, "memory")) GTEST_SKIP() << "cgroup memory limits cannot be made here";
    Harness h(nullptr, opts);
    std::string const text =
        "head -c 200000000 /dev/zero | tail -c 200000000 >/dev/null; exit ${PIPESTATUS[1]}";
    auto run = contained_later(h, text, {32U << 20, 50, 1.0});
    EXPECT_TRUE(run->not_enforced().empty());
    EXPECT_EQ(h.run(h.executions.contain(run, {})).error().code, Code::conflict);
    EXPECT_EQ(h.verdict(run).kind(), "oom_killed");
    EXPECT_EQ(h.run(h.executions.contain(run, {})).error().code, Code::gone);
}

TEST(Cgroups, WhatCannotBeContainedSaysWhatIsNotEnforced) {
    Harness h;
    auto run = contained_later(h, "exit 3", {32U << 20, {}, 1.0});
    EXPECT_EQ(run->not_enforced(), (std::vector<std::string>{"memory", "cpu"}));
    EXPECT_EQ(h.verdict(run).kind(), "exited");
}

TEST_F(RealCgroups, AForkBombStaysInItsLimit) {
    auto const opts = options();
    if (!can(opts, "pids")) GTEST_SKIP() << "cgroup pids limits cannot be made here";
    Harness h(nullptr, opts);
    auto spec = h.shell("bomb() { bomb | bomb & }; bomb 2>/dev/null; sleep 1000");
    spec.resources.pids = 20;
    spec.timeout = 300ms;
    auto run = h.start(std::move(spec));
    auto other = h.start("echo alive");  // everything else still answers
    EXPECT_EQ(h.read(*other), "alive\n");
    EXPECT_EQ(h.verdict(run).kind(), "timed_out");
    h.run(run->stop(0s));
    EXPECT_TRUE(find_tree({0, run->id()}).empty());
}

TEST_F(RealCgroups, ACpuLimitThrottles) {
    auto const opts = options();
    if (!can(opts, "cpu")) GTEST_SKIP() << "cgroup cpu limits cannot be made here";
    Harness h(nullptr, opts);
    auto spec = h.shell("while :; do :; done");
    spec.resources.cpu = 0.1;
    spec.timeout = 1s;
    auto run = h.start(std::move(spec));
    EXPECT_TRUE(run->not_enforced().empty());
    auto const verdict = h.verdict(run);
    EXPECT_EQ(verdict.kind(), "timed_out");
    EXPECT_LT(verdict.usage.user + verdict.usage.system, 500ms);
}

TEST_F(RealCgroups, LimitsOfAClaimBindAllItsExecutions) {
    auto const opts = options();
    if (!can(opts, "pids")) GTEST_SKIP() << "cgroup pids limits cannot be made here";
    Harness h(nullptr, opts);
    ResourceLimits limits;
    limits.pids = 6;  // the first one's five, and the second one's shell
    auto claim = opts.cgroups->create("claim-" + std::to_string(::getpid()), limits);
    ASSERT_TRUE(claim.has_value()) << claim.error().message();
    auto const start = [&](std::string text) {
        auto spec = h.shell(std::move(text));
        spec.cgroup_parent = *claim;
        return h.start(std::move(spec));
    };
    auto first = start("sleep 1000 & sleep 1000 & sleep 1000 & sleep 1000 & echo up; wait");
    Cursor cursor = first->journal().reader();
    Batch batch;
    ASSERT_EQ(h.run(cursor.next(batch, h.soon())), Next::data);
    auto second = start("exec /bin/sh -c '/bin/true; echo forked' 2>/dev/null");
    EXPECT_EQ(h.read(*second).find("forked"), std::string::npos);
    h.run(first->stop(0s));
    EXPECT_EQ(h.read(*start("(true) && echo forked")), "forked\n");
}

TEST_F(RealCgroups, NothingIsLeftInTheTree) {
    auto const opts = options();
    if (opts.cgroups->kind() == "none") GTEST_SKIP() << "no cgroup can be made here";
    Harness h(nullptr, opts);
    auto spec = h.shell("sleep 1000 >/dev/null 2>&1 & echo $!");
    spec.contain = true;
    auto run = h.start(std::move(spec));
    EXPECT_TRUE(h.verdict(run).success());
    std::string const id = "x-" + run->id();
    auto const left = [&id] {
        using Walk = std::filesystem::recursive_directory_iterator;
        while (true) {
            std::error_code gone;  // other daemons' groups come and go on the way: then once more
            std::size_t count = 0;
            Walk at("/sys/fs/cgroup", std::filesystem::directory_options::skip_permission_denied, gone);
            for (; !gone && at != Walk(); at.increment(gone))
                if (at->path().filename() == id) ++count;
            if (!gone) return count;
        }
    };
    EXPECT_GT(left(), 0U);
    // The server that stays keeps its group; with it goes the directory, at the next occasion.
    h.run(run->stop(0s));
    for (int i = 0; i < 20; ++i) {
        auto more = h.shell("true");
        more.contain = true;
        h.verdict(h.start(std::move(more)));
    }
    EXPECT_EQ(left(), 0U);
}

/// Escapes everything but a cgroup.
constexpr char const* kEscape = "setsid env -i sleep 1000 >/dev/null 2>&1 & echo $!; ";

TEST_F(RealCgroups, EveryExecutionEndsCompletely) {
    auto const opts = options();
    if (!opts.cgroups->can_contain()) GTEST_SKIP() << "no cgroup.kill here";
    Harness h(nullptr, opts);
    auto run = h.start(std::string(kEscape) + "exec sleep 1000");
    Cursor cursor = run->journal().reader();
    std::string const pid = next_line(h, cursor);
    h.run(run->stop(0s));
    EXPECT_TRUE(gone(h, pid));
    EXPECT_EQ(run->verdict()->kind(), "cancelled");
    // What a finished command left running lives on, and is still found.
    auto server = h.start(kEscape);
    EXPECT_TRUE(h.verdict(server).success());
    std::string left = h.read(*server, ReadFrom{.until = Until::closed});
    left.pop_back();
    EXPECT_TRUE(h.verdict(h.start("kill -0 " + left)).success());
    h.run(server->stop(0s));
    EXPECT_TRUE(gone(h, left));
}

TEST_F(RealCgroups, PlainGroupsGoRoundAndOnlyEmptyOnes) {
    auto const opts = options();
    if (!opts.cgroups->can_contain()) GTEST_SKIP() << "no cgroup.kill here";
    Harness h(nullptr, opts);
    auto const group = [&h](std::string const& text) {
        return h.read(*h.start(text + "grep ^0:: /proc/self/cgroup"));
    };
    std::set<std::string> groups;
    for (int i = 0; i < 20; ++i) groups.insert(group(""));
    EXPECT_LE(groups.size(), 3U) << *groups.begin();
    EXPECT_NE(groups.begin()->find("/execd-"), std::string::npos) << *groups.begin();
    auto server = h.start("sleep 1000 >/dev/null 2>&1 & grep ^0:: /proc/self/cgroup");
    std::string const taken = h.read(*server);
    for (int i = 0; i < 5; ++i) EXPECT_NE(group(""), taken);
    h.run(server->stop(0s));
    EXPECT_TRUE(h.verdict(h.start("true")).success());
}

Task<void> start_into(Executions& executions, ExecutionSpec spec, std::shared_ptr<Execution>* out) {
    auto started = co_await executions.start(std::move(spec));
    if (started) *out = *started;
}

TEST_F(RealCgroups, ACommandOfAnOwnerEndsCompletelyToo) {
    auto const opts = options();
    if (!opts.cgroups->can_contain()) GTEST_SKIP() << "no cgroup.kill here";
    Harness h(nullptr, opts);
    ResourceLimits limits;
    if (can(opts, "pids")) limits.pids = 20;
    auto const owner = h.run(h.executions.open_owner("claim", limits));
    ASSERT_NE(owner->group, nullptr);
    auto const start = [&h](std::string const& text) {
        auto spec = h.shell(text);
        spec.owner = "claim";
        return h.start(std::move(spec));
    };
    auto run = start(std::string(kEscape) + "exec sleep 1000");
    Cursor cursor = run->journal().reader();
    std::string const escaped = next_line(h, cursor);
    auto other = start("echo $$; exec sleep 1000");
    Cursor theirs = other->journal().reader();
    std::string const pid = next_line(h, theirs);
    h.run(run->stop(0s));
    EXPECT_TRUE(gone(h, escaped));
    EXPECT_TRUE(h.verdict(h.start("kill -0 " + pid)).success());  // another command of it
    if (limits.pids) {
        EXPECT_GE(owner->group->current_pids().value_or(0), 1U);  // it is the claim's limits that bind it
    }
    auto server = start(kEscape);
    EXPECT_TRUE(h.verdict(server).success());
    std::string left = h.read(*server, ReadFrom{.until = Until::closed});
    left.pop_back();
    h.run(h.executions.close_owner("claim", 0s));
    EXPECT_TRUE(gone(h, left));
    EXPECT_TRUE(gone(h, pid));
}

/// A child that is frozen before it has executed its program holds up the thread that starts all others.
TEST_F(RealCgroups, AFreezeLetsStartsOnTheirWayArrive) {
    auto const opts = options();
    if (opts.cgroups->kind() == "none") GTEST_SKIP() << "no cgroup can be made here";
    Harness h(nullptr, opts);
    (void)h.run(h.executions.open_owner("claim", {}));
    for (int i = 0; i < 20; ++i) {
        auto spec = h.shell("echo in");
        spec.owner = "claim";
        std::shared_ptr<Execution> run;
        Scope scope(h.loop, "starts");
        scope.spawn("start", start_into(h.executions, std::move(spec), &run));
        EXPECT_TRUE(h.run(h.executions.freeze_owner("claim", true)).has_value());
        EXPECT_EQ(h.read(*h.start("echo on")), "on\n");
        EXPECT_TRUE(h.run(scope.drain(h.soon())));
        ASSERT_NE(run, nullptr);
        EXPECT_TRUE(h.run(h.executions.freeze_owner("claim", false)).has_value());
        EXPECT_EQ(h.read(*run), "in\n");
    }
    h.run(h.executions.close_owner("claim", 0s));
}

/// Their groups have no limits and count nothing.
TEST_F(RealCgroups, TheContainersCounterTellsOfThoseWithoutLimits) {
    if (!options().cgroups->can_contain()) GTEST_SKIP() << "no cgroup.kill here";
    FakeV2 fake;  // its directory serves as a version 1 hierarchy beside the machine's own version 2
    std::string mounts = "99 30 0:99 / " + fake.root + " rw - cgroup cgroup rw,memory\n";
    std::ifstream all("/proc/self/mountinfo");
    for (std::string line; std::getline(all, line);)
        if (line.find(" - cgroup2 ") != std::string::npos) mounts.insert(0, line + "\n");
    std::ifstream place("/proc/self/cgroup");
    std::string self = "9:memory:/\n";
    for (std::string line; std::getline(place, line);)
        if (line.starts_with("0::")) self += line + "\n";
    fake.put("mountinfo", mounts);
    fake.put("self", self);
    fake.put("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n");
    Executions::Options opts;
    opts.cgroups = Cgroups::detect({fake.root + "/mountinfo", fake.root + "/self", false});
    ASSERT_TRUE(opts.cgroups->can_contain());
    ASSERT_EQ(opts.cgroups->own_oom_kills(), 2U);
    Harness h(nullptr, opts);
    auto run = h.start("read x < <(sleep 1000)");
    fake.put("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n");
    (void)run->signal(SIGKILL);  // as the kernel would
    EXPECT_EQ(h.verdict(run).kind(), "oom_killed");
    EXPECT_EQ(h.verdict(h.start("kill -9 $$")).kind(), "signaled");
}

/// More than can wait for the next ones: the others' directories do not wait for a start.
TEST_F(RealCgroups, GroupsOfManyThatEndedAtOnceAreRemoved) {
    auto const opts = options();
    if (!opts.cgroups->can_contain()) GTEST_SKIP() << "no cgroup.kill here";
    Harness h(nullptr, opts);
    std::vector<std::shared_ptr<Execution>> runs;
    for (int i = 0; i < 200; ++i) {
        auto spec = h.shell("");
        spec.argv = {"/bin/cat"};
        spec.input = Input::pipe;
        runs.push_back(h.start(std::move(spec)));
    }
    std::string const own = h.read(*h.start("sed -n s/^0:://p /proc/self/cgroup"));
    for (auto const& run : runs) EXPECT_TRUE(run->close_input().has_value());
    for (auto const& run : runs) EXPECT_TRUE(h.verdict(run).success());
    std::string base;
    std::ifstream mounts("/proc/self/mountinfo");
    for (std::string line; std::getline(mounts, line);)
        for (auto const& mount : parse_cgroup_mounts(line + "\n"))
            if (mount.controllers.empty())
                base = mount.path + (mount.root == "/" ? own : own.substr(mount.root.size()));
    base.resize(base.find_last_of('/'));
    ASSERT_TRUE(std::filesystem::exists(base)) << base;
    auto const count = [&base] {
        auto const all = std::filesystem::directory_iterator(base);
        return std::count_if(begin(all), end(all), [](auto const& entry) { return entry.is_directory(); });
    };
    // 64 wait for the next ones, and as many again for company.
    for (int i = 0; i < 500 && count() > 135; ++i)
        (void)h.run(h.clock.sleep_for(std::chrono::milliseconds(10)));
    EXPECT_LE(count(), 135);
}

/// Kernels and profiles that make no child in a group: then the walk over the processes ends the tree.
TEST_F(RealCgroups, WhereNoChildIsMadeInAGroupItsTreeEndsAllTheSame) {
    auto const opts = options();
    if (!opts.cgroups->can_contain()) GTEST_SKIP() << "no cgroup.kill here";
    Harness h(nullptr, opts);
    force_clone_quirks({.no_into_cgroup = true});
    auto run = h.start("setsid sleep 1000 & echo $!; exec sleep 1000");
    force_clone_quirks({});
    Cursor cursor = run->journal().reader();
    std::string const pid = next_line(h, cursor);
    h.run(run->stop(0s));
    EXPECT_TRUE(gone(h, pid));
}

TEST_F(RealCgroups, ACgroupKillLeavesNoSurvivor) {
    auto const opts = options();
    if (!opts.cgroups->can_kill()) GTEST_SKIP() << "no cgroup.kill here";
    Harness h(nullptr, opts);
    auto spec = h.shell("env -i setsid bash -c 'sleep 1000 & echo $!; wait' & exec sleep 1000");
    spec.contain = true;
    auto run = h.start(std::move(spec));
    Cursor cursor = run->journal().reader();
    std::string const pid = next_line(h, cursor);
    h.run(run->stop(0s));
    EXPECT_TRUE(gone(h, pid));
}

/// The machine's version 2 hierarchy alone, whatever version 1 has beside it: children are made in their
/// group (CLONE_INTO_CGROUP), killed by cgroup.kill and frozen by cgroup.freeze; limits as far as it has
/// controllers.
TEST_F(RealCgroups, Version2AloneOnARealTree) {
    std::ifstream all("/proc/self/mountinfo");
    std::string const mounts = ::testing::TempDir() + "mounts" + std::to_string(::getpid());
    for (std::string line; std::getline(all, line);)
        if (line.find(" - cgroup2 ") != std::string::npos) std::ofstream(mounts) << line << "\n";
    Executions::Options opts;
    opts.cgroups = Cgroups::detect({mounts, "/proc/self/cgroup", false});
    std::filesystem::remove(mounts);
    if (opts.cgroups->kind() != "v2") GTEST_SKIP() << "no version 2 hierarchy may be written here";
    Harness h(nullptr, opts);
    auto spec = h.shell("env -i setsid bash -c 'sleep 1000 & echo $!; wait' & read x; echo $x");
    spec.input = Input::pipe;
    spec.resources = {64U << 20, 50, 0.5};
    auto run = h.start(std::move(spec));
    std::vector<std::string> missing;
    for (std::string const name : {"memory", "pids", "cpu"})
        if (!can(opts, name)) missing.push_back(name);
    EXPECT_EQ(run->not_enforced(), missing);  // said, not passed over
    std::string text;
    Cursor cursor = run->journal().reader();
    Batch batch;
    while (text.find('\n') == std::string::npos && h.run(cursor.next(batch, h.soon())) == Next::data)
        for (auto const& slice : batch.slices) text += slice.bytes;
    std::ifstream place("/proc/" + text.substr(0, text.find('\n')) + "/cgroup");
    std::string const where{std::istreambuf_iterator<char>(place), {}};
    EXPECT_NE(where.find("0::"), std::string::npos);
    EXPECT_NE(where.find(run->id()), std::string::npos) << where;  // also what left session and environment
    h.run(run->freeze(true));
    EXPECT_TRUE(h.run(run->write("thawed\n", h.soon())).has_value());
    h.run(run->freeze(false));
    ASSERT_EQ(h.run(cursor.next(batch, h.soon())), Next::data);
    EXPECT_EQ(batch.slices.front().bytes, "thawed\n");
    h.run(run->stop(0s));
    EXPECT_TRUE(!opts.cgroups->can_kill() || gone(h, text.substr(0, text.find('\n'))));
}

}  // namespace
}  // namespace execd::shell
