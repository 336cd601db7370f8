// The supervisor in virtual time: what makes a program count as up, what happens when it ends, hangs or never
// comes, and that a missing one refuses only what needs it.
#include <netinet/in.h>
#include <unistd.h>

#include "desktop_test_base.hpp"

namespace execd::browser_proxy {
namespace {

using namespace std::chrono_literals;

class SupervisorTest : public DesktopTest {
  protected:
    SupervisorTest() {
        sockaddr_in any{};
        any.sin_family = AF_INET;
        any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        rfb_ = std::make_unique<FakeServer>(reinterpret_cast<sockaddr const*>(&any), sizeof any);
    }

    static Task<void> ask_browser(Supervisor* supervisor, Deadline deadline,
                                  std::optional<Result<Supervisor::Endpoint>>* out) {
        out->emplace(co_await supervisor->browser(deadline));
    }
    static Task<void> ask_vnc(Supervisor* supervisor, Deadline deadline,
                              std::optional<Result<unsigned short>>* out) {
        out->emplace(co_await supervisor->vnc(deadline));
    }
    void want_browser() {
        endpoint_.reset();
        scope_.spawn("ask", ask_browser(supervisor_.get(), Deadline::in(clock_, 20s), &endpoint_));
        settle();
    }
    FakeRunning& chromium() { return launcher_->last("chromium"); }
    /// From started to ready.
    void chromium_up(FakeChromium& fake) {
        chromium().say("DevTools listening on ws://127.0.0.1:4711/devtools/browser/abc-1");
        for (int i = 0; i < 4; ++i) {
            settle();
            fake.answer();
        }
        settle();
    }

