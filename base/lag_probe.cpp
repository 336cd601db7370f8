#include "base/lag_probe.hpp"

#include <sys/epoll.h>
#include <time.h>

#include <bit>
#include <cmath>

#include "base/check.hpp"
#include "base/log.hpp"

namespace execd {

namespace {
using SteadyClock = std::chrono::steady_clock;

thread_local LagProbe* t_probe = nullptr;
thread_local SteadyClock::time_point t_woke{};  // zero: no wait has ended since install()
thread_local std::chrono::nanoseconds t_woke_processor{};
// The innermost label, and the outermost one of the current hold: at the end of the hold all labels are gone
// again.
thread_local char const* t_label = nullptr;
thread_local char const* t_held_by = nullptr;

std::chrono::nanoseconds processor_time() {
    timespec now{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}
}  // namespace

void LagProbe::install(Measure measure) {
    EXECD_REQUIRE(t_probe == nullptr || t_probe == this);
    t_probe = this;
    measures_processor_ = measure == Measure::processor_too;
    t_woke = {};
}

void LagProbe::remove() {
    if (t_probe == this) t_probe = nullptr;
}

void LagProbe::Counts::record(std::chrono::nanoseconds value) {
    auto const ns = std::max<std::int64_t>(value.count(), 0);
    auto const bucket = static_cast<std::size_t>(std::bit_width(static_cast<std::uint64_t>(ns) / 1000));
    counts[std::min(bucket, kBuckets - 1)].fetch_add(1, std::memory_order_relaxed);
    total.fetch_add(ns, std::memory_order_relaxed);
    if (ns > longest.load(std::memory_order_relaxed)) longest.store(ns, std::memory_order_relaxed);
}

LagProbe::Figures LagProbe::Counts::figures() const {
    Figures out;
    for (std::size_t i = 0; i < kBuckets; ++i) {
        out.counts[i] = counts[i].load(std::memory_order_relaxed);
        out.holds += out.counts[i];
    }
    out.longest = std::chrono::nanoseconds(longest.load(std::memory_order_relaxed));
    out.total = std::chrono::nanoseconds(total.load(std::memory_order_relaxed));
    return out;
}

void LagProbe::Counts::reset() {
    for (auto& count : counts) count.store(0, std::memory_order_relaxed);
    longest.store(0, std::memory_order_relaxed);
    total.store(0, std::memory_order_relaxed);
}

void LagProbe::record(std::chrono::nanoseconds held) {
    time_.record(held);
#ifdef EXECD_DEBUG
    if (held > kReportAfter)
        log::warn("loop.held", {{"ms", std::chrono::duration_cast<std::chrono::milliseconds>(held).count()},
                                {"by", t_held_by != nullptr ? t_held_by : "?"}});
#endif
}

void LagProbe::reset() {
    time_.reset();
    processor_.reset();
}

std::chrono::nanoseconds LagProbe::Figures::quantile(double q) const {
    auto const wanted = static_cast<std::uint64_t>(std::ceil(q * static_cast<double>(holds)));
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i + 1 < kBuckets; ++i) {
        seen += counts[i];
        if (seen >= wanted)
            return std::min(longest, std::chrono::nanoseconds(std::chrono::microseconds(1LL << i)));
    }
    return longest;
}

std::uint64_t LagProbe::Figures::above(std::chrono::nanoseconds limit) const {
    auto const us = static_cast<std::uint64_t>(std::max<std::int64_t>(limit.count(), 0)) / 1000;
    std::uint64_t out = 0;
    for (auto i = static_cast<std::size_t>(std::bit_width(us)) + 1; i < kBuckets; ++i) out += counts[i];
    return out;
}

LoopLabel::LoopLabel(char const* what) noexcept : outer_(t_label) {
    t_label = what;
    if (outer_ == nullptr) t_held_by = what;
}
LoopLabel::~LoopLabel() { t_label = outer_; }

int probed_epoll_wait(int fd, ::epoll_event* events, int max_events, int timeout_ms) {
    LagProbe* const probe = t_probe;
    if (probe == nullptr) return ::epoll_wait(fd, events, max_events, timeout_ms);
    if (t_woke != SteadyClock::time_point{}) {
        auto const held = SteadyClock::now() - t_woke;
        probe->record(held);
        if (probe->measures_processor() && held > LagProbe::kBrief)
            probe->record_processor(processor_time() - t_woke_processor);
    }
    t_held_by = nullptr;
    int const n = ::epoll_wait(fd, events, max_events, timeout_ms);
    int const kept = errno;
    t_woke = SteadyClock::now();
    if (probe->measures_processor()) t_woke_processor = processor_time();
    errno = kept;
    return n;
}

}  // namespace execd
