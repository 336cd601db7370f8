// Chromium: how it is started, what makes it ready, and what is done when it stops answering.
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <charconv>

#include "base/log.hpp"
#include "browser_proxy/supervisor.hpp"

namespace execd::browser_proxy {

namespace {

constexpr std::string_view kListening = "DevTools listening on ws://127.0.0.1:";

struct Pair {
    UniqueFd ours, theirs;
};

Result<Pair> socket_pair() {
    int fds[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0)
        return fail_errno("socketpair", errno);
    Pair out{UniqueFd(fds[0]), UniqueFd(fds[1])};
    ::fcntl(fds[0], F_SETFL, ::fcntl(fds[0], F_GETFL) | O_NONBLOCK);
    return out;
}

// What a Chromium that was killed leaves: another one would take it for its master and end.
void remove_locks(std::string const& profile) {
    for (char const* name : {"/SingletonLock", "/SingletonSocket", "/SingletonCookie"})
        ::unlink((profile + name).c_str());
}

bool refused_sandbox(std::string_view words) {
    return words.find("No usable sandbox") != std::string_view::npos ||
           words.find("Failed to move to new namespace") != std::string_view::npos;
}

}  // namespace

Browser::Browser(Loop& loop, Launcher& launcher, Display& display, WindowManager& windows,
                 Options const& options)
    : Unit(loop, launcher, "browser", options.times),
      display_(display),
      windows_(windows),
      options_(options) {}

std::string Browser::missing() const {
    if (auto why = display_.missing(); !why.empty()) return why;
    if (launcher().has(options_.program)) return {};
    return options_.program + " is not installed here (Debian package chromium)";
}

Launch Browser::command(UniqueFd pipe) const {
    Launch out;
    out.label = "chromium";
    out.pipe = std::move(pipe);
    out.env = {{"DISPLAY", display_.name()}, {"DBUS_SESSION_BUS_ADDRESS", "disabled:"}};
    out.argv = {options_.program, "--remote-debugging-pipe", "--remote-debugging-port=0",
                "--remote-debugging-address=127.0.0.1", "--user-data-dir=" + options_.profile,
                // The last window's end is not the browser's: clients find their contexts again.
                "--keep-alive-for-test", "--no-first-run", "--no-default-browser-check",
                "--disable-session-crashed-bubble", "--hide-crash-restore-bubble",
                "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
                "--disable-gpu", "--password-store=basic", "--use-mock-keychain", "--window-position=0,0",
                "--window-size=" + std::to_string(options_.width) + "," + std::to_string(options_.height)};
    if (!sandboxed_) out.argv.emplace_back("--no-sandbox");
    out.argv.insert(out.argv.end(), options_.flags.begin(), options_.flags.end());
    out.argv.emplace_back("about:blank");
    return out;
}

Task<Result<void>> Browser::prepare() {
    auto work = [this]() -> Result<void> {
        for (std::string const& path : {options_.home, options_.profile})
            if (auto made = launcher().make_directory(path); !made) return made;
        remove_locks(options_.profile);
        return {};
    };
    co_return co_await loop().pool().run(Lane::metadata, work);
}

Task<Result<void>> Browser::come_up(Deadline deadline) {
    auto shown = co_await display_.demand(deadline);
    if (!shown) co_return shown;
    if (windows_.missing().empty()) windows_.want();
    auto prepared = co_await prepare();
    if (!prepared) co_return prepared;
    auto ends = socket_pair();
    if (!ends) co_return Failure(ends.error());
    pipe_ = std::make_shared<CdpPipe>(loop(), std::move(ends->ours),
                                      [this](TargetEvent event) { on_target(std::move(event)); });
    scope().spawn("cdp", CdpPipe::run(pipe_));
    auto started = co_await launch(command(std::move(ends->theirs)));
    if (!started) co_return started;
    auto answered = co_await converse(deadline);
    if (!answered && sandboxed_ && refused_sandbox(running_->last_words())) {
        sandboxed_ = false;
        log::warn("browser.no_sandbox", {{"why", "this container has no user namespaces"}});
        co_return fail(Code::unavailable, "", "its sandbox cannot be made here; trying without");
    }
    co_return answered;
}

Task<Result<void>> Browser::converse(Deadline deadline) {
    auto const running = running_;
    auto const pipe = pipe_;
    auto line = co_await running->said(shell::Stream::err, std::string(kListening), deadline);
    if (!line) co_return Failure(line.error());
    auto const slash = line->find('/');
    std::string_view const digits = std::string_view(*line).substr(0, slash);
    unsigned short port = 0;
    auto const [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
    if (error != std::errc() || end != digits.data() + digits.size() || slash == std::string::npos)
        co_return fail(Code::unavailable, "", "it named no debugging port");
    auto version = co_await pipe->version(deadline);
    if (!version) co_return Failure(version.error());
    auto seen = co_await pipe->discover(deadline);
    if (!seen) co_return seen;
    if (!has_page()) {
        auto opened = co_await pipe->create_page("about:blank", deadline);
        if (!opened) co_return Failure(opened.error());
    }
    version_ = std::move(*version);
    port_ = port;
    path_ = line->substr(slash);
    while (path_.ends_with('\r') || path_.ends_with(' ')) path_.pop_back();
    up_ = true;
    co_return Result<void>();
}

Task<Result<void>> Browser::ask(Deadline deadline) {
    auto const pipe = pipe_;
    auto answer = co_await pipe->version(deadline);
    if (!answer) co_return Failure(answer.error());
    co_return Result<void>();
}

void Browser::went_down() {
    up_ = false;
    port_ = 0;
    path_.clear();
    targets_.clear();
    if (pipe_) pipe_->close();
    pipe_.reset();
}

bool Browser::has_page() const {
    for (auto const& [id, target] : targets_)
        if (target.type == "page") return true;
    return false;
}

void Browser::on_target(TargetEvent event) {
    using Kind = TargetEvent::Kind;
    std::string const id = event.target.id;
    switch (event.kind) {
        case Kind::created:
        case Kind::changed: targets_[id] = std::move(event.target); break;
        case Kind::crashed: ++pages_crashed_; break;
        case Kind::destroyed: targets_.erase(id); break;
    }
    if (up_ && event.kind == Kind::destroyed && !has_page() && !opening_) {
        opening_ = true;
        scope().spawn("open page", open_page());
    }
}

// Somebody closed the last tab: clients that take the first page find one.
Task<void> Browser::open_page() {
    struct Guard {
        bool& flag;
        ~Guard() { flag = false; }
    } const guard{opening_};
    auto const pipe = pipe_;
    if (!pipe) co_return;
    auto opened = co_await pipe->create_page("about:blank", Deadline::in(loop().clock(), times().answer));
    if (!opened) log::warn("browser.no_page", {{"error", opened.error().message()}});
}

std::vector<Target> Browser::targets() const {
    std::vector<Target> out;
    for (auto const& [id, target] : targets_) out.push_back(target);
    return out;
}

}  // namespace execd::browser_proxy
