// Kernels that die, fall silent or say too much, one named test a fault (issue "kernels", bad input and
// faults).
#include "fake.hpp"
#include "shell/cgroup.hpp"

namespace execd::kernels {
namespace {

int count(int quick, int slow) { return std::getenv("EXECD_SLOW_TESTS") == nullptr ? quick : slow; }

class Faults : public Fake {};

class Impatient : public Fake {
  protected:
    Impatient() : Fake([](Contexts::Options& options) { options.start_timeout = 400ms; }) {}
};

TEST_F(Impatient, AKernelThatNeverAnswersAtStartIsGivenUp) {
    auto const silent = run(contexts_.create({.language = "fakesilent"}));
    ASSERT_FALSE(silent);
    EXPECT_EQ(silent.error().code, Code::timed_out);
    EXPECT_NE(silent.error().message().find("kernel_info_request"), std::string::npos);
    EXPECT_EQ(contexts_.size(), 0U);
}

TEST_F(Faults, DeathBetweenRunsIsKnownAndTold) {
    auto const context = fake();
    EXPECT_EQ(exec(context, "die_after 4")->outcome().kind, RunOutcome::Kind::ok);
    ASSERT_TRUE(until(context->changed(), [&] { return context->state() == ContextState::dead; }));
    EXPECT_NE(context->death().find("4"), std::string::npos) << context->death();
    auto const next = exec(context, "big 2");
    EXPECT_EQ(next->outcome().kind, RunOutcome::Kind::ok);
    ASSERT_EQ(all<Notice>(next).size(), 1U);
    EXPECT_NE(all<Notice>(next)[0].text.find("4"), std::string::npos) << all<Notice>(next)[0].text;
    EXPECT_EQ(context->generation(), 2);
}

TEST_F(Faults, KillNineWhileRunningEndsTheRunWithItsCause) {
    auto const context = fake();
    auto const never = submit(context, {.code = "never"});
    ASSERT_TRUE(wait_output(never, [](Output const& o) { return std::holds_alternative<StatusChange>(o); }));
    ::kill(context->kernel()->pid(), SIGKILL);
    ASSERT_TRUE(run(never->wait(clock_, in(10))));
    EXPECT_EQ(never->outcome().kind, RunOutcome::Kind::kernel_died);
    EXPECT_NE(never->outcome().why.find("killed"), std::string::npos) << never->outcome().why;
}

// A cgroup tree of files: the counter of kills in every group rises when the test says so.
class CountedKills {
  protected:
    CountedKills() {
        put("cgroup.controllers", "memory pids\n");
        for (auto const* name : {"cgroup.subtree_control", "cgroup.procs"}) put(name, "");
        put("mountinfo", "31 30 0:27 / " + folder_.path() + " rw - cgroup2 cgroup2 rw\n");
        put("self", "0::/\n");
        kills(0);
    }
    void kills(int count) const {
        std::string const events = "low 0\noom 0\noom_kill " + std::to_string(count) + "\n";
        std::vector<std::filesystem::path> groups{folder_.path()};
        for (auto const& entry : std::filesystem::recursive_directory_iterator(folder_.path()))
            if (entry.is_directory()) groups.push_back(entry.path());
        for (auto const& group : groups) std::ofstream(group / "memory.events") << events;
    }
    [[nodiscard]] shell::Executions::Options executions() const {
        shell::Executions::Options out;
        out.cgroups =
            shell::Cgroups::detect({folder_.path() + "/mountinfo", folder_.path() + "/self", false});
        return out;
    }

