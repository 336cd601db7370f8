#include "execd/claims/claims.hpp"

#include <signal.h>

#include <cstring>

#include "../base/virtual_loop.hpp"
#include "../kernels/fake.hpp"
#include "../shell/harness.hpp"
#include "shell/owners.hpp"
#include "shell/process_forest.hpp"
#include "shell/sessions.hpp"

namespace execd::claims {
namespace {

using namespace std::chrono_literals;

/// The registry in virtual time, with a real spawner below it and without cgroups.
class ClaimsTest : public VirtualLoop {
  protected:
    explicit ClaimsTest(Claims::Options options = {})
        : claims_(loop_, executions_, sessions_, terminals_, options) {}
    ~ClaimsTest() override {
        finish(claims_.close(Deadline::never()));
        finish(executions_.close(Deadline::never()));
        EXPECT_TRUE(run_until([this] { return scope_.running() == 0; }));
    }

    template <class T>
    static Task<void> keep(Task<T> task, std::optional<T>* out) {
        out->emplace(co_await std::move(task));
    }
    static Task<void> mark(Task<void> task, bool* done) {
        co_await std::move(task);
        *done = true;
    }
    template <class T>
    T finish(Task<T> task) {
        std::optional<T> out;
        scope_.spawn("test", keep(std::move(task), &out));
        EXPECT_TRUE(run_until([&out] { return out.has_value(); }));
        if (!out) throw std::runtime_error("see the failure above");
        return std::move(*out);
    }
    void finish(Task<void> task) {
        bool done = false;
        scope_.spawn("test", mark(std::move(task), &done));
        EXPECT_TRUE(run_until([&done] { return done; }));
    }
    ClaimPtr create(Spec spec) {
        auto made = finish(claims_.create(std::move(spec)));
        EXPECT_TRUE(made) << (made ? "" : made.error().message());
        if (!made) throw std::runtime_error("see the failure above");
        return *made;
    }
    ClaimPtr create(std::string id) {
        Spec spec;
        spec.id = std::move(id);
        return create(std::move(spec));
    }
    std::shared_ptr<shell::Execution> start(std::string owner, std::string text) {
        shell::ExecutionSpec spec;
        spec.argv = {"/bin/bash", "-c", std::move(text)};
        spec.env = {"PATH=/usr/bin:/bin"};
        spec.owner = std::move(owner);
        auto started = finish(executions_.start(std::move(spec)));
        EXPECT_TRUE(started) << (started ? "" : started.error().message());
        if (!started) throw std::runtime_error("see the failure above");
        return *started;
    }
    bool ended(ClaimPtr const& claim) {
        return run_until([&claim] { return !claim->alive(); });
    }
    std::vector<std::string> events() {
        std::vector<std::string> out;
        for (auto const& event : executions_.events_after(0))
            if (event.kind == shell::ExecutionEvent::Kind::owner)
                out.push_back(event.owner + " " + event.label + (event.verdict.empty() ? "" : " ") +
                              event.verdict);
        return out;
    }

