#include "browser_proxy/controls.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>

#include "base/ids.hpp"
#include "base/utf8.hpp"
#include "browser_proxy/supervisor.hpp"
#include "browser_proxy/typist.hpp"

namespace execd::browser_proxy {

struct Controls::Outcome {
    std::string written;
    std::string complaints;
    bool succeeded = false;
};

namespace {

constexpr auto kDisplayPatience = std::chrono::seconds(20);
constexpr auto kPatience = std::chrono::seconds(10);
constexpr int kMostSteps = 100;  // of the wheel at once
constexpr std::size_t kMostKeys = 64;

struct Name {
    std::string_view said, meant;
};
// Names of web pages and of other tools, in small letters.
constexpr auto kKeys = std::to_array<Name>({{"enter", "Return"},
                                            {"return", "Return"},
                                            {"esc", "Escape"},
                                            {"escape", "Escape"},
                                            {"backspace", "BackSpace"},
                                            {"tab", "Tab"},
                                            {"del", "Delete"},
                                            {"delete", "Delete"},
                                            {"ins", "Insert"},
                                            {"insert", "Insert"},
                                            {"home", "Home"},
                                            {"end", "End"},
                                            {"pageup", "Prior"},
                                            {"page_up", "Prior"},
                                            {"pagedown", "Next"},
                                            {"page_down", "Next"},
                                            {"left", "Left"},
                                            {"arrowleft", "Left"},
                                            {"right", "Right"},
                                            {"arrowright", "Right"},
                                            {"up", "Up"},
                                            {"arrowup", "Up"},
                                            {"down", "Down"},
                                            {"arrowdown", "Down"},
                                            {"space", "space"},
                                            {"ctrl", "ctrl"},
                                            {"control", "ctrl"},
                                            {"alt", "alt"},
                                            {"option", "alt"},
                                            {"shift", "shift"},
                                            {"super", "super"},
                                            {"meta", "super"},
                                            {"cmd", "super"},
                                            {"command", "super"},
                                            {"win", "super"},
                                            {"windows", "super"},
                                            {"capslock", "Caps_Lock"},
                                            {"printscreen", "Print"}});

// Of text that is UTF-8.
std::size_t utf8_length(std::string_view text) {
    return static_cast<std::size_t>(std::count_if(
        text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

char32_t first_code_point(std::string_view text) {
    auto const byte = [text](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    if (byte(0) < 0x80) return byte(0);
    char32_t out = byte(0) & (text.size() == 2 ? 0x1fU : text.size() == 3 ? 0x0fU : 0x07U);
    for (std::size_t i = 1; i < text.size(); ++i) out = (out << 6) | (byte(i) & 0x3fU);
    return out;
}

std::string single_character(char32_t point) {
    char text[16];
    std::snprintf(text, sizeof text, "U%04X", static_cast<unsigned>(point));
    return text;
}

/// One part of a combination.
std::string part_name(std::string_view part) {
    auto const letter = [](unsigned char c) { return (c | 0x20) >= 'a' && (c | 0x20) <= 'z'; };
    auto const digit = [](unsigned char c) { return c >= '0' && c <= '9'; };
    if (part.size() == 1 &&
        (letter(static_cast<unsigned char>(part[0])) || digit(static_cast<unsigned char>(part[0]))))
        return std::string(part);
    if (!part.empty() && utf8_length(part) == 1) {
        char32_t const point = first_code_point(part);
        return point < 0x20 || point == 0x7f ? std::string() : single_character(point);
    }
    std::string small(part);
    for (char& c : small)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c | 0x20);
    for (Name const& one : kKeys)
        if (one.said == small) return std::string(one.meant);
    bool const plain =
        !part.empty() && part.size() <= 40 && std::all_of(part.begin(), part.end(), [&](char c) {
            auto const u = static_cast<unsigned char>(c);
            return letter(u) || digit(u) || u == '_';
        });
    return plain ? std::string(part) : std::string();
}

Failure not_a_key(std::string_view text) {
    return fail(Code::invalid_argument, "keys", "there is no key " + std::string(text.substr(0, 40)));
}

std::string button_text(Controls::Button button) { return std::to_string(static_cast<int>(button)); }

void add_point(std::vector<std::string>& out, Controls::Point at) {
    out.insert(out.end(), {"mousemove", std::to_string(at.x), std::to_string(at.y)});
}

int number_after(std::string_view text, std::string_view name) {
    auto const at = text.find(name);
    if (at == std::string_view::npos) return -1;
    int out = -1;
    (void)std::from_chars(text.data() + at + name.size(), text.data() + text.size(), out);
    return out;
}

}  // namespace

std::string key_name(std::string_view text) {
    if (text.empty() || text.size() > 200 || !is_utf8(text)) return {};
    std::string out;
    for (;;) {
        // "ctrl++" is the key '+' with Control.
        auto const plus = text.size() > 1 ? text.find('+', 1) : std::string_view::npos;
        std::string const part = part_name(text.substr(0, plus));
        if (part.empty()) return {};
        out += out.empty() ? part : "+" + part;
        if (plus == std::string_view::npos) return out;
        text.remove_prefix(plus + 1);
        if (text.empty()) return {};
    }
}

Controls::Controls(Loop& loop, Launcher& launcher, Display& display, Options const& options)
    : loop_(loop), launcher_(launcher), display_(display), options_(options) {}

std::string Controls::missing(std::string const& program) const {
    if (auto why = display_.missing(); !why.empty()) return why;
    if (launcher_.has(program)) return {};
    return program + " is not installed here (Debian package " + program + ")";
}

bool Controls::on_screen(Point point) const {
    return point.x >= 0 && point.y >= 0 && point.x < static_cast<int>(options_.width) &&
           point.y < static_cast<int>(options_.height);
}

Task<Result<Controls::Outcome>> Controls::run(Launch command) {
    std::string const program = command.argv.front();
    command.label = program;
    if (auto why = missing(program); !why.empty())
        co_return fail(Code::unavailable, "desktop", std::move(why));
    auto shown = co_await display_.demand(Deadline::in(loop_.clock(), kDisplayPatience));
    if (!shown) co_return Failure(shown.error());
    command.env = {{"DISPLAY", display_.name()}, {"LC_ALL", "C.UTF-8"}};
    auto started = co_await launcher_.start(std::move(command));
    if (!started) co_return Failure(started.error());
    auto const running = *started;
    auto written = co_await running->output(kLongestClipboard, Deadline::in(loop_.clock(), kPatience));
    if (!written) {
        co_await running->stop(Duration::zero());
        co_return fail(written.error().code, program, written.error().detail);
    }
    Outcome out;
    out.written = std::move(*written);
    out.complaints = running->last_words().substr(0, 300);
    out.succeeded = running->succeeded();
    if (!out.succeeded && out.complaints.empty()) out.complaints = running->why();
    co_return out;
}

Task<Result<void>> Controls::xdotool(std::vector<std::string> arguments) {
    Launch command;
    command.argv = std::move(arguments);
    command.argv.insert(command.argv.begin(), "xdotool");
    auto done = co_await run(std::move(command));
    if (!done) co_return Failure(done.error());
    // It says so, goes on, and ends with 0.
    if (done->complaints.find("No such key name") != std::string::npos)
        co_return fail(Code::invalid_argument, "keys", done->complaints);
    if (!done->succeeded) co_return fail(Code::unavailable, "xdotool", done->complaints);
    co_return Result<void>();
}

Task<Result<Controls::Point>> Controls::pointer() {
    Launch command;
    command.argv = {"xdotool", "getmouselocation", "--shell"};
    auto done = co_await run(std::move(command));
    if (!done) co_return Failure(done.error());
    Point const at{number_after(done->written, "X="), number_after(done->written, "Y=")};
    if (!done->succeeded || at.x < 0 || at.y < 0)
        co_return fail(Code::unavailable, "xdotool", done->complaints);
    co_return at;
}

namespace {
Failure off_screen() { return fail(Code::invalid_argument, "point", "it is not on the screen"); }
}  // namespace

Task<Result<void>> Controls::move(Point to) {
    if (!on_screen(to)) co_return off_screen();
    std::vector<std::string> arguments;
    add_point(arguments, to);
    co_return co_await xdotool(std::move(arguments));
}

Task<Result<void>> Controls::click(std::optional<Point> at, Button button, unsigned count) {
    if (at && !on_screen(*at)) co_return off_screen();
    if (count < 1 || count > 3) co_return fail(Code::invalid_argument, "count", "one to three clicks");
    std::vector<std::string> arguments;
    if (at) add_point(arguments, *at);
    arguments.insert(arguments.end(),
                     {"click", "--repeat", std::to_string(count), "--delay", "40", button_text(button)});
    co_return co_await xdotool(std::move(arguments));
}

Task<Result<void>> Controls::hold(std::optional<Point> at, Button button, bool down) {
    if (at && !on_screen(*at)) co_return off_screen();
    std::vector<std::string> arguments;
    if (at) add_point(arguments, *at);
    arguments.emplace_back(down ? "mousedown" : "mouseup");
    arguments.push_back(button_text(button));
    co_return co_await xdotool(std::move(arguments));
}

// Some way in between: a drag that jumps is none for many programs.
Task<Result<void>> Controls::drag(Point from, Point to, Button button) {
    if (!on_screen(from) || !on_screen(to)) co_return off_screen();
    constexpr int kSteps = 8;
    std::vector<std::string> arguments;
    add_point(arguments, from);
    arguments.insert(arguments.end(), {"mousedown", button_text(button)});
    for (int i = 1; i <= kSteps; ++i) {
        add_point(arguments, {from.x + (to.x - from.x) * i / kSteps, from.y + (to.y - from.y) * i / kSteps});
        arguments.insert(arguments.end(), {"sleep", "0.01"});
    }
    arguments.insert(arguments.end(), {"mouseup", button_text(button)});
    co_return co_await xdotool(std::move(arguments));
}

Task<Result<void>> Controls::scroll(std::optional<Point> at, int right, int down) {
    if (at && !on_screen(*at)) co_return off_screen();
    if (right < -kMostSteps || right > kMostSteps || down < -kMostSteps || down > kMostSteps)
        co_return fail(Code::invalid_argument, "scroll", "at most 100 steps at once");
    std::vector<std::string> arguments;
    if (at) add_point(arguments, *at);
    auto const add = [&arguments](int steps, char const* less, char const* more) {
        if (steps == 0) return;
        arguments.insert(arguments.end(), {"click", "--repeat", std::to_string(std::abs(steps)), "--delay",
                                           "5", steps < 0 ? less : more});
    };
    add(down, "4", "5");
    add(right, "6", "7");
    if (arguments.empty()) co_return Result<void>();
    co_return co_await xdotool(std::move(arguments));
}

Task<Result<void>> Controls::keys(std::vector<std::string> combinations, Press how) {
    if (combinations.empty() || combinations.size() > kMostKeys)
        co_return fail(Code::invalid_argument, "keys", "1 to 64 combinations");
    std::vector<std::string> arguments{how == Press::press  ? "key"
                                       : how == Press::down ? "keydown"
                                                            : "keyup"};
    for (auto const& one : combinations) {
        std::string name = key_name(one);
        if (name.empty()) co_return not_a_key(one);
        arguments.push_back(std::move(name));
    }
    co_return co_await xdotool(std::move(arguments));
}

Task<Result<void>> Controls::type(std::string text, Duration pause) {
    auto const wrong = [](char const* why) { return fail(Code::invalid_argument, "text", why); };
    if (text.size() > kLongestText) co_return fail(Code::too_large, "text", "at most 64 KiB at once");
    if (!is_utf8(text)) co_return wrong("it is not UTF-8");
    std::erase(text, '\r');
    for (char const c : text)
        if ((static_cast<unsigned char>(c) < 0x20 && c != '\n' && c != '\t') || c == 0x7f)
            co_return wrong("a control character has no key");
    if (text.empty()) co_return Result<void>();
    Duration const each = pause + std::chrono::milliseconds(50);
    Duration const patience = kPatience + each * static_cast<std::int64_t>(utf8_length(text));
    auto shown = co_await display_.demand(Deadline::in(loop_.clock(), kDisplayPatience));
    if (!shown) co_return shown;
    int const number = number_after(display_.name(), ":");
    if (number < 0) co_return fail(Code::unavailable, "display", "it has just ended");
    Deadline const deadline = Deadline::in(loop_.clock(), patience);
    co_return co_await type_text(loop_, options_.x_sockets, static_cast<unsigned>(number), std::move(text),
                                 pause, deadline);
}

Task<Result<std::string>> Controls::clipboard() {
    Launch command;
    command.argv = {"xclip", "-selection", "clipboard", "-o"};
    auto done = co_await run(std::move(command));
    if (!done) co_return Failure(done.error());
    if (done->succeeded) co_return std::move(done->written);
    // Nobody owns it, or it is no text.
    if (done->complaints.find("not available") != std::string::npos) co_return std::string();
    co_return fail(Code::unavailable, "xclip", done->complaints);
}

Task<Result<void>> Controls::set_clipboard(std::string text) {
    if (text.size() > kLongestClipboard) co_return fail(Code::too_large, "text", "at most 1 MiB");
    if (!is_utf8(text)) co_return fail(Code::invalid_argument, "text", "it is not UTF-8");
    Launch command;
    // It goes on in the background until somebody else takes the clipboard.
    command.argv = {"xclip", "-selection", "clipboard", "-i"};
    command.input = std::move(text);
    auto done = co_await run(std::move(command));
    if (!done) co_return Failure(done.error());
    if (!done->succeeded) co_return fail(Code::unavailable, "xclip", done->complaints);
    co_return Result<void>();
}

namespace {

// Opened, and gone from the directory at once.
Result<Controls::Shot> take_file(std::string const& path) {
    Controls::Shot out{UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)), 0};
    struct stat info {};
    bool const there = out.file && ::fstat(out.file.get(), &info) == 0 && S_ISREG(info.st_mode);
    ::unlink(path.c_str());
    if (!there) return fail(Code::unavailable, "screenshot", "ffmpeg wrote no picture");
    out.size = static_cast<std::uint64_t>(info.st_size);
    return out;
}

}  // namespace

Task<Result<Controls::Shot>> Controls::screenshot(Region region, Picture form, unsigned quality,
                                                  bool with_pointer) {
    unsigned const width = options_.width, height = options_.height;
    if (region.x >= width || region.y >= height || region.width > width - region.x ||
        region.height > height - region.y)
        co_return fail(Code::invalid_argument, "region", "it is not on the screen");
    if (region.width == 0) region.width = width - region.x;
    if (region.height == 0) region.height = height - region.y;
    auto shown = co_await display_.demand(Deadline::in(loop_.clock(), kDisplayPatience));
    if (!shown) co_return Failure(shown.error());
    auto make = [this] { return launcher_.make_directory(options_.home); };
    auto made = co_await loop_.pool().run(Lane::metadata, make);
    if (!made) co_return Failure(made.error());
    bool const png = form == Picture::png;
    std::string const path = options_.home + "/shot-" + random_hex(8) + (png ? ".png" : ".jpeg");
    // ffmpeg's scale: 2 is the best, 31 the worst.
    unsigned const coarseness = 31 - std::clamp(quality, 1U, 100U) * 29 / 100;
    Launch command;
    command.argv = {"ffmpeg",
                    "-nostdin",
                    "-hide_banner",
                    "-loglevel",
                    "error",
                    "-f",
                    "x11grab",
                    "-draw_mouse",
                    with_pointer ? "1" : "0",
                    "-framerate",
                    "60",
                    "-video_size",
                    std::to_string(region.width) + "x" + std::to_string(region.height),
                    "-i",
                    display_.name() + "+" + std::to_string(region.x) + "," + std::to_string(region.y),
                    "-frames:v",
                    "1",
                    "-c:v",
                    png ? "png" : "mjpeg"};
    if (png)
        command.argv.insert(command.argv.end(), {"-compression_level", "1", "-pix_fmt", "rgb24"});
    else
        command.argv.insert(command.argv.end(), {"-q:v", std::to_string(coarseness), "-pix_fmt", "yuvj444p"});
    command.argv.insert(command.argv.end(), {"-f", "image2", "-update", "1", "-y", path});
    auto done = co_await run(std::move(command));
    auto take = [path] { return take_file(path); };
    auto taken = co_await loop_.pool().run(Lane::metadata, take);
    if (!done) co_return Failure(done.error());
    if (!done->succeeded) co_return fail(Code::unavailable, "ffmpeg", done->complaints);
    co_return taken;
}

}  // namespace execd::browser_proxy
