// What a kernel said and could get lost on the way: at its death, over a limit, unreadable, too fast.
#include "fake.hpp"

namespace execd::kernels {
namespace {

class Loss : public Fake {
  protected:
    static std::uint64_t gap_bytes(RunPtr const& run_) {
        std::uint64_t sum = 0;
        for (auto const& gap : all<OutputGap>(run_)) sum += gap.bytes;
        return sum;
    }
    /// A kernel without a context around it, not connected to yet; null when there is none.
    std::unique_ptr<Kernel> bare(std::string const& name) {
        dir_ = RuntimeDir::create("/tmp").value();
        auto const specs = run(contexts_.kernelspecs());
        auto const spec = (*specs)->find(name);
        if (!spec) return nullptr;
        std::string const here = std::filesystem::current_path();
        auto const env = contexts_.options().env;
        auto made = run(start_cold(loop_, executions_, std::make_shared<ZmqContext>(), *dir_, *spec,
                                   {here, env, {}, {}}));
        return made ? *std::move(made) : nullptr;
    }

  private:
    std::unique_ptr<RuntimeDir> dir_;
};

TEST_F(Loss, WhatWasFlushedBeforeTheDeathArrives) {
    auto const context = fake();
    // The large one is at work on the pool when the end is known.
    for (std::size_t const size : {100U, 1'000'000U}) {
        auto const dead = exec(context, "last_words " + std::to_string(size));
        EXPECT_EQ(dead->outcome().kind, RunOutcome::Kind::kernel_died);
        EXPECT_EQ(dead->outcome().cause, "exited");
        EXPECT_EQ(text(dead).size(), size);
        EXPECT_FALSE(dead->outcome().incomplete);
        EXPECT_TRUE(all<OutputGap>(dead).empty());
    }
}

TEST_F(Loss, AChildThatKeepsTheConnectionOpenDoesNotHoldTheEnd) {
    auto const dead = exec(fake(), "orphan");
    EXPECT_EQ(dead->outcome().kind, RunOutcome::Kind::kernel_died);
    EXPECT_TRUE(dead->outcome().incomplete);
    EXPECT_EQ(all<OutputGap>(dead).size(), 1U);
}

TEST_F(Loss, AConnectionThatEndsIsMadeAnew) {
    auto const context = fake();
    auto const broken = exec(context, "rebind");
    EXPECT_EQ(broken->outcome().kind, RunOutcome::Kind::ok);
    EXPECT_TRUE(broken->outcome().incomplete);
    EXPECT_FALSE(all<OutputGap>(broken).empty());
    // The loss is told 250 ms later, when it is clear that the kernel lives: to the context or to the next
    // run.
    ASSERT_TRUE(until(context->changed(), [&] { return context->background().size() > 0; }));
    EXPECT_EQ(context->kernel()->client().counts().reconnects, 1U);
    auto const next = exec(context, "big 3");
    EXPECT_EQ(text(next), "xxx");
    EXPECT_FALSE(next->outcome().incomplete);
}

Json cell(std::string code) {
    return {{"code", std::move(code)}, {"silent", false}, {"store_history", false}};
}

// It closes its channels one after the other and takes its time: nothing of that is to be mended.
TEST_F(Loss, AKernelThatIsToldToEndIsNotMadeAnew) {
    auto const made = bare("fakelingering");
    ASSERT_TRUE(made);
    ASSERT_TRUE(run(made->connect(in(20))));
    run(made->end(10s));
    EXPECT_EQ(made->client().counts().reconnects, 0U);
}

// libzmq gives a connection up for good over such a message.
TEST_F(Loss, AMessageOverTheLimitOfAFrameCostsOnlyItself) {
    auto const made = bare("fake");
    ASSERT_TRUE(made);
    Kernel& kernel = *made;
    KernelClient& client = kernel.client();
    client.set_limits({.frame_bytes = 1 << 20});
    ASSERT_TRUE(run(kernel.connect(in(20))));
    Event event;
    int lost = 0;
    std::string said;
    client.set_hooks({.iopub =
                          [&](Message, std::vector<Output> outputs) {
                              for (auto const& output : outputs)
                                  if (auto const* stream = std::get_if<StreamText>(&output))
                                      said += stream->text;
                              event.notify_all();
                          },
                      .input_request = {},
                      .lost =
                          [&] {
                              ++lost;
                              event.notify_all();
                          },
                      .dropped = {}});
    EXPECT_TRUE(run(client.request(Channel::shell, "execute_request", cell("big 3000000"), in(20))));
    ASSERT_TRUE(until(event, [&] { return lost == 1; }));
    EXPECT_TRUE(run(client.live(in(20))));
    EXPECT_TRUE(run(client.request(Channel::shell, "execute_request", cell("big 3"), in(20))));
    EXPECT_TRUE(until(event, [&] { return said == "xxx"; })) << said.size();
    // A reply of that size: it is lost, the next one comes.
    auto const reply =
        run(client.request(Channel::shell, "execute_request", cell("big_reply 3000000"), in(20)));
    ASSERT_FALSE(reply);
    EXPECT_EQ(reply.error().code, Code::disconnected);
    EXPECT_TRUE(run(client.request(Channel::shell, "execute_request", cell("big 3"), in(20))));
    EXPECT_EQ(lost, 1);
    EXPECT_EQ(client.counts().reconnects, 2U);
    run(kernel.end(0s));
}

TEST_F(Loss, OverTheLimitOfAMessageItsEndIsKept) {
    auto const context = fake();
    context->kernel()->client().set_limits({.content_bytes = 1 << 20, .stream_tail = 100'000});
    auto const large = exec(context, "big 3000000");
    EXPECT_EQ(large->outcome().kind, RunOutcome::Kind::ok);
    EXPECT_EQ(text(large).size(), 100'000U);
    EXPECT_NEAR(static_cast<double>(gap_bytes(large)), 2'900'000, 100);
}

TEST_F(Loss, AReplyOverTheLimitLeavesTheOutcome) {
    auto const context = fake();
    context->kernel()->client().set_limits({.content_bytes = 1 << 20});
    auto const large = exec(context, "big_reply 3000000");
    EXPECT_EQ(large->outcome().kind, RunOutcome::Kind::ok) << large->outcome().why;
    EXPECT_GE(gap_bytes(large), 3'000'000U);
    auto const asking = submit(context, {.code = "ask 400000", .allow_stdin = true});
    ASSERT_TRUE(wait_output(asking, [](Output const& o) { return std::holds_alternative<InputRequest>(o); }));
    EXPECT_GE(gap_bytes(asking), 2'000'000U);
    ASSERT_TRUE(context->answer_input(asking->id(), "Zoë"));
    ASSERT_TRUE(run(asking->wait(clock_, in(20))));
    EXPECT_EQ(text(asking), "Zoë");
}

TEST_F(Loss, UnreadableOutputIsDeclared) {
    auto const deep = exec(fake(), "deep");
    EXPECT_EQ(deep->outcome().kind, RunOutcome::Kind::ok);
    ASSERT_EQ(all<OutputGap>(deep).size(), 1U);
    EXPECT_NE(all<OutputGap>(deep)[0].why.find("display_data"), std::string::npos);
}

// More messages than the kernel's PUB socket holds (1,000; it drops the others without a word), each of a
// size that the pool parses.
TEST_F(Loss, OutputsThatComeTooFastAreDeclared) {
    auto const context = fake();
    context->kernel()->client().set_limits({.backlog_bytes = 1 << 20});
    auto const fast = exec(context, "torrent 2500");
    EXPECT_EQ(fast->outcome().kind, RunOutcome::Kind::ok) << fast->outcome().why;
    EXPECT_FALSE(fast->outcome().incomplete);
    std::uint64_t declared = gap_bytes(fast);
    auto const first = fast->log().read(0);
    declared += first.lost_bytes;
    EXPECT_GE(declared + text(fast).size(), 2500U * 66'000U);
    EXPECT_EQ(text(exec(context, "big 3")), "xxx");
}

TEST(StringMember, TheEndOfALargeTextIsFound) {
    std::string const object = R"({"name": "text", "n": [1, {"text": "no"}], "text" : "a\"b\\\u00e9)"
                               "\xC3\xA9"
                               R"(z\n"})";
    auto const whole = string_member(object, "text", 100);
    ASSERT_TRUE(whole);
    EXPECT_EQ(whole->text, "a\"b\\\xC3\xA9\xC3\xA9z\n");
    EXPECT_EQ(whole->dropped, 0U);
    for (std::size_t bytes = 1; bytes < 20; ++bytes) {
        auto const end = string_member(object, "text", bytes);
        ASSERT_TRUE(end) << bytes;
        EXPECT_TRUE(whole->text.ends_with(end->text)) << bytes << " " << end->text;
    }
    EXPECT_EQ(string_member(object, "name", 100)->text, "text");
    // Bytes that are the inside of no character: not more of them than were asked for.
    auto const inner = string_member("{\"text\":\"a" + std::string(5000, '\x80') + "z\"}", "text", 10);
    ASSERT_TRUE(inner);
    EXPECT_GE(inner->dropped, 4980U);
    for (auto const* none :
         {"", "{}", R"({"text": 5})", R"({"text": "x)", R"(["text", "x"])", R"({"a":{"text":"x"}})"})
        EXPECT_FALSE(string_member(none, "text", 10)) << none;
}

}  // namespace
}  // namespace execd::kernels
