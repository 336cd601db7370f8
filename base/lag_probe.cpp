#include "base/lag_probe.hpp"

#include <sys/epoll.h>

#include <bit>
#include <cmath>

#include "base/check.hpp"
#include "base/log.hpp"

namespace execd {

namespace {
using SteadyClock = std::chrono::steady_clock;

thread_local LagProbe* t_probe = nullptr;
thread_local SteadyClock::time_point t_woke{};  // zero: no wait has ended since install()
// The innermost label, and the outermost one of the current hold: at the end of the hold all labels are gone
// again.
thread_local char const* t_label = nullptr;
thread_local char const* t_held_by = nullptr;
}  // namespace

void LagProbe::install() {
    EXECD_REQUIRE(t_probe == nullptr || t_probe == this);
    t_probe = this;
    t_woke = {};
}

void LagProbe::remove() {
    if (t_probe == this) t_probe = nullptr;
}

void LagProbe::record(std::chrono::nanoseconds held) {
    auto const ns = std::max<std::int64_t>(held.count(), 0);
    auto const bucket = static_cast<std::size_t>(std::bit_width(static_cast<std::uint64_t>(ns) / 1000));
    counts_[std::min(bucket, kBuckets - 1)].fetch_add(1, std::memory_order_relaxed);
    total_.fetch_add(ns, std::memory_order_relaxed);
    if (ns > longest_.load(std::memory_order_relaxed)) longest_.store(ns, std::memory_order_relaxed);
#ifdef EXECD_DEBUG
    if (held > kReportAfter)
        log::warn("loop.held", {{"ms", std::chrono::duration_cast<std::chrono::milliseconds>(held).count()},
                                {"by", t_held_by != nullptr ? t_held_by : "?"}});
#endif
}

LagProbe::Figures LagProbe::figures() const {
    Figures out;
    for (std::size_t i = 0; i < kBuckets; ++i) {
        out.counts[i] = counts_[i].load(std::memory_order_relaxed);
        out.holds += out.counts[i];
    }
    out.longest = std::chrono::nanoseconds(longest_.load(std::memory_order_relaxed));
    out.total = std::chrono::nanoseconds(total_.load(std::memory_order_relaxed));
    return out;
}

void LagProbe::reset() {
    for (auto& count : counts_) count.store(0, std::memory_order_relaxed);
    longest_.store(0, std::memory_order_relaxed);
    total_.store(0, std::memory_order_relaxed);
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

LoopLabel::LoopLabel(char const* what) noexcept : outer_(t_label) {
    t_label = what;
    if (outer_ == nullptr) t_held_by = what;
}
LoopLabel::~LoopLabel() { t_label = outer_; }

int probed_epoll_wait(int fd, ::epoll_event* events, int max_events, int timeout_ms) {
    LagProbe* const probe = t_probe;
    if (probe == nullptr) return ::epoll_wait(fd, events, max_events, timeout_ms);
    if (t_woke != SteadyClock::time_point{}) probe->record(SteadyClock::now() - t_woke);
    t_held_by = nullptr;
    int const n = ::epoll_wait(fd, events, max_events, timeout_ms);
    int const kept = errno;
    t_woke = SteadyClock::now();
    errno = kept;
    return n;
}

}  // namespace execd
