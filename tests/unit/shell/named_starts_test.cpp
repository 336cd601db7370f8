// Starts that are named by their caller: the same request again finds what the first one started.
#include "harness.hpp"
#include "shell/sessions.hpp"

namespace execd::shell {
namespace {

using Opened = Result<std::shared_ptr<Session>>;
using Begun = Result<std::shared_ptr<SessionRun>>;

class NamedStarts : public ::testing::Test {
  protected:
    static Session::Options options(std::string id, std::string digest) {
        Session::Options out;
        out.id = std::move(id);
        out.digest = std::move(digest);
        out.environment = Environment({"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/tmp"});
        out.cwd = "/tmp";
        out.journal.keep = Keep::window;
        return out;
    }
    std::shared_ptr<Session> open() { return *h.run(sessions.open(options("", ""))); }
    static Session::RunSpec spec(std::string id, std::string digest, std::string text) {
        Session::RunSpec out;
        out.id = std::move(id);
        out.digest = std::move(digest);
        out.text = std::move(text);
        return out;
    }
    std::shared_ptr<SessionRun> begin(Session& session, Session::RunSpec what) {
        auto run = h.run(session.run_or_attach(std::move(what)));
        if (!run) throw std::runtime_error("run: " + run.error().message());
        return *run;
    }
    RunEnd finish(SessionRun& run) {
        EXPECT_EQ(h.run(run.wait(h.soon())), SessionRun::Waited::ended);
        if (!run.end()) throw std::runtime_error("the command did not end");
        return *run.end();
    }
    std::string output(SessionRun const& run) { return h.run(Harness::collect(run.reader(), h.soon())); }

    static Task<void> ask(Task<Begun> from, std::optional<Begun>* out) {
        out->emplace(co_await std::move(from));
    }
    static Task<void> ask(Task<Opened> from, std::optional<Opened>* out) {
        out->emplace(co_await std::move(from));
    }
    static Task<void> both(Scope& scope, Deadline deadline) { (void)co_await scope.drain(deadline); }

    // On disk: what is to be kept is more than memory may hold.
    Harness h{std::make_shared<SpillStore>(
        SpillStore::Options{.parent = ::testing::TempDir().substr(0, 4), .allow_tmpfs = true})};
    Sessions sessions{h.loop, h.executions};
    Terminals terminals{h.loop, h.executions};
};

TEST_F(NamedStarts, ASession) {
    auto const first = h.run(sessions.open_or_attach(options("a", "1")));
    ASSERT_TRUE(first.has_value()) << first.error().message();
    auto const again = h.run(sessions.open_or_attach(options("a", "1")));
    ASSERT_TRUE(again.has_value());
    EXPECT_EQ(*first, *again);
    EXPECT_EQ(h.run(sessions.open_or_attach(options("a", "2"))).error().code, Code::conflict);
    EXPECT_EQ(sessions.size(), 1U);
    h.run(sessions.take("a")->close());
    EXPECT_TRUE(
        h.run(sessions.open_or_attach(options("a", "2"))).has_value());  // known as long as it is there
    h.run(sessions.close_all({}));
}

TEST_F(NamedStarts, TwoAtOnceOpenOneSession) {
    Scope scope(h.loop, "test");
    std::optional<Opened> one, two, other;
    scope.spawn("one", ask(sessions.open_or_attach(options("a", "1")), &one));
    scope.spawn("two", ask(sessions.open_or_attach(options("a", "1")), &two));
    scope.spawn("other", ask(sessions.open_or_attach(options("a", "2")), &other));
    h.run(both(scope, h.soon()));
    ASSERT_TRUE(one && *one && two && *two && other);
    EXPECT_EQ(**one, **two);
    EXPECT_EQ(other->error().code, Code::conflict);
    EXPECT_EQ(sessions.size(), 1U);
    h.run(sessions.close_all({}));
}

TEST_F(NamedStarts, ATerminal) {
    Terminal::Options wish;
    wish.id = "t";
    wish.digest = "1";
    wish.argv = {"/bin/sh"};
    auto const first = terminals.create_or_attach(wish);
    ASSERT_TRUE(first.has_value());
    EXPECT_EQ(*terminals.create_or_attach(wish), *first);
    wish.digest = "2";
    EXPECT_EQ(terminals.create_or_attach(wish).error().code, Code::conflict);
    h.run(terminals.close_all({}));
}

TEST_F(NamedStarts, ACommandOfASession) {
    auto const session = open();
    auto const run = begin(*session, spec("r", "1", "n=$((n+1)); echo run $n"));
    EXPECT_EQ(begin(*session, spec("r", "1", "n=$((n+1)); echo run $n")), run);
    EXPECT_EQ(h.run(session->run_or_attach(spec("r", "2", "true"))).error().code, Code::already_exists);
    finish(*run);
    EXPECT_EQ(begin(*session, spec("r", "1", "n=$((n+1)); echo run $n")), run);
    EXPECT_EQ(output(*run) + output(*run), "run 1\nrun 1\n");
    auto const next = begin(*session, spec("s", "1", "echo $n"));
    finish(*next);
    EXPECT_EQ(output(*next), "1\n");
    EXPECT_EQ(session->find("r"), run);
    EXPECT_EQ(session->find("nobody"), nullptr);
    h.run(session->close());
}

/// The first of two waits for its turn, the second one for the first.
TEST_F(NamedStarts, TwoAtOnceRunOneCommandAlsoBehindAnother) {
    auto const session = open();
    auto const before = *h.run(session->run({.text = "read x < <(sleep 0.05)"}));
    Scope scope(h.loop, "test");
    std::optional<Begun> one, two, other;
    scope.spawn("one", ask(session->run_or_attach(spec("r", "1", "n=$((n+1)); echo run $n")), &one));
    scope.spawn("two", ask(session->run_or_attach(spec("r", "1", "n=$((n+1)); echo run $n")), &two));
    scope.spawn("other", ask(session->run_or_attach(spec("r", "2", "true")), &other));
    h.run(both(scope, h.soon()));
    ASSERT_TRUE(one && *one && two && *two && other);
    EXPECT_EQ(**one, **two);
    EXPECT_EQ(other->error().code, Code::already_exists);
    finish(***one);
    EXPECT_EQ(output(***one), "run 1\n");
    h.run(session->close());
}

TEST_F(NamedStarts, ItsOutputIsKeptUntilTheNextCommand) {
    auto const session = open();
    constexpr std::size_t kSize = 3'000'000;  // more than the ring
    auto const run = begin(*session, spec("r", "1", "head -c 3000000 /dev/zero"));
    EXPECT_EQ(output(*run).size(), kSize);
    EXPECT_EQ(output(*run).size(), kSize);
    auto const next = begin(*session, spec("s", "1", "head -c 3000000 /dev/zero"));
    EXPECT_EQ(output(*next).size(), kSize);
    EXPECT_EQ(output(*run).find("<lost "), 0U);  // said, not passed over
    h.run(session->close());
}

TEST_F(NamedStarts, TheLast64AreKnown) {
    auto const session = open();
    for (int i = 0; i < 66; ++i) finish(*begin(*session, spec("r" + std::to_string(i), "1", ":")));
    EXPECT_EQ(session->find("r1"), nullptr);
    EXPECT_NE(session->find("r2"), nullptr);
    h.run(session->close());
}

}  // namespace
}  // namespace execd::shell
