// The supervisor in virtual time: what makes a program count as up, what happens when it ends, hangs or never
// comes, and that a missing one refuses only what needs it.
#include <netinet/in.h>
#include <unistd.h>

#include "base/ids.hpp"
#include "fakes.hpp"

namespace execd::browser_proxy {
namespace {

using namespace std::chrono_literals;
using testing::Test;

sockaddr_un unix_address(std::string const& path) {
    sockaddr_un out{};
    out.sun_family = AF_UNIX;
    path.copy(out.sun_path, sizeof out.sun_path - 1);
    return out;
}

class SupervisorTest : public VirtualLoop {
  protected:
    SupervisorTest() {
        directory_ = "/tmp/execd-x-" + random_hex(6);
        ::mkdir(directory_.c_str(), 0700);
        sockaddr_un const at = unix_address(directory_ + "/X7");
        x_ = std::make_unique<FakeServer>(reinterpret_cast<sockaddr const*>(&at), sizeof at);
        sockaddr_in any{};
        any.sin_family = AF_INET;
        any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        rfb_ = std::make_unique<FakeServer>(reinterpret_cast<sockaddr const*>(&any), sizeof any);
        auto launcher = std::make_unique<FakeLauncher>(loop_);
        launcher_ = launcher.get();
        Options options;
        options.home = options.profile = directory_;
        options.x_sockets = directory_;
        supervisor_ = std::make_unique<Supervisor>(loop_, std::move(launcher), options);
    }
    ~SupervisorTest() override {
        scope_.spawn("close", supervisor_->close());
        clock_.settle();
        for (int i = 0; i < 10 && scope_.running() > 0; ++i) clock_.advance(1s);
        EXPECT_EQ(scope_.running(), 0U);
        supervisor_.reset();
        ::unlink((directory_ + "/X7").c_str());
        ::rmdir(directory_.c_str());
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
    // The pool makes the profile directory.
    void settle() {
        for (int i = 0; i < 4; ++i) {
            clock_.settle();
            run_until([this] { return pool_.busy(Lane::metadata) + pool_.queued(Lane::metadata) == 0; });
        }
        clock_.settle();
    }
    void display_up() {
        launcher_->last("Xvfb").say("7");
        settle();
        ASSERT_TRUE(x_->serve(std::string("\1\0\0\0\0\0\0\0", 8)));
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

    std::string directory_;
    std::unique_ptr<FakeServer> x_, rfb_;
    FakeLauncher* launcher_ = nullptr;
    std::unique_ptr<Supervisor> supervisor_;
    Scope scope_{loop_, "test"};
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
    clock_.advance(5s);
    settle();
    EXPECT_TRUE(hung->stopped);
    EXPECT_NE(supervisor_->chromium().reason().find("it hung"), std::string::npos);
    EXPECT_EQ(launcher_->count("chromium"), 2U);
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