  private:
    void put(std::string const& name, std::string const& text) const { folder_.write(name, text); }
    TempFolder folder_;
};

class OutOfMemory : private CountedKills, public Fake {
  protected:
    OutOfMemory() : Fake(executions()) {}
    using CountedKills::kills;
};

TEST_F(OutOfMemory, IsTheCauseThatARunIsTold) {
    auto const context = fake();
    auto const never = submit(context, {.code = "never"});
    ASSERT_TRUE(wait_output(never, [](Output const& o) { return std::holds_alternative<StatusChange>(o); }));
    kills(1);
    ::kill(context->kernel()->pid(), SIGKILL);
    ASSERT_TRUE(run(never->wait(clock_, in(10))));
    EXPECT_EQ(never->outcome().kind, RunOutcome::Kind::kernel_died);
    EXPECT_NE(never->outcome().why.find("memory"), std::string::npos) << never->outcome().why;
    EXPECT_EQ(never->outcome().cause, "oom_killed");
    EXPECT_EQ(context->death_kind(), "oom_killed");
}

TEST_F(Faults, WithoutReviveADeadContextStaysDead) {
    auto const context = make({.language = "fake", .revive = false});
    EXPECT_EQ(exec(context, "die 3")->outcome().kind, RunOutcome::Kind::kernel_died);
    EXPECT_EQ(exec(context, "big 2")->outcome().kind, RunOutcome::Kind::kernel_died);
    EXPECT_EQ(context->generation(), 1);
}

TEST_F(Faults, UnansweredHeartbeatsAreTold) {
    auto const context = fake();
    context->kernel()->set_heart_rate(50ms);
    auto const busy = exec(context, "sleep 1");
    EXPECT_EQ(busy->outcome().kind, RunOutcome::Kind::ok);
    ASSERT_EQ(all<Notice>(busy).size(), 1U);
    EXPECT_NE(all<Notice>(busy)[0].text.find("heartbeats"), std::string::npos);
    auto const quick = exec(context, "big 2");
    EXPECT_TRUE(all<Notice>(quick).empty());
}

TEST_F(Faults, UnansweredHeartbeatsKillWhereThatWasAsked) {
    auto const context = make({.language = "fake", .heartbeat_timeout = 300ms});
    context->kernel()->set_heart_rate(50ms);
    auto const stuck = exec(context, "sleep 600");
    EXPECT_EQ(stuck->outcome().kind, RunOutcome::Kind::kernel_died);
    EXPECT_NE(stuck->outcome().why.find("heartbeats"), std::string::npos) << stuck->outcome().why;
    EXPECT_EQ(exec(context, "big 2")->outcome().kind, RunOutcome::Kind::ok);
}

TEST_F(Faults, TheFirstRunOfAFreshKernelMayAsk) {
    // A kernel drops an input_request to an identity that its stdin socket has not met.
    for (int i = 0; i < count(3, 10); ++i) {
        auto const context = fake();
        auto const asking = submit(context, {.code = "ask", .allow_stdin = true});
        ASSERT_TRUE(
            wait_output(asking, [](Output const& o) { return std::holds_alternative<InputRequest>(o); }));
        ASSERT_TRUE(context->answer_input(asking->id(), "Zoë"));
        ASSERT_TRUE(run(asking->wait(clock_, in(20))));
        EXPECT_EQ(text(asking), "Zoë");
        ASSERT_TRUE(run(contexts_.remove(context->id(), 0s)));
    }
}

TEST_F(Faults, InvalidUtf8IsMendedNotLost) {
    EXPECT_EQ(text(exec(fake(), "bytes")),
              "a\xEF\xBF\xBD\xEF\xBF\xBD"
              "b\xEF\xBF\xBD"
              "c");
}

TEST_F(Faults, TwoClientsInOneContextTakeTurns) {
    auto const context = fake();
    std::vector<RunPtr> runs;
    for (int i = 1; i <= 20; ++i) runs.push_back(submit(context, {.code = "big " + std::to_string(i)}));
    for (int i = 1; i <= 20; ++i) {
        ASSERT_TRUE(run(runs[static_cast<std::size_t>(i - 1)]->wait(clock_, in(30))));
        EXPECT_EQ(text(runs[static_cast<std::size_t>(i - 1)]).size(), static_cast<std::size_t>(i));
    }
}

TEST_F(Faults, AFullQueueIsRefused) {
    auto const context = make({.language = "fake", .max_queue = 2});
    auto const first = submit(context, {.code = "never", .timeout = 200ms, .grace = 100ms});
    ASSERT_TRUE(until(context->changed(), [&] { return first->state() != RunState::queued; }));
    submit(context, {.code = "big 1"});
    auto const last = submit(context, {.code = "big 1"});
    auto const more = context->submit({.code = "big 1"});
    ASSERT_FALSE(more);
    EXPECT_EQ(more.error().code, Code::exhausted);
    ASSERT_TRUE(run(last->wait(clock_, in(30))));
}

TEST_F(Faults, AnUnheededInterruptIsToldAndMayBeRepeated) {
    auto const context = make({.language = "fake", .patience = 100ms});
    auto const deaf = submit(context, {.code = "second_press"});
    ASSERT_TRUE(wait_output(deaf, [](Output const& o) { return std::holds_alternative<StreamText>(o); }));
    auto const first = run(context->interrupt(10ms));
    ASSERT_TRUE(first);
    EXPECT_FALSE(*first) << "it is still at work";
    EXPECT_TRUE(wait_output(deaf, [](Output const& o) { return std::holds_alternative<Notice>(o); }));
    auto const second = run(context->interrupt(30s));
    ASSERT_TRUE(second);
    EXPECT_TRUE(*second);
    EXPECT_EQ(all<Notice>(deaf).size(), 1U);
    auto const idle = run(context->interrupt());
    EXPECT_TRUE(idle && *idle) << "nothing ran";
}

// PEERS.md 6.1, jupyter #6244.
TEST_F(Faults, ClientsThatComeBackToADeadContextLeaveNothing) {
    auto const context = make({.language = "fake", .revive = false});
    exec(context, "die 3");
    for (int i = 0; i < count(300, 100'000); ++i)
        ASSERT_EQ(exec(context, "big 2")->outcome().cause, "exited");
    EXPECT_LE(context->runs().size(), context->spec().keep_runs);
    EXPECT_EQ(context->queued(), 0U);
    EXPECT_EQ(executions_.running(), 0U);
    EXPECT_EQ(contexts_.logs().used, 0U);
    EXPECT_EQ(contexts_.find_run("nobody").run, nullptr);
}

TEST_F(Faults, AKernelThatCannotComeBackLeavesNothing) {
    auto const context = fake("fakeonce");
    exec(context, "die 3");
    for (int i = 0; i < 5; ++i) {
        auto const lost = exec(context, "big 2");
        ASSERT_EQ(lost->outcome().kind, RunOutcome::Kind::failed);
        EXPECT_NE(lost->outcome().why.find("only once"), std::string::npos) << lost->outcome().why;
    }
    ASSERT_TRUE(run(contexts_.remove(context->id(), 0s)));
    EXPECT_EQ(executions_.running(), 0U);
}

class Few : public Fake {
  protected:
    Few() : Fake([](Contexts::Options& options) { options.max_contexts = 2; }) {}
};

TEST_F(Few, TheLimitOfContextsIsClear) {
    auto const one = fake();
    fake();
    auto const third = run(contexts_.create({.language = "fake"}));
    ASSERT_FALSE(third);
    EXPECT_EQ(third.error().code, Code::exhausted);
    EXPECT_NE(third.error().message().find("2 contexts, the limit"), std::string::npos);
    ASSERT_TRUE(run(contexts_.remove(one->id(), 0s)));
    EXPECT_TRUE(run(contexts_.create({.language = "fake"})));
}

TEST_F(Few, TheLimitHoldsForThoseThatComeTogether) {
    struct Caller {
        static Task<void> go(Contexts& contexts, int& made, int& refused, Event& answered) {
            ContextSpec wanted{.language = "fake"};
            auto context = co_await contexts.create(std::move(wanted));
            if (context)
                ++made;
            else if (context.error().code == Code::exhausted)
                ++refused;
            answered.notify_all();
        }
    };
    int made = 0;
    int refused = 0;
    Event answered;
    // All of them before the kernelspecs were ever read.
    for (int i = 0; i < 3; ++i) scope_.spawn("create", Caller::go(contexts_, made, refused, answered));
    ASSERT_TRUE(until(answered, [&] { return made + refused == 3; }));
    EXPECT_EQ(made, 2);
    EXPECT_EQ(contexts_.size(), 2U);
}

class Culled : public Fake {
  protected:
    Culled() : Fake([](Contexts::Options& options) { options.idle_timeout = 300ms; }) {}
};

TEST_F(Culled, IdleContextsEndBusyOnesDoNot) {
    // Submitted at once and endless: however slow the machine is, it is never idle.
    auto const busy = make({.id = "busy", .language = "fake"});
    auto const work = submit(busy, {.code = "never"});
    auto const kept = make({.id = "kept", .language = "fake", .idle_timeout = 0s});
    make({.id = "idle", .language = "fake"});
    ASSERT_TRUE(until(contexts_.changed(), [&] { return !contexts_.find("idle"); }));
    EXPECT_TRUE(contexts_.find("busy"));
    EXPECT_EQ(work->state(), RunState::running);
    ::kill(busy->kernel()->pid(), SIGKILL);
    ASSERT_TRUE(until(contexts_.changed(), [&] { return !contexts_.find("busy"); }));
    ASSERT_TRUE(run(work->wait(clock_, in(60))));  // who looks for the cause of the death may still be at it
    EXPECT_EQ(work->outcome().kind, RunOutcome::Kind::kernel_died);
    EXPECT_TRUE(contexts_.find("kept"));
}

TEST_F(Faults, TheSameRequestGivesTheSameContext) {
    struct Caller {
        static Task<void> go(Contexts& contexts, std::optional<Contexts::Attached>& out, Event& answered) {
            ContextSpec wanted{.id = "mine", .language = "fakelate"};
            auto made = co_await contexts.create_or_attach(std::move(wanted));
            if (made) out = *made;
            answered.notify_all();
        }
    };
    std::optional<Contexts::Attached> first;
    std::optional<Contexts::Attached> second;
    Event answered;
    scope_.spawn("first", Caller::go(contexts_, first, answered));
    ASSERT_TRUE(until(contexts_.changed(), [&] { return bool(contexts_.find("mine")); }));
    scope_.spawn("second", Caller::go(contexts_, second, answered));
    ASSERT_TRUE(until(answered, [&] { return first && second; }));
    ASSERT_TRUE(first && second);
    EXPECT_EQ(first->context, second->context);
    EXPECT_TRUE(first->created);
    EXPECT_FALSE(second->created);
    auto const other = run(contexts_.create_or_attach({.id = "mine", .language = "fake"}));
    ASSERT_FALSE(other);
    EXPECT_EQ(other.error().code, Code::conflict);
}

TEST_F(Faults, ACallerThatLeavesLeavesNoContext) {
    struct Caller {
        static Task<void> go(Contexts& contexts) {
            ContextSpec wanted{.id = "left", .language = "fakesilent"};
            (void)co_await contexts.create(std::move(wanted));
        }
    };
    Scope::Handle handle;
    scope_.spawn("caller", Caller::go(contexts_), handle);
    ASSERT_TRUE(until(contexts_.changed(), [&] { return bool(contexts_.find("left")); }));
    auto const left = contexts_.find("left");
    ASSERT_TRUE(until(left->changed(), [&] { return left->kernel() != nullptr; }));
    auto const process = executions_.list().back();
    ASSERT_EQ(process->pid(), left->kernel()->pid());
    handle.cancel();
    ASSERT_TRUE(until(contexts_.changed(), [&] { return !contexts_.find("left"); }));
    EXPECT_TRUE(run(process->ended(in(10))));
}

TEST_F(Faults, ALostPortIsTriedAgainAtARestartToo) {
    auto const context = fake("fakeport_lost");
    ASSERT_TRUE(run(context->restart(in(30)))) << "its port was taken";
    EXPECT_EQ(text(exec(context, "big 3")), "xxx");
}

TEST_F(Faults, ARunsTimeCountsWhileItsKernelComesUp) {
    auto const context = fake("fakelate");
    exec(context, "die 3");
    auto const late = exec_spec(context, {.code = "big 3", .timeout = 50ms});
    EXPECT_EQ(late->outcome().kind, RunOutcome::Kind::timed_out);
    auto const next = exec(context, "big 3");
    EXPECT_EQ(text(next), "xxx");
    EXPECT_EQ(all<Notice>(next).size(), 1U);
    EXPECT_EQ(context->generation(), 2) << "the start went on";
}

TEST_F(Faults, WhatNoRunCanHaveIsRefused) {
    auto const context = fake();
    for (std::string const name : {"X;touch pwn;Y", "A-B", "", "1A", "A=B", "A B"}) {
        auto const refused = context->submit({.code = "big 1", .env = {{name, "1"}}});
        ASSERT_FALSE(refused) << name;
        EXPECT_EQ(refused.error().code, Code::invalid_argument);
    }
    EXPECT_FALSE(context->submit({.code = "big 1", .env = {{"A", std::string("x\0y", 3)}}}));
    EXPECT_FALSE(context->submit({.code = "big 1", .cwd = std::string("/\0y", 3)}));
}

TEST_F(Faults, RunsThatAreNoLongerKeptAreKnown) {
    auto const context = make({.language = "fake", .keep_runs = 1});
    for (std::string const id : {"one", "two", ""}) exec_spec(context, {.id = id, .code = "big 1"});
    EXPECT_TRUE(contexts_.was_forgotten("one"));
    EXPECT_TRUE(contexts_.was_forgotten("two"));
    auto const last = exec_spec(context, {.id = "three", .code = "big 1"});
    EXPECT_FALSE(contexts_.was_forgotten("three"));
    ASSERT_TRUE(run(contexts_.remove(context->id(), 0s)));
    EXPECT_TRUE(contexts_.was_forgotten("three"));
}

TEST_F(Faults, ARunWhoseClientLeavesWhileItsContextIsMade) {
    struct Caller {
        static Task<void> go(Contexts& contexts, std::string id, bool leaves) {
            RunSpec spec{.id = std::move(id), .code = "big 3"};
            (void)co_await contexts.submit_default("fakelate", std::move(spec), leaves);
        }
    };
    Scope::Handle keeps;
    Scope::Handle leaves;
    scope_.spawn("keeps", Caller::go(contexts_, "keeps", false), keeps);
    scope_.spawn("leaves", Caller::go(contexts_, "leaves", true), leaves);
    ASSERT_TRUE(until(contexts_.changed(), [&] { return contexts_.size() == 1; }));
    keeps.cancel();
    leaves.cancel();
    ASSERT_TRUE(until(contexts_.changed(), [&] { return !contexts_.list("fakelate").empty(); }));
    auto const context = contexts_.list("fakelate").front();
    ASSERT_TRUE(until(context->changed(), [&] { return context->find("keeps") != nullptr; }));
    EXPECT_TRUE(run(context->find("keeps")->wait(clock_, in(20))));
    EXPECT_EQ(text(context->find("keeps")), "xxx");
    EXPECT_EQ(contexts_.find_run("leaves").run, nullptr);
}

class SmallLogs : public Fake {
  protected:
    SmallLogs() : Fake([](Contexts::Options& options) { options.log_bytes = 4 << 20; }) {}
};

TEST_F(SmallLogs, TheOldestRunsOfAllContextsAreForgotten) {
    auto const one = fake();
    auto const two = fake();
    auto const first = exec(one, "big 1000000")->id();
    for (int i = 0; i < 3; ++i) exec(two, "big 1000000");
    auto const last = exec(one, "big 1000000")->id();
    EXPECT_LE(contexts_.logs().used, contexts_.logs().limit);
    EXPECT_FALSE(contexts_.find_run(first).run);
    EXPECT_TRUE(contexts_.find_run(last).run);
}

TEST(OutputLog, OverTheBudgetALogGivesUpItsOwnOldest) {
    auto const budget = std::make_shared<LogBudget>(LogBudget{1 << 20});
    {
        OutputLog full(OutputLog::Limits{}, budget);
        OutputLog small(OutputLog::Limits{}, budget);
        small.append(StreamText{false, std::string(100, 's')}, {});
        for (int i = 0; i < 20; ++i) full.append(StreamText{false, std::string(100'000, 'x')}, {});
        EXPECT_LE(budget->used, budget->limit + 100'000);
        EXPECT_GT(full.read(0).lost_events, 0U);
        EXPECT_EQ(small.read(0).lost_events, 0U);
    }
    EXPECT_EQ(budget->used, 0U);
}

}  // namespace
}  // namespace execd::kernels