    Scope scope_{loop_, "test"};
    shell::Reaper reaper_{loop_};
    shell::Spawner spawner_{loop_, reaper_};
    shell::Executions executions_{loop_, spawner_, nullptr};
    shell::Sessions sessions_{loop_, executions_};
    shell::Terminals terminals_{loop_, executions_};
    Claims claims_;
};

char state_of(pid_t pid) {
    for (auto const& entry : shell::list_processes())
        if (entry.pid == pid) return entry.state;
    return '-';
}

TEST_F(ClaimsTest, AClaimLivesIsListedAndEndsOnce) {
    auto const first = create("one");
    auto const second = create("two");
    EXPECT_EQ(first->state(), State::running);
    EXPECT_EQ(claims_.list().size(), 2U);
    EXPECT_EQ(claims_.find("one"), first);
    EXPECT_EQ(claims_.find("three"), nullptr);
    finish(claims_.end(first, Cause::killed));
    finish(claims_.end(first, Cause::expired));
    EXPECT_EQ(first->cause(), Cause::killed);
    EXPECT_TRUE(first->ended());
    ASSERT_EQ(claims_.list().size(), 1U);
    EXPECT_EQ(claims_.list().front(), second);
    EXPECT_EQ(claims_.living(), 1U);
    EXPECT_EQ(events(), (std::vector<std::string>{"one running", "two running", "one ended killed"}));
}

TEST_F(ClaimsTest, DeadIdsStayDeadAndKindsAreApart) {
    Spec spec{.id = "id", .kind = "a"};
    auto const claim = create(spec);
    EXPECT_EQ(claims_.find("id", "b"), nullptr);
    EXPECT_TRUE(claims_.list("b").empty());
    EXPECT_EQ(claims_.list("a").size(), 1U);
    finish(claims_.end(claim, Cause::killed));
    auto again = finish(claims_.create(spec));
    ASSERT_FALSE(again);
    EXPECT_EQ(again.error().code, Code::already_exists);
    EXPECT_EQ(claims_.find("id"), claim);
    EXPECT_EQ(claims_.enter("id").error().code, Code::gone);
    EXPECT_EQ(claims_.enter("never").error().code, Code::not_found);
}

class FewClaims : public ClaimsTest {
  protected:
    FewClaims() : ClaimsTest({.most = 2, .remembered = 2, .kept_bytes = 100}) {}
};

TEST_F(FewClaims, HaveLimits) {
    for (char const* id : {"1", "2", "3", "4"}) finish(claims_.end(create(id), Cause::killed));
    EXPECT_EQ(claims_.find("1"), nullptr);
    EXPECT_EQ(claims_.find("2"), nullptr);
    EXPECT_NE(claims_.find("3"), nullptr);
    auto const kept = create("5");
    create("6");
    auto many = finish(claims_.create({.id = "7"}));
    ASSERT_FALSE(many);
    EXPECT_EQ(many.error().code, Code::exhausted);
    auto large = claims_.set_metadata(*kept, {{"x", std::string(200, 'x')}});
    ASSERT_FALSE(large);
    EXPECT_EQ(large.error().code, Code::too_large);
}

TEST_F(ClaimsTest, WhatCannotBeIsRefused) {
    auto const code = [this](Spec spec) {
        auto made = finish(claims_.create(std::move(spec)));
        return made ? Code::internal : made.error().code;
    };
    EXPECT_EQ(code({.env = {{"A=B", "1"}}}), Code::invalid_argument);
    EXPECT_EQ(code({.env = {{"", "1"}}}), Code::invalid_argument);
    EXPECT_EQ(code({.env = {{"A", std::string("x\0y", 3)}}}), Code::invalid_argument);
    EXPECT_EQ(code({.env = {{"A", std::string(2 << 20, 'x')}}}), Code::too_large);
    EXPECT_EQ(code({.expires = clock_.wall()}), Code::invalid_argument);
    EXPECT_EQ(code({.idle = -1s}), Code::invalid_argument);
    EXPECT_EQ(claims_.living(), 0U);
}

TEST_F(ClaimsTest, TheDeadlineEndsItAndCanBeMoved) {
    auto const claim = create({.id = "timed", .expires = clock_.wall() + 10s});
    clock_.advance(9s);
    ASSERT_TRUE(claims_.renew(*claim, clock_.wall() + 10s));
    clock_.advance(9s);
    EXPECT_TRUE(claim->alive());
    EXPECT_FALSE(claims_.renew(*claim, clock_.wall() - 1s));
    clock_.advance(2s);
    ASSERT_TRUE(ended(claim));
    EXPECT_EQ(claim->cause(), Cause::expired);
    EXPECT_EQ(claims_.renew(*claim, clock_.wall() + 1s).error().code, Code::gone);
    auto const forever = create({.id = "forever", .expires = clock_.wall() + 10s});
    ASSERT_TRUE(claims_.renew(*forever, std::nullopt));
    clock_.advance(24h);
    EXPECT_TRUE(forever->alive());
}

TEST_F(ClaimsTest, IdleIsWithoutRequestsAndWithoutWork) {
    auto const claim = create({.id = "idle", .idle = 10s});
    {
        auto entered = claims_.enter("idle");
        ASSERT_TRUE(entered);
        clock_.advance(60s);
        EXPECT_TRUE(claim->alive());
    }
    clock_.advance(9s);
    auto const run = start("idle", "sleep 1000");
    clock_.advance(60s);
    EXPECT_TRUE(claim->alive());
    finish(run->stop(0s));
    clock_.advance(9s);
    EXPECT_TRUE(claim->alive());
    clock_.advance(1s);
    ASSERT_TRUE(ended(claim));
    EXPECT_EQ(claim->cause(), Cause::idle);
}

TEST_F(ClaimsTest, PauseStopsProcessesAndRefusesNewOnes) {
    auto const claim = create("p");
    create("other");
    auto const run = start("p", "sleep 1000 & wait");
    auto const bystander = start("other", "sleep 1000");
    ASSERT_TRUE(finish(claims_.pause(claim)));
    EXPECT_EQ(claim->state(), State::paused);
    EXPECT_EQ(state_of(run->pid()), 'T');
    EXPECT_NE(state_of(bystander->pid()), 'T');
    EXPECT_EQ(claims_.enter("p").error().code, Code::conflict);
    EXPECT_EQ(finish(claims_.pause(claim)).error().code, Code::conflict);
    shell::ExecutionSpec spec;
    spec.argv = {"/bin/true"};
    spec.owner = "p";
    EXPECT_EQ(finish(executions_.start(std::move(spec))).error().code, Code::conflict);
    ASSERT_TRUE(finish(claims_.resume(claim)));
    EXPECT_NE(state_of(run->pid()), 'T');
    EXPECT_EQ(finish(claims_.resume(claim)).error().code, Code::conflict);
    start("p", "true");
    EXPECT_EQ(events(),
              (std::vector<std::string>{"p running", "other running", "p pausing", "p paused", "p running"}));
}

TEST_F(ClaimsTest, ACommandsTimeStandsStillWhileItsClaimIsPaused) {
    auto const claim = create("p");
    shell::ExecutionSpec spec;
    spec.argv = {"/bin/sleep", "1000"};
    spec.env = {"PATH=/usr/bin:/bin"};
    spec.owner = "p";
    spec.timeout = 10s;
    auto const run = *finish(executions_.start(std::move(spec)));
    clock_.advance(9s);
    for (int i = 0; i < 2; ++i) {
        ASSERT_TRUE(finish(claims_.pause(claim)));
        clock_.advance(1h);
        EXPECT_EQ(state_of(run->pid()), 'T');
        ASSERT_TRUE(finish(claims_.resume(claim)));
        EXPECT_TRUE(std::strchr("RS", state_of(run->pid())));
    }
    clock_.advance(999ms);
    EXPECT_TRUE(std::strchr("RS", state_of(run->pid())));
    clock_.advance(1ms);
    ASSERT_TRUE(run_until([&run] { return !run->running(); }));
    EXPECT_TRUE(std::holds_alternative<shell::TimedOut>(run->verdict()->ending));
}

TEST_F(ClaimsTest, ResumeLeavesAloneWhatWasStoppedBefore) {
    auto const claim = create("p");
    auto const stopped = start("p", "kill -STOP $$; sleep 1000");
    ASSERT_TRUE(run_until([&] { return state_of(stopped->pid()) == 'T'; }));
    ASSERT_TRUE(finish(claims_.pause(claim)));
    ASSERT_TRUE(finish(claims_.resume(claim)));
    EXPECT_EQ(state_of(stopped->pid()), 'T');
}

TEST_F(ClaimsTest, ASessionsStateSurvivesAPause) {
    auto const claim = create("p");
    shell::Session::Options options;
    options.owner = "p";
    options.environment.set("PATH", "/usr/bin:/bin");
    auto session = finish(sessions_.open(options));
    ASSERT_TRUE(session);
    auto const run = [&](std::string text) {
        shell::Session::RunSpec spec;
        spec.text = std::move(text);
        auto begun = finish((*session)->run(std::move(spec)));
        EXPECT_TRUE(begun);
        EXPECT_TRUE(run_until([&] { return !(*begun)->running(); }));
        return (*begun)->end()->status;
    };
    EXPECT_EQ(run("x=42"), 0);
    ASSERT_TRUE(finish(claims_.pause(claim)));
    ASSERT_TRUE(finish(claims_.resume(claim)));
    EXPECT_EQ(run("[ $x = 42 ]"), 0);
    finish(claims_.end(claim, Cause::killed));
    EXPECT_EQ(sessions_.size(), 0U);
}

class SessionsOfAClaim : public ClaimsTest {
  protected:
    SessionsOfAClaim() : claim_(create("p")) {
        shell::Session::Options options;
        options.owner = "p";
        options.environment.set("PATH", "/usr/bin:/bin");
        session_ = *finish(sessions_.open(options));
    }
    ~SessionsOfAClaim() override {
        session_.reset();
        finish(claims_.end(claim_, Cause::killed));
    }
    /// With ten seconds of time, from when it has said something on.
    std::shared_ptr<shell::SessionRun> begin(std::string text) {
        shell::Session::RunSpec spec;
        spec.text = std::move(text);
        spec.timeout = 10s;
        auto begun = finish(session_->run(std::move(spec)));
        EXPECT_TRUE(begun);
        shell::Journal& journal = (*begun)->journal();
        EXPECT_TRUE(run_until([&] { return journal.end().total > (*begun)->began().total; }));
        return *begun;
    }
    void pause_for(Duration time) {
        ASSERT_TRUE(finish(claims_.pause(claim_)));
        clock_.advance(time);
        ASSERT_TRUE(finish(claims_.resume(claim_)));
    }

