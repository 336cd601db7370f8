// Supervisor: the desktop of this container and the browser on it. An X display (Xvfb), a window manager,
// Chromium and a VNC server (x11vnc), each started when somebody needs it, watched, and started again.
//
//   auto page = co_await supervisor.browser(Deadline::in(clock, 20s));
//   if (!page) co_return reply(page.error());      // Code::unavailable: not installed, or why it ends
//   connect("127.0.0.1", page->port, page->path);
//
// Thread: the reactor. Owner: the daemon; close() before destruction.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "browser_proxy/cdp_pipe.hpp"
#include "browser_proxy/controls.hpp"
#include "browser_proxy/launch.hpp"
#include "browser_proxy/recorder.hpp"
#include "browser_proxy/unit.hpp"

namespace execd::browser_proxy {

struct Options {
    unsigned width = 1280;  // pixels
    unsigned height = 1024;
    std::string program = "chromium";
    std::string home;     // directory of the desktop's account
    std::string profile;  // of Chromium
    std::vector<std::string> flags;
    std::string x_sockets = "/tmp/.X11-unix";
    Recorder::Options recording{};  // width and height are taken from above
    Unit::Times times{};
};

class Display final : public Unit {
  public:
    Display(Loop& loop, Launcher& launcher, Options const& options);
    [[nodiscard]] std::string missing() const override;
    /// ":0"; empty while there is none.
    [[nodiscard]] std::string const& name() const { return name_; }

  private:
    Task<Result<void>> come_up(Deadline deadline) override;
    Task<Result<void>> ask(Deadline deadline) override;
    Duration patience() const override { return times().answer; }
    void went_down() override { name_.clear(); }
    Options const& options_;
    std::string name_;
    unsigned number_ = 0;
};

class WindowManager final : public Unit {
  public:
    WindowManager(Loop& loop, Launcher& launcher, Display& display, Options const& options);
    [[nodiscard]] std::string missing() const override;

  private:
    Task<Result<void>> come_up(Deadline deadline) override;
    Display& display_;
};

class VncServer final : public Unit {
  public:
    VncServer(Loop& loop, Launcher& launcher, Display& display, Options const& options);
    [[nodiscard]] std::string missing() const override;
    [[nodiscard]] unsigned short port() const { return port_; }

  private:
    Task<Result<void>> come_up(Deadline deadline) override;
    Task<Result<void>> ask(Deadline deadline) override;
    // Each viewer that takes nothing may hold it up for five seconds before it is dropped.
    Duration patience() const override { return 3 * times().answer; }
    void went_down() override { port_ = 0; }
    Display& display_;
    unsigned short port_ = 0;
};

class Browser final : public Unit {
  public:
    Browser(Loop& loop, Launcher& launcher, Display& display, WindowManager& windows, Options const& options);
    [[nodiscard]] std::string missing() const override;
    [[nodiscard]] unsigned short port() const { return port_; }
    [[nodiscard]] std::string const& path() const { return path_; }
    [[nodiscard]] std::shared_ptr<CdpPipe> const& pipe() const { return pipe_; }
    [[nodiscard]] BrowserVersion const& version() const { return version_; }
    [[nodiscard]] std::vector<Target> targets() const;
    /// False: this container lets Chromium make no sandbox of its own (no user namespaces), so it runs
    /// without.
    [[nodiscard]] bool sandboxed() const { return sandboxed_; }
    [[nodiscard]] std::uint64_t pages_crashed() const { return pages_crashed_; }

  private:
    Task<Result<void>> come_up(Deadline deadline) override;
    Task<Result<void>> ask(Deadline deadline) override;
    Duration patience() const override { return times().answer; }
    void went_down() override;
    Task<Result<void>> prepare();
    Task<Result<void>> converse(Deadline deadline);
    [[nodiscard]] Launch command(UniqueFd pipe) const;
    void on_target(TargetEvent event);
    [[nodiscard]] bool has_page() const;
    [[nodiscard]] Task<void> open_page();

    Display& display_;
    WindowManager& windows_;
    Options const& options_;
    std::shared_ptr<CdpPipe> pipe_;
    unsigned short port_ = 0;
    std::string path_;
    BrowserVersion version_;
    std::map<std::string, Target> targets_;
    bool up_ = false;
    bool opening_ = false;
    bool sandboxed_ = true;
    std::uint64_t pages_crashed_ = 0;
};

class Supervisor {
  public:
    Supervisor(Loop& loop, std::unique_ptr<Launcher> launcher, Options options);
    ~Supervisor();
    Supervisor(Supervisor const&) = delete;
    Supervisor& operator=(Supervisor const&) = delete;

    struct Endpoint {
        unsigned short port = 0;
        std::string path;  // of the browser's own socket: "/devtools/browser/<uuid>"
        std::uint64_t generation = 0;
    };
    /// Chromium's debugging port on 127.0.0.1, with at least one page open. Code::unavailable says why not.
    [[nodiscard]] Task<Result<Endpoint>> browser(Deadline deadline);
    /// The VNC server's port on 127.0.0.1; Chromium is started beside it where there is one.
    [[nodiscard]] Task<Result<unsigned short>> vnc(Deadline deadline);
    /// Starts everything that this image has.
    void start();
    /// Ends everything. Idempotent.
    [[nodiscard]] Task<void> close();
    [[nodiscard]] bool closing() const { return closing_; }

    [[nodiscard]] std::vector<UnitStatus> status() const;
    [[nodiscard]] Browser& chromium() { return browser_; }
    [[nodiscard]] VncServer& vnc_server() { return vnc_; }
    [[nodiscard]] Display& display() { return display_; }
    [[nodiscard]] Recorder& recorder() { return recorder_; }
    [[nodiscard]] Controls& controls() { return controls_; }
    [[nodiscard]] Options const& options() const { return options_; }

  private:
    Options options_;
    std::unique_ptr<Launcher> launcher_;
    Display display_;
    WindowManager windows_;
    Browser browser_;
    VncServer vnc_;
    Recorder recorder_;
    Controls controls_;
    bool closing_ = false;
};

}  // namespace execd::browser_proxy
