#include "browser_proxy/recorder.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>

#include "base/log.hpp"
#include "browser_proxy/supervisor.hpp"

namespace execd::browser_proxy {

namespace {

constexpr std::string_view kPrefix = "vnc_global_";
constexpr auto kDisplayPatience = std::chrono::seconds(20);
constexpr Duration kAgain = std::chrono::seconds(1);  // after trouble, longer each time ...
constexpr Duration kLongestRest = std::chrono::seconds(30);
constexpr Duration kLasted = std::chrono::seconds(10);  // ... unless it had gone well so long
constexpr unsigned kWholePicture = 5;                   // seconds from one to the next
constexpr std::size_t kStem = 30;                       // "vnc_global_20251126_111648_seg"

bool digits(std::string_view text) {
    return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

std::vector<Recording> read_directory(std::string const& directory) {
    std::vector<Recording> out;
    DIR* const dir = ::opendir(directory.c_str());
    if (dir == nullptr) return out;
    while (dirent const* const entry = ::readdir(dir)) {
        struct stat info {};
        if (!is_recording_name(entry->d_name) ||
            ::fstatat(::dirfd(dir), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(info.st_mode))
            continue;
        auto const since =
            std::chrono::seconds(info.st_mtim.tv_sec) + std::chrono::nanoseconds(info.st_mtim.tv_nsec);
        out.push_back({entry->d_name, static_cast<std::uint64_t>(info.st_size),
                       WallTime(std::chrono::duration_cast<WallTime::duration>(since)), false});
    }
    ::closedir(dir);
    // Newest first: seg1000 is newer than seg999.
    std::sort(out.begin(), out.end(), [](Recording const& a, Recording const& b) {
        int const stems = a.name.compare(0, kStem, b.name, 0, kStem);
        if (stems != 0) return stems > 0;
        return a.name.size() != b.name.size() ? a.name.size() > b.name.size() : a.name > b.name;
    });
    return out;
}

bool is_there(std::string const& path) {
    struct stat info {};
    return ::lstat(path.c_str(), &info) == 0;
}

}  // namespace

bool is_recording_name(std::string_view name) noexcept {
    if (name.size() < 37 || name.size() > 64 || !name.starts_with(kPrefix) || !name.ends_with(".mkv"))
        return false;
    name.remove_prefix(kPrefix.size());
    name.remove_suffix(4);
    return digits(name.substr(0, 8)) && name[8] == '_' && digits(name.substr(9, 6)) &&
           name.substr(15, 4) == "_seg" && digits(name.substr(19));
}

Recorder::Recorder(Loop& loop, Launcher& launcher, Display& display, Options options)
    : loop_(loop),
      launcher_(launcher),
      display_(display),
      options_(std::move(options)),
      self_(std::make_shared<Recorder*>(this)),
      scope_(loop, "recorder") {}

Recorder::~Recorder() { *self_ = nullptr; }

std::string Recorder::missing() const {
    if (auto why = display_.missing(); !why.empty()) return why;
    return launcher_.has("ffmpeg") ? std::string() : "ffmpeg is not installed here (Debian package ffmpeg)";
}

std::shared_ptr<void> Recorder::lease() {
    ++leases_;
    changed_.notify_all();
    if (!at_work_ && !closing_) {
        at_work_ = true;
        scope_.spawn("record", run());
    }
    return {static_cast<void*>(nullptr), [self = self_](void*) {
                if (*self != nullptr) (*self)->release();
            }};
}

void Recorder::release() {
    --leases_;
    changed_.notify_all();
}

Task<void> Recorder::run() {
    struct Guard {
        bool& flag;
        ~Guard() { flag = false; }
    } const guard{at_work_};
    Duration pause = kAgain;
    while (leases_ > 0 && !closing_) {
        TimePoint const since = loop_.clock().now();
        auto begun = co_await begin();
        if (begun) {
            co_await film();
        } else {
            trouble_ = begun.error().message();
            log::warn("recording.failed", {{"error", trouble_}});
        }
        if (loop_.clock().now() - since >= kLasted) pause = kAgain;
        co_await rest(pause);
        pause = std::min(pause * 2, kLongestRest);
    }
}

Task<void> Recorder::rest(Duration pause) {
    Deadline const until = Deadline::in(loop_.clock(), pause);
    bool waited = true;
    while (waited && leases_ > 0 && !closing_) waited = co_await changed_.wait(loop_.clock(), until);
}

// The start in local time.
std::string Recorder::base_at(WallTime at) const {
    std::time_t const seconds = WallTime::clock::to_time_t(at);
    std::tm local{};
    ::localtime_r(&seconds, &local);
    char text[32];
    std::strftime(text, sizeof text, "%Y%m%d_%H%M%S", &local);
    return std::string(kPrefix) + text + "_seg";
}

Task<Result<void>> Recorder::begin() {
    if (auto why = missing(); !why.empty()) co_return fail(Code::unavailable, "recording", std::move(why));
    auto shown = co_await display_.demand(Deadline::in(loop_.clock(), kDisplayPatience));
    if (!shown) co_return shown;
    auto make = [this] { return launcher_.make_directory(options_.directory); };
    auto made = co_await loop_.pool().run(Lane::metadata, make);
    if (!made) co_return made;
    co_await prune();
    // A name that was given before (another daemon's, an hour that came twice) is not written over.
    auto choose = [this, now = loop_.clock().wall()] {
        std::string base = base_at(now);
        for (int later = 1; later < 3600 && is_there(options_.directory + "/" + base + "001.mkv"); ++later)
            base = base_at(now + std::chrono::seconds(later));
        return base;
    };
    base_ = co_await loop_.pool().run(Lane::metadata, choose);
    std::string const seconds = std::to_string(options_.segment_seconds);
    std::string const rate = std::to_string(options_.rate);
    // x264 wants even sides.
    std::string const size =
        std::to_string(options_.width & ~1U) + "x" + std::to_string(options_.height & ~1U);
    Launch command;
    command.label = "ffmpeg";
    command.argv = {"ffmpeg", "-nostdin", "-hide_banner", "-loglevel", "error", "-f", "x11grab", "-framerate",
                    rate, "-video_size", size, "-i", display_.name(), "-c:v", "libx264", "-preset",
                    "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p",
                    // The usual way to halve the colours has no vector code for the screen's pixels and takes
                    // a third of all the work.
                    "-sws_flags", "fast_bilinear+full_chroma_inp", "-threads", "1",
                    // Whole pictures are dear; what is lost at a sudden end depends on the clusters alone.
                    "-g", std::to_string(options_.rate * kWholePicture), "-f", "segment", "-segment_format",
                    "matroska", "-segment_format_options", "flush_packets=1:cluster_time_limit=500",
                    "-segment_time", seconds, "-segment_start_number", "1", "-reset_timestamps", "1",
                    options_.directory + "/" + base_ + "%03d.mkv"};
    command.env = {{"DISPLAY", display_.name()}};
    auto started = co_await launcher_.start(std::move(command));
    if (!started) {
        base_.clear();
        co_return Failure(started.error());
    }
    running_ = std::move(*started);
    scope_.spawn("watch", watch(running_));
    log::info("recording.started", {{"name", base_}});
    co_return Result<void>();
}

Task<void> Recorder::watch(std::shared_ptr<Running> running) {
    (void)co_await running->ended(Deadline::never());
    changed_.notify_all();
}

// Until nobody wants it any more, or it ended by itself (the disk is full, the display is gone).
Task<void> Recorder::film() {
    Clock& clock = loop_.clock();
    auto const running = running_;
    std::optional<Deadline> end;  // set while nobody holds a lease
    TimePoint look = clock.now() + options_.prune_every;
    while (running->alive() && !closing_) {
        if (leases_ > 0)
            end.reset();
        else if (!end)
            end = Deadline::in(clock, options_.linger);
        if (end && end->passed(clock)) break;
        (void)co_await changed_.wait(clock, earliest(end.value_or(Deadline::never()), Deadline(look)));
        if (clock.now() < look) continue;
        look = clock.now() + options_.prune_every;
        co_await prune();
    }
    if (!running->alive()) {
        trouble_ = running->why() + ": " + running->last_words().substr(0, 300);
        log::warn("recording.ended", {{"error", trouble_}});
    }
    co_await running->stop(options_.finalise);
    running_.reset();
    log::info("recording.stopped", {{"name", std::exchange(base_, {})}});
}

Task<void> Recorder::prune() {
    WallTime const oldest =
        loop_.clock().wall() - std::chrono::duration_cast<WallTime::duration>(options_.age);
    auto work = [this, oldest, active = base_] {
        std::uint64_t total = 0;
        int removed = 0;
        bool found = active.empty();
        for (auto const& one : read_directory(options_.directory)) {
            total += one.size;
            bool const grows = !found && one.name.starts_with(active);
            found = found || grows;
            // Empty ones are what is left of a start on a full disk.
            if (grows || (one.size > 0 && total <= options_.bytes && one.modified >= oldest)) continue;
            removed += ::unlink((options_.directory + "/" + one.name).c_str()) == 0 ? 1 : 0;
        }
        return removed;
    };
    int const removed = co_await loop_.pool().run(Lane::metadata, work);
    if (removed > 0) log::info("recording.pruned", {{"files", removed}});
}

Task<Result<std::vector<Recording>>> Recorder::list() {
    co_await prune();  // what is too old goes also where nothing is recorded
    auto work = [this] { return read_directory(options_.directory); };
    auto out = co_await loop_.pool().run(Lane::metadata, work);
    // Of the files of one run only the newest grows.
    bool found = base_.empty();
    for (auto& one : out) {
        one.active = !found && one.name.starts_with(base_);
        found = found || one.active;
    }
    co_return out;
}

Task<Result<Recorder::Opened>> Recorder::open(std::string name) {
    if (!is_recording_name(name)) co_return fail(Code::not_found, "", "there is no recording of this name");
    auto work = [path = options_.directory + "/" + name]() -> Result<Opened> {
        Opened out{UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)), 0};
        struct stat info {};
        if (!out.fd || ::fstat(out.fd.get(), &info) != 0 || !S_ISREG(info.st_mode))
            return fail(Code::not_found, "", "there is no recording of this name");
        out.size = static_cast<std::uint64_t>(info.st_size);
        return out;
    };
    co_return co_await loop_.pool().run(Lane::metadata, work);
}

Task<Result<void>> Recorder::remove(std::string name) {
    if (!is_recording_name(name)) co_return fail(Code::not_found, "", "there is no recording of this name");
    auto all = co_await list();
    for (auto const& one : *all)
        if (one.name == name && one.active) co_return fail(Code::conflict, "", "it is being recorded");
    auto work = [path = options_.directory + "/" + name]() -> Result<void> {
        if (::unlink(path.c_str()) == 0) return {};
        if (errno == ENOENT) return fail(Code::not_found, "", "there is no recording of this name");
        return fail_errno("unlink", errno);
    };
    co_return co_await loop_.pool().run(Lane::metadata, work);
}

Task<void> Recorder::close() {
    closing_ = true;
    changed_.notify_all();
    (void)co_await scope_.drain(Deadline::in(loop_.clock(), options_.finalise + std::chrono::seconds(1)));
    (void)co_await scope_.close(Deadline::in(loop_.clock(), std::chrono::seconds(1)));
    auto const rest = std::move(running_);
    if (rest) co_await rest->stop(Duration::zero());
}

}  // namespace execd::browser_proxy
