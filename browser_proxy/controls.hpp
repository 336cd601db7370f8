// Controls: hands and eyes on the desktop: mouse, keys, text, clipboard, pictures. An action is one program
// (xdotool, xclip, ffmpeg) run to its end as an execution, with arguments and never a shell text; what is not
// installed refuses only what needs it. Text is typed by a connection of our own (typist.hpp).
//
// Thread: the reactor. Owner: the Supervisor; nothing runs longer than the caller waits for it.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/loop.hpp"
#include "browser_proxy/launch.hpp"

namespace execd::browser_proxy {

class Display;
struct Options;

/// What xdotool calls a key, from what people call it: "Enter" is Return, "cmd" is super, "+" is plus; any
/// single character by its code point. Parts of a combination are joined by '+' ("ctrl+shift+t"). Empty: it
/// cannot be a key.
[[nodiscard]] std::string key_name(std::string_view text);

class Controls {
  public:
    struct Point {
        int x = 0;  // pixels from the left
        int y = 0;  // from the top
    };
    struct Region {
        unsigned x = 0, y = 0;
        unsigned width = 0, height = 0;  // 0: to the edge
    };
    enum class Button : std::uint8_t { left = 1, middle = 2, right = 3, back = 8, forward = 9 };
    enum class Press : std::uint8_t { press, down, up };
    enum class Picture : std::uint8_t { png, jpeg };
    struct Shot {
        UniqueFd file;
        std::uint64_t size = 0;  // bytes
    };

    Controls(Loop& loop, Launcher& launcher, Display& display, Options const& options);

    /// Why an action cannot be had in this image; empty when it can.
    [[nodiscard]] std::string missing(std::string const& program) const;

    // All of them: Code::unavailable (not installed, no display), Code::timed_out, and Code::invalid_argument
    // for points that are not on the screen, keys that do not exist, text that is none.

    [[nodiscard]] Task<Result<Point>> pointer();
    [[nodiscard]] Task<Result<void>> move(Point to);
    /// Without a point: where the pointer is. `count` clicks in quick succession.
    [[nodiscard]] Task<Result<void>> click(std::optional<Point> at, Button button, unsigned count);
    [[nodiscard]] Task<Result<void>> hold(std::optional<Point> at, Button button, bool down);
    [[nodiscard]] Task<Result<void>> drag(Point from, Point to, Button button);
    /// Steps of the wheel: positive is right and down.
    [[nodiscard]] Task<Result<void>> scroll(std::optional<Point> at, int right, int down);
    /// One combination after the other.
    [[nodiscard]] Task<Result<void>> keys(std::vector<std::string> combinations, Press how);
    /// UTF-8; line ends are Return, tabs are Tab. `pause` between two characters.
    [[nodiscard]] Task<Result<void>> type(std::string text, Duration pause);

    [[nodiscard]] Task<Result<std::string>> clipboard();
    [[nodiscard]] Task<Result<void>> set_clipboard(std::string text);

    /// `quality` of a JPEG: 1 .. 100.
    [[nodiscard]] Task<Result<Shot>> screenshot(Region region, Picture form, unsigned quality,
                                                bool with_pointer);

    static constexpr std::size_t kLongestText = 64U << 10;      // bytes to type
    static constexpr std::size_t kLongestClipboard = 1U << 20;  // bytes

  private:
    struct Outcome;
    [[nodiscard]] Task<Result<Outcome>> run(Launch command);
    [[nodiscard]] Task<Result<void>> xdotool(std::vector<std::string> arguments);
    [[nodiscard]] bool on_screen(Point point) const;

    Loop& loop_;
    Launcher& launcher_;
    Display& display_;
    Options const& options_;
};

}  // namespace execd::browser_proxy
