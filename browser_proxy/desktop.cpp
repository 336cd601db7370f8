// The X display, its window manager and its VNC server.
#include <sys/stat.h>

#include <charconv>

#include "browser_proxy/probes.hpp"
#include "browser_proxy/supervisor.hpp"

namespace execd::browser_proxy {

namespace {

std::string absent(Launcher const& launcher, std::string const& program, std::string_view package) {
    if (launcher.has(program)) return {};
    return program + " is not installed here (Debian package " + std::string(package) + ")";
}

std::string size_of(Options const& options) {
    return std::to_string(options.width) + "x" + std::to_string(options.height);
}

// Who refuses is alive: a server may have all the clients that it takes.
Result<void> any_answer(Result<void> asked) {
    if (!asked && asked.error().code != Code::timed_out) return {};
    return asked;
}

/// -1: not a number of this range.
int number_in(std::string_view text, int highest) {
    while (text.ends_with('\r') || text.ends_with(' ')) text.remove_suffix(1);
    int out = -1;
    auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
    bool const good = error == std::errc() && end == text.data() + text.size() && out >= 0 && out <= highest;
    return good ? out : -1;
}

}  // namespace

Display::Display(Loop& loop, Launcher& launcher, Options const& options)
    : Unit(loop, launcher, "display", options.times), options_(options) {}

std::string Display::missing() const { return absent(launcher(), "Xvfb", "xvfb"); }

Task<Result<void>> Display::come_up(Deadline deadline) {
    // The home of all of them, before any of them looks for it.
    auto make = [this] { return launcher().make_directory(options_.home); };
    auto made = co_await loop().pool().run(Lane::metadata, make);
    if (!made) co_return made;
    // Under an account that is not root Xvfb would make no socket there but the abstract one.
    if (::mkdir(options_.x_sockets.c_str(), 0777) == 0) ::chmod(options_.x_sockets.c_str(), 01777);
    Launch command;
    command.label = "Xvfb";
    // It takes the first free number and writes it when clients may come.
    command.argv = {"Xvfb",      "-displayfd", "1",       "-screen", "0", size_of(options_) + "x24",
                    "-nolisten", "tcp",        "-noreset"};
    auto started = co_await launch(std::move(command));
    if (!started) co_return started;
    auto const running = running_;
    auto line = co_await running->said(shell::Stream::out, "", deadline);
    if (!line) co_return Failure(line.error());
    int const number = number_in(*line, 65535);
    if (number < 0) co_return fail(Code::unavailable, "", "Xvfb named no display");
    number_ = static_cast<unsigned>(number);
    auto answered = co_await probe_x(loop(), options_.x_sockets, number_, deadline);
    if (!answered) co_return answered;
    name_ = ":" + std::to_string(number);
    co_return Result<void>();
}

Task<Result<void>> Display::ask(Deadline deadline) {
    auto asked = co_await probe_x(loop(), options_.x_sockets, number_, deadline);
    co_return any_answer(std::move(asked));
}

WindowManager::WindowManager(Loop& loop, Launcher& launcher, Display& display, Options const& options)
    : Unit(loop, launcher, "window manager", options.times), display_(display) {}

std::string WindowManager::missing() const {
    if (auto why = display_.missing(); !why.empty()) return why;
    return absent(launcher(), "openbox", "openbox");
}

Task<Result<void>> WindowManager::come_up(Deadline deadline) {
    auto shown = co_await display_.demand(deadline);
    if (!shown) co_return shown;
    Launch command;
    command.label = "openbox";
    command.argv = {"openbox", "--sm-disable"};
    command.env = {{"DISPLAY", display_.name()}};
    co_return co_await launch(std::move(command));
}

VncServer::VncServer(Loop& loop, Launcher& launcher, Display& display, Options const& options)
    : Unit(loop, launcher, "vnc", options.times), display_(display) {}

std::string VncServer::missing() const {
    if (auto why = display_.missing(); !why.empty()) return why;
    return absent(launcher(), "x11vnc", "x11vnc");
}

Task<Result<void>> VncServer::come_up(Deadline deadline) {
    auto shown = co_await display_.demand(deadline);
    if (!shown) co_return shown;
    Launch command;
    command.label = "x11vnc";
    command.argv = {"x11vnc",  "-display",  display_.name(), "-forever", "-shared",    "-nopw",  "-localhost",
                    "-noipv6", "-autoport", "15900",         "-quiet",   "-noxrecord", "-repeat"};
    command.env = {{"DISPLAY", display_.name()}};
    auto started = co_await launch(std::move(command));
    if (!started) co_return started;
    auto const running = running_;
    auto line = co_await running->said(shell::Stream::out, "PORT=", deadline);
    if (!line) co_return Failure(line.error());
    int const number = number_in(*line, 65535);
    if (number < 1) co_return fail(Code::unavailable, "", "x11vnc named no port");
    auto answered = co_await probe_rfb(loop(), static_cast<unsigned short>(number), deadline);
    if (!answered) co_return answered;
    port_ = static_cast<unsigned short>(number);
    co_return Result<void>();
}

Task<Result<void>> VncServer::ask(Deadline deadline) {
    auto asked = co_await probe_rfb(loop(), port_, deadline);
    co_return any_answer(std::move(asked));
}

}  // namespace execd::browser_proxy
