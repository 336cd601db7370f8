// Recorder: a film of the desktop while somebody asks for one. ffmpeg writes Matroska whose clusters are
// short and go to disk at once, so a file that still grows, or whose writer was killed, can be played up to
// its last second. Files are named as contracts/agentrun.md §3 has it: vnc_global_<date>_<time>_seg001.mkv.
//
// Thread: the reactor. Owner: the Supervisor; close() before destruction.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/event.hpp"
#include "base/scope.hpp"
#include "browser_proxy/launch.hpp"

namespace execd::browser_proxy {

class Display;

/// "vnc_global_20251126_111648_seg001.mkv" and nothing else: no other name ever reaches the disk.
[[nodiscard]] bool is_recording_name(std::string_view name) noexcept;

struct Recording {
    std::string name;
    std::uint64_t size = 0;  // bytes
    WallTime modified{};
    bool active = false;  // it still grows
};

class Recorder {
  public:
    struct Options {
        std::string directory;
        unsigned width = 1280;  // pixels
        unsigned height = 1024;
        unsigned rate = 10;                // pictures a second
        unsigned segment_seconds = 600;    // of film in one file
        std::uint64_t bytes = 2ULL << 30;  // of all files; the oldest go first
        Duration age = std::chrono::hours(24 * 7);
        Duration linger = std::chrono::milliseconds(1500);  // after the last lease: clients come back
        Duration finalise = std::chrono::seconds(2);
        Duration prune_every = std::chrono::minutes(1);
    };
    Recorder(Loop& loop, Launcher& launcher, Display& display, Options options);
    ~Recorder();
    Recorder(Recorder const&) = delete;
    Recorder& operator=(Recorder const&) = delete;

    /// It records as long as any lease lives; a lease may outlive the recorder.
    [[nodiscard]] std::shared_ptr<void> lease();
    /// Empty, or why this image cannot record.
    [[nodiscard]] std::string missing() const;
    [[nodiscard]] bool recording() const { return running_ != nullptr; }
    /// Why the last one ended before its time; empty when none did.
    [[nodiscard]] std::string const& trouble() const { return trouble_; }

    /// Newest first.
    [[nodiscard]] Task<Result<std::vector<Recording>>> list();
    struct Opened {
        UniqueFd fd;
        std::uint64_t size = 0;  // bytes at this moment
    };
    /// Code::not_found, also for names that are none.
    [[nodiscard]] Task<Result<Opened>> open(std::string name);
    /// Code::conflict while it grows.
    [[nodiscard]] Task<Result<void>> remove(std::string name);

    [[nodiscard]] Task<void> close();

  private:
    [[nodiscard]] Task<void> run();
    [[nodiscard]] Task<Result<void>> begin();
    [[nodiscard]] Task<void> film();
    [[nodiscard]] Task<void> watch(std::shared_ptr<Running> running);
    [[nodiscard]] Task<void> prune();
    [[nodiscard]] Task<void> rest(Duration pause);
    [[nodiscard]] std::string base_at(WallTime at) const;
    void release();

    Loop& loop_;
    Launcher& launcher_;
    Display& display_;
    Options options_;
    std::size_t leases_ = 0;
    std::shared_ptr<Recorder*> self_;  // leases look through it
    std::shared_ptr<Running> running_;
    std::string base_;  // of the files that running_ writes
    std::string trouble_;
    bool at_work_ = false;
    bool closing_ = false;
    Event changed_;
    Scope scope_;
};

}  // namespace execd::browser_proxy
