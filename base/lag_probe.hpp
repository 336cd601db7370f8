// LagProbe: how long handlers hold the loop. Asio's epoll_wait is instrumented (base/asio_impl.cpp); the time
// from one wait's end to the next wait's start is a hold: everything that had become ready was late by up to
// that long. Costs two clock readings per wait. In debug builds a hold over kReportAfter is logged as
// "loop.held" with the innermost LoopLabel.
//
// On a machine that has others to serve, the time that a hold took says little about the work in it: with
// Measure::processor_too the thread's processor time is read as well, by one system call more for each wait.
//
// Thread: install on the thread that runs the io_context; the figures may be read from any thread.
#pragma once
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

struct epoll_event;

namespace execd {

class LagProbe {
  public:
    static constexpr std::size_t kBuckets = 24;
    static constexpr auto kReportAfter = std::chrono::milliseconds(50);

    /// A copy of the figures. counts[0]: below 1 us; counts[i]: below 2^i us; the last one: all longer holds
    /// too.
    struct Figures {
        std::array<std::uint64_t, kBuckets> counts{};
        std::uint64_t holds = 0;
        std::chrono::nanoseconds longest{0};
        std::chrono::nanoseconds total{0};
        /// An upper bound for the share `q` (0..1) of all holds: the end of its bucket.
        [[nodiscard]] std::chrono::nanoseconds quantile(double q) const;
        /// How many were longer than `limit` for certain: its bucket is left out.
        [[nodiscard]] std::uint64_t above(std::chrono::nanoseconds limit) const;
    };

    LagProbe() = default;
    ~LagProbe() { remove(); }
    LagProbe(LagProbe const&) = delete;
    LagProbe& operator=(LagProbe const&) = delete;

    enum class Measure { time, processor_too };
    /// From now on the calling thread's waits are measured by this probe (one probe per thread).
    void install(Measure measure = Measure::time);
    /// Call on the same thread.
    void remove();
    [[nodiscard]] Figures figures() const { return time_.figures(); }
    /// Of the processor time; of the holds that were longer than kBrief alone, and empty without
    /// Measure::processor_too.
    [[nodiscard]] Figures processor_figures() const { return processor_.figures(); }
    static constexpr auto kBrief = std::chrono::microseconds(100);
    [[nodiscard]] bool measures_processor() const { return measures_processor_; }
    void reset();

    /// Adds one hold; the instrumented wait calls these.
    void record(std::chrono::nanoseconds held);
    void record_processor(std::chrono::nanoseconds used) { processor_.record(used); }

  private:
    struct Counts {
        std::array<std::atomic<std::uint64_t>, kBuckets> counts{};
        std::atomic<std::int64_t> longest{0};
        std::atomic<std::int64_t> total{0};
        void record(std::chrono::nanoseconds value);
        [[nodiscard]] Figures figures() const;
        void reset();
    };
    Counts time_;
    Counts processor_;
    bool measures_processor_ = false;
};

/// Says in the log what held the loop: `LoopLabel const label("http.route");` around a piece of synchronous
/// work. The text must be a literal. Do not keep one across a co_await.
class LoopLabel {
  public:
    explicit LoopLabel(char const* what) noexcept;
    ~LoopLabel();
    LoopLabel(LoopLabel const&) = delete;
    LoopLabel& operator=(LoopLabel const&) = delete;

  private:
    char const* outer_;
};

/// epoll_wait, measured. Only base/asio_impl.cpp calls this.
int probed_epoll_wait(int fd, ::epoll_event* events, int max_events, int timeout_ms);

}  // namespace execd
