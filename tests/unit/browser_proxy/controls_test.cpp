// Hands and eyes in virtual time: which program is asked for what, and what is refused before any is.
#include <unistd.h>

#include <fstream>

#include "desktop_test_base.hpp"

namespace execd::browser_proxy {
namespace {

using namespace std::chrono_literals;

Options small_screen() {
    Options out;
    out.width = 800;
    out.height = 600;
    return out;
}

class ControlsTest : public DesktopTest {
  protected:
    ControlsTest() : DesktopTest(small_screen()) {
        supervisor_->display().want();
        display_up();
    }
    template <class T>
    static Task<void> keep(Task<Result<T>> asked, std::optional<Result<T>>* out) {
        out->emplace(co_await std::move(asked));
    }
    template <class T>
    std::optional<Result<T>>& ask(Task<Result<T>> asked, std::optional<Result<T>>& out) {
        out.reset();
        scope_.spawn("ask", keep(std::move(asked), &out));
        settle();
        return out;
    }
    Controls& hands() { return supervisor_->controls(); }
    /// The arguments after the program's name, in one text.
    std::string asked_of(std::string const& program) {
        std::string out;
        auto const& argv = launcher_->last(program).launch.argv;
        for (std::size_t i = 1; i < argv.size(); ++i) out += (i > 1 ? " " : "") + argv[i];
        return out;
    }
    /// Runs one action whose program ends well, and says what that was asked for.
    std::string asked(Task<Result<void>> action) {
        std::optional<Result<void>> out;
        ask(std::move(action), out);
        std::string arguments = asked_of("xdotool");
        launcher_->last("xdotool").end("exit status 0");
        settle();
        EXPECT_TRUE(out && *out);
        return arguments;
    }
    Code refused(Task<Result<void>> action) {
        std::optional<Result<void>> out;
        ask(std::move(action), out);
        EXPECT_TRUE(out && !*out);
        return out && !*out ? out->error().code : Code::internal;
    }
};

TEST_F(ControlsTest, the_mouse) {
    using B = Controls::Button;
    EXPECT_EQ(asked(hands().move({5, 6})), "mousemove 5 6");
    EXPECT_EQ(asked(hands().click(Controls::Point{799, 599}, B::right, 2)),
              "mousemove 799 599 click --repeat 2 --delay 40 3");
    EXPECT_EQ(asked(hands().click(std::nullopt, B::left, 1)), "click --repeat 1 --delay 40 1");
    EXPECT_EQ(asked(hands().hold(std::nullopt, B::middle, true)), "mousedown 2");
    EXPECT_EQ(asked(hands().hold(std::nullopt, B::back, false)), "mouseup 8");
    EXPECT_EQ(asked(hands().scroll(Controls::Point{1, 2}, -3, 4)),
              "mousemove 1 2 click --repeat 4 --delay 5 5 click --repeat 3 --delay 5 6");
    std::string const drag = asked(hands().drag({0, 0}, {80, 40}, B::left));
    EXPECT_TRUE(drag.starts_with("mousemove 0 0 mousedown 1 mousemove 10 5 ")) << drag;
    EXPECT_TRUE(drag.ends_with("mousemove 80 40 sleep 0.01 mouseup 1")) << drag;
    for (auto const& [name, value] : launcher_->last("xdotool").launch.env)
        EXPECT_TRUE(name != "DISPLAY" || value == ":7");
}

TEST_F(ControlsTest, what_cannot_be_is_refused_before_anything_runs) {
    using B = Controls::Button;
    EXPECT_EQ(refused(hands().move({800, 0})), Code::invalid_argument);
    EXPECT_EQ(refused(hands().move({0, -1})), Code::invalid_argument);
    EXPECT_EQ(refused(hands().click(Controls::Point{0, 600}, B::left, 1)), Code::invalid_argument);
    EXPECT_EQ(refused(hands().click(std::nullopt, B::left, 4)), Code::invalid_argument);
    EXPECT_EQ(refused(hands().drag({0, 0}, {9999, 0}, B::left)), Code::invalid_argument);
    EXPECT_EQ(refused(hands().scroll(std::nullopt, 0, 101)), Code::invalid_argument);
    EXPECT_EQ(refused(hands().keys({}, Controls::Press::press)), Code::invalid_argument);
    EXPECT_EQ(refused(hands().keys({"ctrl+"}, Controls::Press::press)), Code::invalid_argument);
    EXPECT_EQ(refused(hands().keys({"--window 1"}, Controls::Press::press)), Code::invalid_argument);
    EXPECT_EQ(refused(hands().type("\xff", 0ms)), Code::invalid_argument);
    EXPECT_EQ(refused(hands().type("a\x1b[0m", 0ms)), Code::invalid_argument);
    EXPECT_EQ(refused(hands().type(std::string(70'000, 'a'), 0ms)), Code::too_large);
    EXPECT_EQ(refused(hands().set_clipboard("\xc3")), Code::invalid_argument);
    EXPECT_EQ(launcher_->count("xdotool") + launcher_->count("xclip"), 0U);
    std::optional<Result<Controls::Shot>> shot;
    ask(hands().screenshot({799, 0, 2, 1}, Controls::Picture::png, 80, false), shot);
    ASSERT_TRUE(shot && !*shot);
    EXPECT_EQ(shot->error().code, Code::invalid_argument);
    ask(hands().screenshot({0, 0, 4'000'000'000U, 1}, Controls::Picture::png, 80, false), shot);
    ASSERT_TRUE(shot && !*shot);
    EXPECT_EQ(launcher_->count("ffmpeg"), 0U);
}

TEST_F(ControlsTest, keys) {
    EXPECT_EQ(asked(hands().keys({"Ctrl+Shift+t", "Enter", "+"}, Controls::Press::press)),
              "key ctrl+shift+t Return U002B");
    EXPECT_EQ(asked(hands().keys({"shift"}, Controls::Press::down)), "keydown shift");
    std::optional<Result<void>> out;
    ask(hands().keys({"NoSuchKey"}, Controls::Press::press), out);
    launcher_->last("xdotool").words = "(symbol) No such key name 'NoSuchKey'. Ignoring it.\n";
    launcher_->last("xdotool").end("exit status 0");
    settle();
    ASSERT_TRUE(out && !*out) << "it had said that it did nothing";
    EXPECT_EQ(out->error().code, Code::invalid_argument);
}

TEST_F(ControlsTest, pointer_and_clipboard) {
    std::optional<Result<Controls::Point>> at;
    ask(hands().pointer(), at);
    launcher_->last("xdotool").written = "X=12\nY=345\nSCREEN=0\nWINDOW=7\n";
    launcher_->last("xdotool").end("exit status 0");
    settle();
    ASSERT_TRUE(at && *at);
    EXPECT_EQ((*at)->x, 12);
    EXPECT_EQ((*at)->y, 345);
    std::optional<Result<std::string>> held;
    ask(hands().clipboard(), held);
    launcher_->last("xclip").words = "Error: target STRING not available\n";
    launcher_->last("xclip").end("exit status 1");
    settle();
    ASSERT_TRUE(held && *held);
    EXPECT_EQ(**held, "") << "nobody owns it";
    ask(hands().clipboard(), held);
    launcher_->last("xclip").words = "Error: Can't open display: :7\n";
    launcher_->last("xclip").end("exit status 1");
    settle();
    ASSERT_TRUE(held && !*held) << "that is no empty clipboard";
    EXPECT_EQ(held->error().code, Code::unavailable);
}

TEST_F(ControlsTest, a_program_that_hangs_is_ended) {
    std::optional<Result<void>> out;
    ask(hands().move({1, 1}), out);
    auto const hung = launcher_->all["xdotool"].back();
    clock_.advance(10s);
    settle();
    ASSERT_TRUE(out && !*out);
    EXPECT_EQ(out->error().code, Code::timed_out);
    EXPECT_TRUE(hung->stopped);
}

TEST_F(ControlsTest, what_is_not_installed_is_named) {
    launcher_->absent["xclip"] = true;
    EXPECT_EQ(refused(hands().set_clipboard("x")), Code::unavailable);
    EXPECT_NE(hands().missing("xclip").find("Debian package xclip"), std::string::npos);
    EXPECT_EQ(hands().missing("xdotool"), "");
}

TEST_F(ControlsTest, a_picture_is_taken_out_of_its_directory) {
    std::optional<Result<Controls::Shot>> shot;
    ask(hands().screenshot({10, 20, 0, 30}, Controls::Picture::jpeg, 100, true), shot);
    auto const& argv = launcher_->last("ffmpeg").launch.argv;
    std::string const path = argv.back();
    std::string const all = asked_of("ffmpeg");
    EXPECT_NE(all.find("-draw_mouse 1"), std::string::npos) << all;
    EXPECT_NE(all.find("-video_size 790x30 -i :7+10,20"), std::string::npos) << all;
    EXPECT_NE(all.find("-q:v 2 "), std::string::npos) << all;
    std::ofstream(path) << "picture";
    launcher_->last("ffmpeg").end("exit status 0");
    settle();
    ASSERT_TRUE(shot && *shot);
    EXPECT_EQ((*shot)->size, 7U);
    EXPECT_NE(::access(path.c_str(), F_OK), 0) << "it lies there no more";
    ask(hands().screenshot({}, Controls::Picture::png, 80, false), shot);
    launcher_->last("ffmpeg").words = "x11grab: Cannot open display";
    launcher_->last("ffmpeg").end("exit status 1");
    settle();
    ASSERT_TRUE(shot && !*shot);
    EXPECT_NE(shot->error().message().find("Cannot open display"), std::string::npos);
}

TEST(key_names, as_people_write_them) {
    std::pair<char const*, char const*> const pairs[] = {{"a", "a"},
                                                         {"A", "A"},
                                                         {"7", "7"},
                                                         {"/", "U002F"},
                                                         {"\u00e4", "U00E4"},
                                                         {"\U0001F600", "U1F600"},
                                                         {"esc", "Escape"},
                                                         {"ArrowLeft", "Left"},
                                                         {"cmd+c", "super+c"},
                                                         {"ctrl++", "ctrl+U002B"},
                                                         {"F12", "F12"},
                                                         {"XF86AudioMute", "XF86AudioMute"},
                                                         {"", ""},
                                                         {"a+", ""},
                                                         {"ctrl+ +c", "ctrl+U0020+c"},
                                                         {"two words", ""},
                                                         {"-x", ""},
                                                         {"\x01", ""},
                                                         {"\xff", ""}};
    for (auto const& [said, meant] : pairs) EXPECT_EQ(key_name(said), meant) << said;
}

}  // namespace
}  // namespace execd::browser_proxy
