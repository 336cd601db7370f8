#include "execd/dialects/own/desktop.hpp"

#include <boost/describe/class.hpp>
#include <boost/describe/enum.hpp>

#include <chrono>

#include "base/utf8.hpp"
#include "browser_proxy/supervisor.hpp"
#include "execd/browser/sockets.hpp"
#include "execd/dialects/own/executions.hpp"
#include "execd/http/wire/describe.hpp"

namespace execd::own {

using browser_proxy::Controls;
using http::Answer;
using http::Call;

enum class MouseAction { move, click, double_click, down, up, drag, scroll };
BOOST_DESCRIBE_ENUM(MouseAction, move, click, double_click, down, up, drag, scroll)
enum class MouseButton { left, middle, right, back, forward };
BOOST_DESCRIBE_ENUM(MouseButton, left, middle, right, back, forward)
enum class KeyAction { press, down, up };
BOOST_DESCRIBE_ENUM(KeyAction, press, down, up)

struct MouseRequest {
    MouseAction action = MouseAction::click;
    std::optional<int> x;
    std::optional<int> y;
    MouseButton button = MouseButton::left;
    std::uint32_t count = 1;
    std::optional<int> to_x;
    std::optional<int> to_y;
    int right = 0;
    int down = 0;
};
BOOST_DESCRIBE_STRUCT(MouseRequest, (), (action, x, y, button, count, to_x, to_y, right, down))
constexpr auto wire_notes(MouseRequest const*) {
    return wire::notes(
        {{.field = "x", .doc = "Pixels from the left; without x and y: where the pointer is"},
         {.field = "y", .doc = "Pixels from the top"},
         {.field = "button", .defaulted = true},
         {.field = "count", .doc = "Clicks in quick succession", .min = 1, .max = 3, .defaulted = true},
         {.field = "to_x", .doc = "Where a drag ends"},
         {.field = "right",
          .doc = "Steps of the wheel; negative is left",
          .min = -100,
          .max = 100,
          .defaulted = true},
         {.field = "down",
          .doc = "Steps of the wheel; negative is up",
          .min = -100,
          .max = 100,
          .defaulted = true}});
}

struct KeysRequest {
    std::vector<std::string> keys;
    KeyAction action = KeyAction::press;
};
BOOST_DESCRIBE_STRUCT(KeysRequest, (), (keys, action))
constexpr auto wire_notes(KeysRequest const*) {
    return wire::notes(
        {{.field = "keys",
          .doc = "Combinations, one after the other: \"ctrl+a\", \"Enter\", \"F5\", \"\u00e4\"",
          .min_len = 1,
          .max_len = 64},
         {.field = "action", .defaulted = true}});
}

struct TextRequest {
    std::string text;
    std::uint32_t delay_ms = 12;
};
BOOST_DESCRIBE_STRUCT(TextRequest, (), (text, delay_ms))
constexpr auto wire_notes(TextRequest const*) {
    return wire::notes(
        {{.field = "text", .doc = "Any Unicode text of at most 64 KiB; line ends are Enter"},
         {.field = "delay_ms", .doc = "Between two characters", .max = 1000, .defaulted = true}});
}

struct ClipboardText {
    std::string text;
};
BOOST_DESCRIBE_STRUCT(ClipboardText, (), (text))

struct PointView {
    int x = 0;
    int y = 0;
};
BOOST_DESCRIBE_STRUCT(PointView, (), (x, y))

struct DesktopView {
    std::uint32_t width = 0;
    std::uint32_t height = 0;
    std::string display;
    std::map<std::string, std::string> missing;
};
BOOST_DESCRIBE_STRUCT(DesktopView, (), (width, height, display, missing))
constexpr auto wire_notes(DesktopView const*) {
    return wire::notes({{.field = "width", .doc = "Pixels"},
                        {.field = "display", .doc = "Name of the X display; empty while it does not run"},
                        {.field = "missing", .doc = "Kinds of action that this image cannot do, and why"}});
}

namespace {

constexpr std::string_view kRoot = "/execd/v1/desktop";

using Serve = Task<Result<Answer>> (*)(Controls&, Call&);

Task<Result<Answer>> with_controls(Services& services, Call& call, Serve serve) {
    auto supervisor = browser::supervisor_of(services);
    if (!supervisor) co_return Failure(supervisor.error());
    co_return co_await serve((*supervisor)->controls(), call);
}

/// An action with a body, answered by 204.
template <class Request>
Task<Result<Answer>> act_on(Controls& controls, Call& call, Task<Result<void>> (*act)(Controls&, Request)) {
    Request request;
    auto read = co_await read_body(call, request);
    if (!read) co_return Failure(read.error());
    auto acted = co_await act(controls, std::move(request));
    if (!acted) co_return Failure(acted.error());
    co_return Answer::empty(204);
}

Result<Answer> describe(Services& services, Call&) {
    auto supervisor = browser::supervisor_of(services);
    if (!supervisor) return Failure(supervisor.error());
    auto& one = **supervisor;
    DesktopView view{one.options().width, one.options().height, one.display().name(), {}};
    static constexpr std::pair<char const*, char const*> kNeeds[] = {{"mouse", "xdotool"},
                                                                     {"keys", "xdotool"},
                                                                     {"text", "Xvfb"},
                                                                     {"clipboard", "xclip"},
                                                                     {"screenshot", "ffmpeg"}};
    for (auto const& [kind, program] : kNeeds)
        if (auto why = one.controls().missing(program); !why.empty()) view.missing[kind] = std::move(why);
    return json_answer(200, view);
}

Result<std::optional<Controls::Point>> point_of(std::optional<int> x, std::optional<int> y,
                                                char const* names) {
    if (x.has_value() != y.has_value())
        return fail(Code::invalid_argument, names, "both coordinates are needed, or none");
    if (!x) return std::optional<Controls::Point>();
    return std::optional<Controls::Point>(Controls::Point{*x, *y});
}

Controls::Button button_of(MouseButton button) {
    switch (button) {
        case MouseButton::left: return Controls::Button::left;
        case MouseButton::middle: return Controls::Button::middle;
        case MouseButton::right: return Controls::Button::right;
        case MouseButton::back: return Controls::Button::back;
        case MouseButton::forward: return Controls::Button::forward;
    }
    return Controls::Button::left;
}

Task<Result<void>> use_mouse(Controls& controls, MouseRequest request) {
    auto const at = point_of(request.x, request.y, "x, y");
    if (!at) co_return Failure(at.error());
    auto const to = point_of(request.to_x, request.to_y, "to_x, to_y");
    if (!to) co_return Failure(to.error());
    auto const button = button_of(request.button);
    auto const needs = [](char const* what) { return fail(Code::invalid_argument, "action", what); };
    switch (request.action) {
        case MouseAction::move:
            if (!*at) co_return needs("a move needs x and y");
            co_return co_await controls.move(**at);
        case MouseAction::click: co_return co_await controls.click(*at, button, request.count);
        case MouseAction::double_click: co_return co_await controls.click(*at, button, 2);
        case MouseAction::down: co_return co_await controls.hold(*at, button, true);
        case MouseAction::up: co_return co_await controls.hold(*at, button, false);
        case MouseAction::drag:
            if (!*at || !*to) co_return needs("a drag needs x, y, to_x and to_y");
            co_return co_await controls.drag(**at, **to, button);
        case MouseAction::scroll:
            if (request.right == 0 && request.down == 0) co_return needs("a scroll needs right or down");
            co_return co_await controls.scroll(*at, request.right, request.down);
    }
    co_return needs("unknown");
}

Task<Result<Answer>> mouse(Controls& controls, Call& call) { return act_on(controls, call, use_mouse); }

Task<Result<Answer>> pointer(Controls& controls, Call&) {
    auto at = co_await controls.pointer();
    if (!at) co_return Failure(at.error());
    PointView const view{at->x, at->y};
    co_return json_answer(200, view);
}

Task<Result<void>> press_keys(Controls& controls, KeysRequest request) {
    auto const how = request.action == KeyAction::press  ? Controls::Press::press
                     : request.action == KeyAction::down ? Controls::Press::down
                                                         : Controls::Press::up;
    return controls.keys(std::move(request.keys), how);
}
Task<Result<Answer>> keys(Controls& controls, Call& call) { return act_on(controls, call, press_keys); }

Task<Result<void>> type_text(Controls& controls, TextRequest request) {
    return controls.type(std::move(request.text), std::chrono::milliseconds(request.delay_ms));
}
Task<Result<Answer>> text(Controls& controls, Call& call) { return act_on(controls, call, type_text); }

Task<Result<Answer>> read_clipboard(Controls& controls, Call&) {
    auto held = co_await controls.clipboard();
    if (!held) co_return Failure(held.error());
    ClipboardText const view{to_utf8(*held)};
    Answer answer = json_answer(200, view);
    answer.headers.set("Cache-Control", "no-store");
    co_return answer;
}

Task<Result<void>> set_clipboard(Controls& controls, ClipboardText request) {
    return controls.set_clipboard(std::move(request.text));
}
Task<Result<Answer>> write_clipboard(Controls& controls, Call& call) {
    return act_on(controls, call, set_clipboard);
}

/// Values of a query, one fault for all of them.
struct Asked {
    Controls::Region region;
    Controls::Picture form = Controls::Picture::png;
    unsigned quality = 80;
    bool pointer = false;
};
Result<Asked> asked_of(Call const& call) {
    Asked out;
    std::string_view const form = call.query_value("format").value_or("png");
    if (form != "png" && form != "jpeg" && form != "jpg")
        return fail(Code::invalid_argument, "format", "png or jpeg is expected");
    if (form != "png") out.form = Controls::Picture::jpeg;
    std::pair<char const*, unsigned*> const numbers[] = {{"x", &out.region.x},
                                                         {"y", &out.region.y},
                                                         {"width", &out.region.width},
                                                         {"height", &out.region.height},
                                                         {"quality", &out.quality}};
    for (auto const& [name, into] : numbers) {
        auto const value = query_number(call, name, *into);
        if (!value) return Failure(value.error());
        if (*value > 100'000) return fail(Code::invalid_argument, name, "it is too large");
        *into = static_cast<unsigned>(*value);
    }
    if (out.quality < 1 || out.quality > 100)
        return fail(Code::invalid_argument, "quality", "1 to 100 is expected");
    auto const pointer = query_flag(call, "pointer", false);
    if (!pointer) return Failure(pointer.error());
    out.pointer = *pointer;
    return out;
}

Task<Result<Answer>> screenshot(Controls& controls, Call& call) {
    auto const asked = asked_of(call);
    if (!asked) co_return Failure(asked.error());
    auto shot = co_await controls.screenshot(asked->region, asked->form, asked->quality, asked->pointer);
    if (!shot) co_return Failure(shot.error());
    Answer answer;
    answer.headers.set("Content-Type", asked->form == Controls::Picture::png ? "image/png" : "image/jpeg");
    answer.headers.set("Cache-Control", "no-store");
    http::FilePart part;
    part.length = shot->size;
    part.fd = std::move(shot->file);
    answer.body = std::move(part);
    co_return answer;
}

http::Row row_of(Services& services, char const* method, std::string_view path, char const* id,
                 char const* doc, Serve serve) {
    http::Row row;
    row.method = method;
    row.path = std::string(kRoot) + std::string(path);
    row.operation_id = id;
    row.doc = doc;
    row.tag = "Desktop";
    // An action that has begun is not left half done.
    row.on_disconnect = http::OnDisconnect::keep;
    row.invoke = [s = &services, serve](Call& call) { return with_controls(*s, call, serve); };
    return row;
}

http::Row taking(http::Row row, wire::Ops const& ops) {
    row.body = http::BodyPolicy::json;
    row.body_limit = 8U << 20;  // of JSON: what may be in it is less
    row.request = &ops;
    row.statuses = {{204, nullptr, "", "Done"}};
    return row;
}

}  // namespace

std::vector<http::Row> desktop_rows(Services& services) {
    std::vector<http::Row> out;
    auto about = row_of(services, "GET", "", "getDesktop",
                        "Size of the desktop, and what cannot be done here.", nullptr);
    about.invoke = nullptr;
    about.sync = [s = &services](Call& call) { return describe(*s, call); };
    about.statuses = {{200, &wire::Codec<DesktopView>::ops, "application/json", "The desktop"}};
    out.push_back(std::move(about));
    auto where = row_of(services, "GET", "/pointer", "getPointer", "Where the pointer is.", pointer);
    where.statuses = {{200, &wire::Codec<PointView>::ops, "application/json", "Pixels from the top left"}};
    out.push_back(std::move(where));
    out.push_back(taking(
        row_of(services, "POST", "/mouse", "moveMouse", "Moves, clicks, holds, drags, scrolls.", mouse),
        wire::Codec<MouseRequest>::ops));
    out.push_back(
        taking(row_of(services, "POST", "/keys", "pressKeys", "Presses combinations of keys.", keys),
               wire::Codec<KeysRequest>::ops));
    out.push_back(
        taking(row_of(services, "POST", "/text", "typeText", "Types text into what has the focus.", text),
               wire::Codec<TextRequest>::ops));
    auto read = row_of(services, "GET", "/clipboard", "getClipboard",
                       "The clipboard's text; empty when it holds none.", read_clipboard);
    read.statuses = {{200, &wire::Codec<ClipboardText>::ops, "application/json", "Its text"}};
    out.push_back(std::move(read));
    out.push_back(
        taking(row_of(services, "PUT", "/clipboard", "setClipboard", "Puts text into it.", write_clipboard),
               wire::Codec<ClipboardText>::ops));
    auto shot =
        row_of(services, "GET", "/screenshot", "takeScreenshot",
               "A picture of the desktop (?format=png|jpeg&quality=), of a region (?x=&y=&width=&height=), "
               "with the pointer (?pointer=true).",
               screenshot);
    shot.statuses = {{200, nullptr, "image/png", "The picture"}};
    out.push_back(std::move(shot));
    return out;
}

}  // namespace execd::own