    std::unique_ptr<FakeServer> rfb_;
    std::optional<Result<Supervisor::Endpoint>> endpoint_;
};

TEST_F(SupervisorTest, a_browser_is_up_when_it_has_answered_and_has_a_page) {
    want_browser();
    ASSERT_EQ(launcher_->count("Xvfb"), 1U);
    EXPECT_EQ(launcher_->count("chromium"), 0U) << "before there is anything to show it on";
    display_up();
    ASSERT_EQ(launcher_->count("chromium"), 1U);
    EXPECT_EQ(launcher_->count("openbox"), 1U);
    FakeChromium fake(chromium());
    chromium().say("DevTools listening on ws://127.0.0.1:4711/devtools/browser/abc-1");
    settle();
    EXPECT_FALSE(endpoint_) << "a port that is open is no answer";
    EXPECT_EQ(fake.answer(), std::vector<std::string>{"Browser.getVersion"});
    settle();
    EXPECT_EQ(fake.answer(), std::vector<std::string>{"Target.setDiscoverTargets"});
    settle();
    EXPECT_EQ(fake.answer(), std::vector<std::string>{"Target.createTarget"});
    settle();
    ASSERT_TRUE(endpoint_ && *endpoint_);
    EXPECT_EQ((*endpoint_)->port, 4711);
    EXPECT_EQ((*endpoint_)->path, "/devtools/browser/abc-1");
    EXPECT_EQ(supervisor_->chromium().version().product, "Chrome/1");
    EXPECT_EQ(supervisor_->chromium().targets().size(), 1U);
}

TEST_F(SupervisorTest, a_browser_that_ends_is_started_again_with_the_reason_kept) {
    want_browser();
    display_up();
    FakeChromium first(chromium());
    chromium_up(first);
    ASSERT_TRUE(endpoint_ && *endpoint_);
    clock_.advance(11s);  // it answered the watch meanwhile
    first.answer();
    settle();
    chromium().end("signal: killed");
    settle();
    EXPECT_EQ(supervisor_->chromium().reason(), "signal: killed");
    EXPECT_EQ(launcher_->count("chromium"), 2U) << "it had lasted: at once";
    FakeChromium second(chromium());
    want_browser();
    chromium_up(second);
    ASSERT_TRUE(endpoint_ && *endpoint_);
    EXPECT_EQ((*endpoint_)->generation, 2U);
    EXPECT_EQ(launcher_->count("Xvfb"), 1U);
}

TEST_F(SupervisorTest, who_ends_again_and_again_is_started_later_and_later) {
    want_browser();
    display_up();
    std::size_t const starts[] = {2, 3, 4, 5};
    Duration const pauses[] = {250ms, 500ms, 1s, 2s};
    for (std::size_t i = 0; i < 4; ++i) {
        chromium().end("exit status 1");
        settle();
        clock_.advance(pauses[i] - 1ms);
        settle();
        EXPECT_EQ(launcher_->count("chromium"), starts[i] - 1);
        clock_.advance(1ms);
        settle();
        EXPECT_EQ(launcher_->count("chromium"), starts[i]);
    }
    ASSERT_TRUE(endpoint_) << "who waits hears of it after the second time";
    ASSERT_FALSE(*endpoint_);
    EXPECT_EQ(endpoint_->error().code, Code::unavailable);
    EXPECT_NE(endpoint_->error().message().find("exit status 1"), std::string::npos);
}

TEST_F(SupervisorTest, a_browser_that_hangs_is_ended_and_started_again) {
    want_browser();
    display_up();
    FakeChromium first(chromium());
    chromium_up(first);
    auto const hung = launcher_->all["chromium"].back();
    clock_.advance(10s);
    settle();
    EXPECT_EQ(first.take().size(), 1U) << "the question";
    pass(2500ms);
    EXPECT_EQ(first.take().size(), 1U) << "once more";
    EXPECT_FALSE(hung->stopped);
    pass(2500ms);
    EXPECT_TRUE(hung->stopped);
    EXPECT_NE(supervisor_->chromium().reason().find("it hung"), std::string::npos);
    pass(250ms);
    EXPECT_EQ(launcher_->count("chromium"), 2U);
}

// What stands still keeps its sockets: connections are taken for it by the kernel, and nothing comes.
TEST_F(SupervisorTest, a_display_that_stands_still_is_ended_and_started_again_later_each_time) {
    supervisor_->display().want();
    display_up();
    for (std::size_t starts = 1; auto const pause : {250ms, 500ms, 1000ms}) {
        auto const hung = launcher_->all["Xvfb"].back();
        x_->stand_still();
        pass(15s - 1ms);
        EXPECT_FALSE(hung->stopped);
        pass(1ms);
        EXPECT_TRUE(hung->stopped);
        auto const told = supervisor_->status().front();
        EXPECT_EQ(told.reason, "it hung: it did not answer in time");
        EXPECT_EQ(told.ended, starts);
        EXPECT_EQ(to_string(told.state), "waiting");
        pass(pause - 1ms);
        ASSERT_EQ(launcher_->count("Xvfb"), starts);
        pass(1ms);
        ASSERT_EQ(launcher_->count("Xvfb"), ++starts);
        display_up();
    }
    EXPECT_EQ(supervisor_->display().generation(), 4U);
}

TEST_F(SupervisorTest, a_display_that_answers_is_left_alone) {
    supervisor_->display().want();
    display_up();
    pass(1min);
    EXPECT_TRUE(supervisor_->display().ready());
    // The first question came to nothing (all of the container was paused): the second is answered.
    x_->stand_still();
    pass(13s);
    x_->serve_all(io_, x_greeting());
    pass(1min);
    // It has all the clients that it takes, and says so.
    x_->serve_all(io_, std::string("\0\x10\0\0\0\0\0\0", 8));
    pass(1min);
    EXPECT_TRUE(supervisor_->display().ready());
    EXPECT_EQ(supervisor_->display().status().ended, 0U);
}

TEST_F(SupervisorTest, a_display_that_takes_no_more_connections_hangs) {
    supervisor_->display().want();
    display_up();
    x_->stand_still();
    sockaddr_un at{};
    at.sun_family = AF_UNIX;
    (directory_ + "/X7").copy(at.sun_path, sizeof at.sun_path - 1);
    std::vector<UniqueFd> queue;
    do queue.emplace_back(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    while (::connect(queue.back().get(), reinterpret_cast<sockaddr const*>(&at), sizeof at) == 0);
    EXPECT_EQ(errno, EAGAIN);
    pass(15s);
    EXPECT_EQ(supervisor_->display().reason(), "it hung: it takes no more connections");
}

TEST_F(SupervisorTest, a_vnc_server_that_stands_still_is_ended_and_started_again) {
    launcher_->absent["chromium"] = true;
    std::optional<Result<unsigned short>> port;
    scope_.spawn("vnc", ask_vnc(supervisor_.get(), Deadline::in(clock_, 20s), &port));
    settle();
    display_up();
    launcher_->last("x11vnc").say("PORT=" + std::to_string(rfb_->port()));
    rfb_->serve_all(io_, std::string("RFB 003.008\n\1\1", 14));
    settle();
    ASSERT_TRUE(port && *port);
    pass(1min);
    EXPECT_TRUE(supervisor_->vnc_server().ready());
    auto const hung = launcher_->all["x11vnc"].back();
    rfb_->stand_still();
    // Viewers that take nothing hold it up for some seconds: that is no end.
    pass(10s + 15s - 1ms);
    EXPECT_FALSE(hung->stopped);
    pass(1ms);
    EXPECT_TRUE(hung->stopped);
    EXPECT_EQ(supervisor_->vnc_server().reason(), "it hung: it did not answer in time");
    settle();
    ASSERT_EQ(launcher_->count("x11vnc"), 2U) << "it had lasted: at once";
    launcher_->last("x11vnc").say("PORT=" + std::to_string(rfb_->port()));
    rfb_->serve_all(io_, std::string("RFB 003.008\n\1\1", 14));
    settle();
    EXPECT_EQ(supervisor_->vnc_server().generation(), 2U);
    EXPECT_EQ(launcher_->count("Xvfb"), 1U);
}

TEST_F(SupervisorTest, the_last_tab_is_replaced) {
    want_browser();
    display_up();
    FakeChromium fake(chromium());
    chromium_up(fake);
    fake.page("Target.targetCreated", "X");
    fake.page("Target.targetCreated", "W", "worker");
    fake.page("Target.targetDestroyed", "X");
    settle();
    EXPECT_TRUE(fake.take().empty()) << "there is another page";
    fake.page("Target.targetDestroyed", "P1");
    settle();
    EXPECT_EQ(fake.answer(), std::vector<std::string>{"Target.createTarget"});
    settle();
    EXPECT_EQ(supervisor_->chromium().targets().size(), 2U);  // the page and the worker
    fake.page("Target.targetCrashed", "P2");
    settle();
    EXPECT_EQ(supervisor_->chromium().pages_crashed(), 1U);
}

TEST_F(SupervisorTest, without_user_namespaces_it_runs_without_its_own_sandbox_and_says_so) {
    want_browser();
    display_up();
    auto const& arguments = chromium().launch.argv;
    EXPECT_EQ(std::find(arguments.begin(), arguments.end(), "--no-sandbox"), arguments.end());
    chromium().words = "[1:1:FATAL] No usable sandbox! ...";
    chromium().end("signal: trace trap");
    settle();
    clock_.advance(1s);
    settle();
    ASSERT_EQ(launcher_->count("chromium"), 2U);
    auto const& again = chromium().launch.argv;
    EXPECT_NE(std::find(again.begin(), again.end(), "--no-sandbox"), again.end());
    EXPECT_FALSE(supervisor_->chromium().sandboxed());
}

TEST_F(SupervisorTest, what_is_not_installed_is_named_and_refuses_only_its_own) {
    launcher_->absent["chromium"] = true;
    want_browser();
    ASSERT_TRUE(endpoint_ && !*endpoint_);
    EXPECT_EQ(endpoint_->error().code, Code::unavailable);
    EXPECT_NE(endpoint_->error().message().find("Debian package chromium"), std::string::npos);
    EXPECT_EQ(launcher_->started, 0);
    std::optional<Result<unsigned short>> port;
    scope_.spawn("vnc", ask_vnc(supervisor_.get(), Deadline::in(clock_, 20s), &port));
    settle();
    display_up();
    launcher_->last("x11vnc").say("PORT=" + std::to_string(rfb_->port()));
    settle();
    EXPECT_FALSE(port) << "its port alone is no answer";
    ASSERT_TRUE(rfb_->serve(std::string("RFB 003.008\n\1\1", 14)));
    settle();
    ASSERT_TRUE(port && *port);
    EXPECT_EQ(**port, rfb_->port());
}

TEST_F(SupervisorTest, a_vnc_server_that_wants_a_password_is_none_of_ours) {
    std::optional<Result<unsigned short>> port;
    scope_.spawn("vnc", ask_vnc(supervisor_.get(), Deadline::in(clock_, 60s), &port));
    settle();
    display_up();
    for (int i = 0; i < 2; ++i) {
        launcher_->last("x11vnc").say("PORT=" + std::to_string(rfb_->port()));
        settle();
        ASSERT_TRUE(rfb_->serve(std::string("RFB 003.008\n\1\2", 14)));
        settle();
        clock_.advance(250ms);
        settle();
    }
    ASSERT_TRUE(port && !*port);
    EXPECT_NE(port->error().message().find("password"), std::string::npos);
}

TEST_F(SupervisorTest, one_that_never_comes_up_is_given_up_at_the_deadline) {
    want_browser();
    ASSERT_EQ(launcher_->count("Xvfb"), 1U);
    clock_.advance(20s);
    settle();
    ASSERT_TRUE(endpoint_ && !*endpoint_);
    EXPECT_EQ(endpoint_->error().code, Code::unavailable);
}

}  // namespace
}  // namespace execd::browser_proxy
