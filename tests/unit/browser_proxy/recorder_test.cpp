// The recorder in virtual time: when it films, when it stops, what it keeps, and which names it believes.
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "desktop_test_base.hpp"

namespace execd::browser_proxy {
namespace {

using namespace std::chrono_literals;

Options a_thousand_bytes() {
    Options out;
    out.recording.bytes = 1000;
    return out;
}

class RecorderTest : public DesktopTest {
  protected:
    RecorderTest() : DesktopTest(a_thousand_bytes()) {}
    void file(std::string const& name, std::size_t size, std::chrono::hours age) {
        names_.push_back(name);
        std::string const path = directory_ + "/" + name;
        std::ofstream(path) << std::string(size, 'x');
        auto const at = WallTime::clock::to_time_t(clock_.wall() - age);
        timespec const both[2] = {{at, 0}, {at, 0}};
        ::utimensat(AT_FDCWD, path.c_str(), both, 0);
    }
    bool there(std::string const& name) { return ::access((directory_ + "/" + name).c_str(), F_OK) == 0; }
    Recorder& recorder() { return supervisor_->recorder(); }
    template <class T>
    static Task<void> keep(Task<Result<T>> asked, std::optional<Result<T>>* out) {
        out->emplace(co_await std::move(asked));
    }

    std::vector<std::string> names_;
};

TEST_F(RecorderTest, it_films_while_anybody_asks_and_a_moment_longer) {
    auto one = recorder().lease();
    auto two = recorder().lease();
    display_up();
    ASSERT_EQ(launcher_->count("ffmpeg"), 1U);
    auto const film = launcher_->all["ffmpeg"].back();
    EXPECT_TRUE(recorder().recording());
    one.reset();
    clock_.advance(10s);
    settle();
    EXPECT_FALSE(film->stopped);
    two.reset();
    clock_.advance(1s);
    settle();
    two = recorder().lease();  // a viewer that came back
    clock_.advance(10s);
    settle();
    EXPECT_FALSE(film->stopped);
    two.reset();
    clock_.advance(2s);
    settle();
    EXPECT_TRUE(film->stopped);
    EXPECT_FALSE(recorder().recording());
    EXPECT_EQ(launcher_->count("ffmpeg"), 1U);
}

TEST_F(RecorderTest, one_that_ends_by_itself_goes_on_in_another_file) {
    auto const lease = recorder().lease();
    display_up();
    ASSERT_EQ(launcher_->count("ffmpeg"), 1U);
    std::string const first = launcher_->last("ffmpeg").launch.argv.back();
    launcher_->last("ffmpeg").words = "No space left on device";
    launcher_->last("ffmpeg").end("exit status 1");
    settle();
    EXPECT_NE(recorder().trouble().find("No space left"), std::string::npos);
    clock_.advance(1s);
    settle();
    ASSERT_EQ(launcher_->count("ffmpeg"), 2U);
    EXPECT_NE(launcher_->last("ffmpeg").launch.argv.back(), first);
}

TEST_F(RecorderTest, the_oldest_go_when_there_is_too_much_or_they_are_too_old) {
    file("vnc_global_20250101_000000_seg001.mkv", 10, std::chrono::hours(24 * 8));
    file("vnc_global_20250102_000000_seg001.mkv", 600, std::chrono::hours(3));
    file("vnc_global_20250103_000000_seg001.mkv", 600, std::chrono::hours(2));
    file("somebody.mkv", 600, std::chrono::hours(24 * 80));
    auto const lease = recorder().lease();
    display_up();
    EXPECT_FALSE(there(names_[0]));
    EXPECT_FALSE(there(names_[1]));
    EXPECT_TRUE(there(names_[2]));
    EXPECT_TRUE(there(names_[3])) << "none of ours";
}

TEST_F(RecorderTest, of_a_long_one_the_oldest_pieces_go_and_what_grows_stays) {
    auto const lease = recorder().lease();
    display_up();
    std::string const path = launcher_->last("ffmpeg").launch.argv.back();  // .../vnc_global_..._seg%03d.mkv
    std::string const base = path.substr(directory_.size() + 1, 30);
    file(base + "998.mkv", 600, std::chrono::hours(0));
    file(base + "999.mkv", 600, std::chrono::hours(0));
    file(base + "1000.mkv", 700, std::chrono::hours(0));
    clock_.advance(61s);
    settle();
    EXPECT_TRUE(there(base + "1000.mkv"));
    EXPECT_FALSE(there(base + "999.mkv"));
    EXPECT_FALSE(there(base + "998.mkv"));
}

TEST_F(RecorderTest, on_a_full_disk_it_tries_again_later_and_later_and_leaves_nothing) {
    auto const lease = recorder().lease();
    display_up();
    for (std::size_t starts = 1; auto const pause : {1s, 2s, 4s, 8s}) {
        ASSERT_EQ(launcher_->count("ffmpeg"), starts);
        std::string const path = launcher_->last("ffmpeg").launch.argv.back();
        file(path.substr(directory_.size() + 1, 30) + "001.mkv", 0, std::chrono::hours(0));
        launcher_->last("ffmpeg").end("exit status 1");
        settle();
        clock_.advance(pause - 1ms);
        settle();
        EXPECT_EQ(launcher_->count("ffmpeg"), starts);
        clock_.advance(1ms);
        settle();
        EXPECT_EQ(launcher_->count("ffmpeg"), ++starts);
        EXPECT_FALSE(there(names_.back()));
    }
}

TEST_F(RecorderTest, no_older_file_is_written_over) {
    auto const lease = recorder().lease();
    settle();
    // The clock stands still: this is the second in which the recording will begin.
    std::time_t const now = WallTime::clock::to_time_t(clock_.wall());
    std::tm local{};
    ::localtime_r(&now, &local);
    char text[64];
    std::strftime(text, sizeof text, "vnc_global_%Y%m%d_%H%M%S_seg001.mkv", &local);
    file(text, 10, std::chrono::hours(0));
    display_up();
    ASSERT_EQ(launcher_->count("ffmpeg"), 1U);
    std::string const path = launcher_->last("ffmpeg").launch.argv.back();
    EXPECT_NE(path.substr(directory_.size() + 1, 30), std::string(text).substr(0, 30));
    EXPECT_TRUE(there(text));
}

TEST_F(RecorderTest, what_is_no_plain_file_is_no_recording) {
    std::string const link = "vnc_global_20250101_000000_seg001.mkv";
    std::string const pipe = "vnc_global_20250101_000001_seg001.mkv";
    std::string const folder = "vnc_global_20250101_000002_seg001.mkv";
    ASSERT_EQ(::symlink("/etc/passwd", (directory_ + "/" + link).c_str()), 0);
    ASSERT_EQ(::mkfifo((directory_ + "/" + pipe).c_str(), 0600), 0);
    ASSERT_EQ(::mkdir((directory_ + "/" + folder).c_str(), 0700), 0);
    std::optional<Result<std::vector<Recording>>> all;
    scope_.spawn("list", keep(recorder().list(), &all));
    settle();
    ASSERT_TRUE(all && *all);
    EXPECT_TRUE((*all)->empty());
    for (auto const& name : {link, pipe, folder}) {
        std::optional<Result<Recorder::Opened>> opened;
        scope_.spawn("open", keep(recorder().open(name), &opened));
        settle();
        ASSERT_TRUE(opened && !*opened) << name;
        EXPECT_EQ(opened->error().code, Code::not_found);
    }
}

TEST(recording_names, only_ours) {
    EXPECT_TRUE(is_recording_name("vnc_global_20251126_111648_seg001.mkv"));
    EXPECT_TRUE(is_recording_name("vnc_global_20251126_111648_seg1000.mkv"));
    for (std::string const bad :
         {"", "vnc_global_20251126_111648_seg.mkv", "vnc_global_20251126_111648_seg01.mkv",
          "../../../../../../etc/passwd.mkv", "vnc_global_2025112x_111648_seg001.mkv",
          "vnc_global_20251126_111648_seg001.mkv/..", "vnc_global_20251126_111648_seg0/1.mkv",
          "vnc_global_20251126_111648_seg001.mp4", "vnc_global_20251126-111648_seg001.mkv",
          "Vnc_global_20251126_111648_seg001.mkv"})
        EXPECT_FALSE(is_recording_name(bad)) << bad;
    EXPECT_FALSE(is_recording_name(std::string("vnc_global_20251126_111648_seg00\0001.mkv", 38)));
}

}  // namespace
}  // namespace execd::browser_proxy
