// Kernels that misbehave: fake_kernel.py does what its name or the code says.
#include <signal.h>

#include "fake.hpp"

namespace execd::kernels {
namespace {
using namespace std::chrono_literals;

// PEERS.md 6.1, E2B #336.
TEST_F(Fake, BadMessagesAreDroppedOneByOne) {
    auto const context = fake();
    auto const odd = exec(context, "rubbish");
    EXPECT_EQ(odd->outcome().kind, RunOutcome::Kind::ok);
    EXPECT_EQ(text(odd), "good");
    auto const& counts = context->kernel()->client().counts();
    EXPECT_EQ(counts.dropped(), 5U);
    EXPECT_EQ(counts.malformed, 1U);
    EXPECT_EQ(counts.rejected[static_cast<std::size_t>(Rejection::signature)], 1U);
    EXPECT_EQ(counts.rejected[static_cast<std::size_t>(Rejection::json)], 2U);
    EXPECT_EQ(counts.rejected[static_cast<std::size_t>(Rejection::framing)], 2U);
    EXPECT_EQ(text(exec(context, "rubbish")), "good");
}

TEST_F(Fake, BothHalvesOfTheEndAreAwaited) {
    auto const context = fake();
    auto const idle_first = exec(context, "idle_first");
    EXPECT_EQ(idle_first->outcome().kind, RunOutcome::Kind::ok);
    auto const late = exec(context, "late_output");
    EXPECT_EQ(text(late), "late");
    EXPECT_FALSE(late->outcome().incomplete);
}

TEST_F(Fake, AMissingHalfIsDeclared) {
    auto const context = fake();
    auto const no_idle = exec(context, "no_idle");
    EXPECT_EQ(no_idle->outcome().kind, RunOutcome::Kind::ok);
    EXPECT_TRUE(no_idle->outcome().incomplete);
    EXPECT_EQ(all<OutputGap>(no_idle).size(), 1U);
    auto const no_reply = exec(context, "no_reply");
    EXPECT_EQ(no_reply->outcome().kind, RunOutcome::Kind::failed);
}

TEST_F(Fake, AKernelThatNeverAnswersLosesItsTime) {
    auto const context = fake();
    auto const never = exec_spec(context, {.code = "never", .timeout = 200ms, .grace = 200ms});
    EXPECT_EQ(never->outcome().kind, RunOutcome::Kind::timed_out);
    EXPECT_EQ(exec(context, "next")->outcome().kind, RunOutcome::Kind::ok);
}

TEST_F(Fake, DeathsHaveTheirCause) {
    auto const context = fake();
    auto const dead = exec(context, "die 7");
    EXPECT_EQ(dead->outcome().kind, RunOutcome::Kind::kernel_died);
    EXPECT_NE(dead->outcome().why.find("7"), std::string::npos) << dead->outcome().why;
    auto const crashed = exec(context, "segv");
    EXPECT_EQ(crashed->outcome().kind, RunOutcome::Kind::kernel_died);
    EXPECT_NE(crashed->outcome().why.find("segmentation"), std::string::npos) << crashed->outcome().why;
}

TEST_F(Fake, FinishedRunsAreForgottenByNumberAndSize) {
    auto const context = make({.language = "fake", .keep_runs = 3, .keep_bytes = 450'000});
    auto const first = exec(context, "big 200000");
    exec(context, "big 200000");
    EXPECT_TRUE(context->find(first->id()));
    exec(context, "big 200000");
    EXPECT_FALSE(context->find(first->id()));
    for (int i = 0; i < 4; ++i) exec(context, "ok");
    EXPECT_EQ(context->runs().size(), 3U);
}

TEST_F(Fake, RepliesOfOtherKinds) {
    auto const context = fake();
    EXPECT_EQ(exec(context, "aborted")->outcome().kind, RunOutcome::Kind::failed);
    auto const again = exec(context, "aborted_once");
    EXPECT_EQ(again->outcome().kind, RunOutcome::Kind::ok);
    EXPECT_EQ(text(again), "done");
    auto const error = exec(context, "reply_error");
    EXPECT_EQ(error->outcome().kind, RunOutcome::Kind::error);
    ASSERT_EQ(all<ErrorOutput>(error).size(), 1U);
    EXPECT_EQ(all<ErrorOutput>(error)[0].value, "only in the reply");
}

// One in a hundred bash contexts did not come up: the connection was there before the wait for it began.
TEST_F(Fake, AKernelThatListensAlreadyIsHeardAtOnce) {
    auto const context = fake();
    auto& client = context->kernel()->client();
    ASSERT_TRUE(run(client.stdin_ready(in(20))));
    auto const limit = in(3);
    EXPECT_TRUE(run(client.knock(limit)));
    EXPECT_FALSE(limit.passed(clock_));
}

TEST_F(Fake, LateOrOnPubItsFirstOutputIsNotLost) {
    // PUB instead of XPUB: no iopub_welcome, the subscription is proven by nudging.
    for (int i = 0; i < 2; ++i) {
        auto const context = fake("fakelate");
        EXPECT_EQ(text(exec(context, "big 3")), "xxx");
        ASSERT_TRUE(run(contexts_.remove(context->id(), 0s)));
    }
}

TEST_F(Fake, AStartThatFailsSaysWhy) {
    auto const dead = run(contexts_.create({.language = "fakedie_at_start"}));
    ASSERT_FALSE(dead);
    EXPECT_EQ(dead.error().code, Code::unavailable);
    EXPECT_NE(dead.error().message().find("no such display"), std::string::npos) << dead.error().message();
    auto const missing = run(contexts_.create({.language = "gone"}));
    ASSERT_FALSE(missing);
    EXPECT_EQ(missing.error().code, Code::unavailable);
    EXPECT_NE(missing.error().message().find("/no/such/kernel"), std::string::npos)
        << missing.error().message();
    EXPECT_EQ(contexts_.size(), 0U);
}

TEST_F(Fake, LargeOutputIsWholeAndFloodIsBounded) {
    bool const full = std::getenv("EXECD_SLOW_TESTS") != nullptr;
    // Decoding 100 MB under the sanitizers takes its time: the grace between reply and idle must not end it.
    auto const context = make({.language = "fake", .end_grace = full ? 60s : 5s});
    if (!full) context->kernel()->client().set_limits({.content_bytes = 1'000'000, .stream_tail = 100'000});
    std::size_t const size = full ? 100'000'000 : 2'000'000;
    std::size_t const kept = full ? 8U << 20 : 100'000;
    auto const big = exec(context, full ? "big 5000000" : "big 900000");
    EXPECT_EQ(text(big).size(), full ? 5'000'000U : 900'000U);
    auto const huge = exec(context, "big " + std::to_string(size));
    EXPECT_EQ(huge->outcome().kind, RunOutcome::Kind::ok);
    EXPECT_EQ(text(huge).size(), kept);
    ASSERT_EQ(all<OutputGap>(huge).size(), 1U);
    EXPECT_GE(all<OutputGap>(huge)[0].bytes, size - kept);
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    char const* const many = "flood 50000";  // 200,000 messages take longer there than a run is waited for
#else
    char const* const many = "flood 200000";
#endif
    auto const flood = exec(context, full ? many : "flood 3000");
    EXPECT_EQ(flood->outcome().kind, RunOutcome::Kind::ok);
    EXPECT_LE(flood->log().bytes(), 17'000'000U);
}

TEST_F(Fake, AStubbornKernelIsKilled) {
    auto const context = fake("fakestubborn");
    auto const pid = context->kernel()->pid();
    ASSERT_TRUE(run(contexts_.remove(context->id(), 200ms)));
    EXPECT_EQ(::kill(pid, 0), -1);
}

TEST_F(Fake, DeletedWhileItStarts) {
    std::optional<Code> end;
    struct Starter {
        static Task<void> go(Contexts& contexts, std::optional<Code>& out, Event& ended) {
            ContextSpec wanted{.id = "slow", .language = "fakesilent"};
            auto made = co_await contexts.create(std::move(wanted));
            out = made ? Code::internal : made.error().code;
            ended.notify_all();
        }
    };
    Event ended;
    scope_.spawn("starter", Starter::go(contexts_, end, ended));
    ASSERT_TRUE(until(contexts_.changed(), [&] { return bool(contexts_.find("slow")); }));
    auto const slow = contexts_.find("slow");
    ASSERT_TRUE(until(slow->changed(), [&] { return slow->kernel() != nullptr; }));
    ASSERT_TRUE(run(contexts_.remove("slow", 0s)));
    ASSERT_TRUE(until(ended, [&] { return end.has_value(); }));
    EXPECT_EQ(*end, Code::gone);
}

TEST_F(Fake, HeartbeatsAnswer) {
    auto const context = fake();
    EXPECT_TRUE(run(context->kernel()->client().beat(in(10))));
    ::kill(context->kernel()->pid(), SIGSTOP);
    EXPECT_FALSE(run(context->kernel()->client().beat(Deadline::in(clock_, 100ms))));
    ::kill(context->kernel()->pid(), SIGCONT);
}

}  // namespace
}  // namespace execd::kernels
