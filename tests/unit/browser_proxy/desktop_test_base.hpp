// A supervisor in virtual time on a directory of its own, with programs that exist only in the test and an X
// server that is a socket of it.
#pragma once
#include <sys/stat.h>

#include <filesystem>

#include "base/ids.hpp"
#include "fakes.hpp"

namespace execd::browser_proxy {

class DesktopTest : public VirtualLoop {
  protected:
    explicit DesktopTest(Options options = {}) {
        directory_ = "/tmp/execd-x-" + random_hex(6);
        ::mkdir(directory_.c_str(), 0700);
        sockaddr_un at{};
        at.sun_family = AF_UNIX;
        (directory_ + "/X7").copy(at.sun_path, sizeof at.sun_path - 1);
        x_ = std::make_unique<FakeServer>(reinterpret_cast<sockaddr const*>(&at), sizeof at);
        auto launcher = std::make_unique<FakeLauncher>(loop_);
        launcher_ = launcher.get();
        options.home = options.profile = options.x_sockets = options.recording.directory = directory_;
        supervisor_ = std::make_unique<Supervisor>(loop_, std::move(launcher), options);
    }
    // Before the members of the test, into which what waits still writes.
    void TearDown() override {
        scope_.spawn("close", supervisor_->close());
        for (int i = 0; i < 20 && scope_.running() > 0; ++i) {
            settle();
            clock_.advance(std::chrono::seconds(1));
        }
        EXPECT_EQ(scope_.running(), 0U);
        supervisor_.reset();
    }
    ~DesktopTest() override {
        std::error_code ignored;
        std::filesystem::remove_all(directory_, ignored);
    }
    // The pool makes directories and looks into them.
    void settle() {
        for (int i = 0; i < 6; ++i) {
            clock_.settle();
            run_until([this] { return pool_.busy(Lane::metadata) + pool_.queued(Lane::metadata) == 0; });
        }
        clock_.settle();
    }
    void pass(Duration time) {
        clock_.advance(time);
        settle();
    }
    /// What an X server in health says to whoever comes.
    static std::string x_greeting() { return std::string("\1\0\0\0\0\0\0\0", 8); }
    /// From started to ready, and in health from then on.
    void display_up() {
        settle();
        launcher_->last("Xvfb").say("7");
        settle();
        x_->serve_all(io_, x_greeting());
        settle();
        ASSERT_TRUE(supervisor_->display().ready());
    }

    std::string directory_;
    std::unique_ptr<FakeServer> x_;
    FakeLauncher* launcher_ = nullptr;
    std::unique_ptr<Supervisor> supervisor_;
    Scope scope_{loop_, "test"};
};

}  // namespace execd::browser_proxy