    ClaimPtr claim_;
    std::shared_ptr<shell::Session> session_;
};

TEST_F(SessionsOfAClaim, TheTimeOfACommandStandsStillWhileTheyArePaused) {
    auto const run = begin("x=42; echo on; sleep 1000");
    auto const shell = session_->execution();
    clock_.advance(9s);
    pause_for(1h);
    pause_for(1h);
    clock_.advance(999ms);
    EXPECT_TRUE(run->running());
    // Interrupted now, and once more in case that the first one came too early.
    EXPECT_TRUE(run_until([&] {
        clock_.advance(10ms);
        return !run->running();
    }));
    EXPECT_EQ(run->end()->kind, shell::RunEnd::Kind::timed_out);
    EXPECT_EQ(session_->execution(), shell);
    auto const after = begin("[ $x = 42 ] && echo kept");
    ASSERT_TRUE(run_until([&] { return !after->running(); }));
    EXPECT_EQ(after->end()->status, 0);
}

TEST_F(SessionsOfAClaim, OneThatIsBeingInterruptedKeepsItsShellOverAPause) {
    auto const run = begin("trap '' INT; x=42; echo on; sleep 1000");
    auto const shell = session_->execution();
    clock_.advance(10s);
    pause_for(1h);  // after the first interrupt, before anything is killed
    EXPECT_TRUE(run->running());
    EXPECT_TRUE(shell->running());
    clock_.advance(500ms);
    clock_.advance(500ms);  // what does not heed it is killed; the shell goes on
    ASSERT_TRUE(run_until([&] { return !run->running(); }));
    EXPECT_EQ(run->end()->kind, shell::RunEnd::Kind::timed_out);
    EXPECT_EQ(session_->execution(), shell);
    EXPECT_TRUE(shell->running());
}

TEST_F(SessionsOfAClaim, TheirEndDoesNotWaitForAPausedCommand) {
    auto const run = begin("trap '' INT; echo on; sleep 1000");
    clock_.advance(10s);
    ASSERT_TRUE(finish(claims_.pause(claim_)));
    finish(claims_.end(claim_, Cause::killed));
    EXPECT_FALSE(run->running());
}

class ContextsOfAClaim : private kernels::FakeSpecs, public ClaimsTest {
  protected:
    ContextsOfAClaim() { claims_.set_contexts(&contexts_); }
    ~ContextsOfAClaim() override {
        claims_.set_contexts(nullptr);
        bool done = false;
        scope_.spawn("test", mark(contexts_.close(Deadline::never()), &done));
        EXPECT_TRUE(moving([&done] { return done; }));
    }
    /// Kernels and their connections have timers too: the clock goes on with what is waited for.
    template <class Done>
    bool moving(Done done) {
        return run_until([&] {
            clock_.advance(50ms);
            return done();
        });
    }
    std::shared_ptr<kernels::Context> make(kernels::ContextSpec spec) {
        std::optional<Result<std::shared_ptr<kernels::Context>>> made;
        spec.language = "fake";
        spec.owner = "p";
        scope_.spawn("test", keep(contexts_.create(std::move(spec)), &made));
        EXPECT_TRUE(moving([&made] { return made.has_value(); }));
        if (!made || !*made) throw std::runtime_error(made ? made->error().message() : "timed out");
        return **made;
    }

    kernels::Contexts contexts_{loop_, executions_, reaper_, options()};
};

TEST_F(ContextsOfAClaim, NeitherARunsTimeNorIdleTimeNorSilencePassWhilePaused) {
    auto const claim = create("p");
    auto const busy = make({.id = "busy", .heartbeat_timeout = 30s});
    make({.id = "idle", .idle_timeout = 60s});
    auto const run = *busy->submit({.code = "never", .timeout = 10s});
    ASSERT_TRUE(run_until([&] { return run->state() == kernels::RunState::running; }));
    clock_.advance(9s);
    ASSERT_TRUE(finish(claims_.pause(claim)));
    EXPECT_EQ(state_of(busy->kernel()->pid()), 'T');
    clock_.advance(24h);
    EXPECT_TRUE(contexts_.find("idle"));
    ASSERT_TRUE(finish(claims_.resume(claim)));
    clock_.advance(900ms);
    EXPECT_EQ(run->state(), kernels::RunState::running);
    EXPECT_TRUE(contexts_.find("idle"));
    clock_.advance(100ms);
    clock_.advance(5s);  // it has not begun, says its kernel: the interrupt waits for that
    ASSERT_TRUE(moving([&] { return run->state() == kernels::RunState::finished; }));
    EXPECT_EQ(run->outcome().kind, kernels::RunOutcome::Kind::timed_out);
    auto const page = run->log().read(0);
    for (auto const& entry : page.entries)
        EXPECT_FALSE(std::holds_alternative<kernels::Notice>(*entry.output));  // of heartbeats
    clock_.advance(60s);
    EXPECT_TRUE(moving([&] { return !contexts_.find("idle"); }));
    finish(claims_.end(claim, Cause::killed));
}

TEST_F(ClaimsTest, TheEndTakesAllOfItsWorkAndNothingElse) {
    auto const claim = create("k");
    create("other");
    auto const run = start("k", "trap '' TERM; sleep 1000 & wait");
    // A server left behind in a session of its own, by a command that has finished.
    auto const finished = start("k", "setsid sleep 1001 >/dev/null 2>&1 & echo $!");
    ASSERT_TRUE(run_until([&] { return !finished->running(); }));
    auto const bystander = start("other", "sleep 1000");
    ASSERT_TRUE(finish(claims_.pause(claim)));
    finish(claims_.end(claim, Cause::killed));
    EXPECT_FALSE(run->running());
    EXPECT_TRUE(bystander->running());
    shell::ForestQuery query;
    query.owner = "k";
    EXPECT_TRUE(shell::find_forest(query).empty());
    shell::ExecutionSpec spec;
    spec.argv = {"/bin/true"};
    spec.owner = "k";
    EXPECT_EQ(finish(executions_.start(std::move(spec))).error().code, Code::gone);
}

TEST_F(ClaimsTest, TheEndOfTheLastOneIsTold) {
    int told = 0;
    claims_.on_last_ended([&told] { ++told; });
    auto const one = create("1");
    auto const two = create("2");
    finish(claims_.end(one, Cause::killed));
    EXPECT_EQ(told, 0);
    finish(claims_.end(two, Cause::killed));
    EXPECT_EQ(told, 1);
}

/// With the machine's own cgroups, where there are any.
TEST(ClaimsInGroups, PauseFreezesTheWholeGroup) {
    shell::Executions::Options options;
    options.cgroups = shell::Cgroups::detect();
    shell::Harness harness(nullptr, options);
    shell::ResourceLimits limits;
    limits.pids = 50;
    auto const owner = harness.run(harness.executions.open_owner("o", limits));
    auto spec = harness.shell("setsid sleep 1001 >/dev/null 2>&1 & sleep 1000");
    spec.owner = "o";
    auto const run = harness.start(std::move(spec));
    ASSERT_TRUE(harness.run(harness.executions.freeze_owner("o", true)));
    if (owner->group) {
        EXPECT_TRUE(owner->group->wait_frozen(2000));
    }
    ASSERT_TRUE(harness.run(harness.executions.freeze_owner("o", false)));
    ASSERT_TRUE(harness.run(harness.executions.freeze_owner("o", true)));
    harness.run(harness.executions.close_owner("o", 0s));
    EXPECT_FALSE(run->running());
    shell::ForestQuery query;
    query.owner = "o";
    EXPECT_TRUE(shell::find_forest(query).empty());
    auto late = harness.shell("true");
    late.owner = "o";
    auto const refused = harness.run(harness.executions.start(std::move(late)));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Code::gone);
}

TEST_F(ClaimsTest, ManyProcessesStandStillTogether) {
    auto const claim = create("many");
    std::vector<std::shared_ptr<shell::Execution>> all;
    for (int i = 0; i < 100; ++i) all.push_back(start("many", "exec sleep 1000"));
    ASSERT_TRUE(finish(claims_.pause(claim)));
    std::map<pid_t, char> states;
    for (auto const& entry : shell::list_processes()) states[entry.pid] = entry.state;
    for (auto const& one : all) EXPECT_EQ(states[one->pid()], 'T');
    ASSERT_TRUE(finish(claims_.resume(claim)));
    finish(claims_.end(claim, Cause::killed));
    for (auto const& one : all) EXPECT_FALSE(one->running());
}

}  // namespace
}  // namespace execd::claims
