#include "base/work_pool.hpp"

#include <pthread.h>

#include <array>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <system_error>
#include <thread>

#include "base/fault.hpp"
#include "base/log.hpp"
#include "base/signals.hpp"

namespace execd {

namespace {
using SteadyClock = std::chrono::steady_clock;
constexpr auto kIdleEnd = std::chrono::seconds(30);
constexpr auto kShutdownWait = std::chrono::seconds(2);
}  // namespace

struct WorkPool::State : std::enable_shared_from_this<State> {
    struct Job {
        std::function<void()> run;
        SteadyClock::time_point since;
    };
    struct LaneState {
        std::deque<Job> queue;
        std::condition_variable wake;
        std::condition_variable wake_spare;
        std::size_t threads = 0;   // all of the lane, spares included
        std::size_t normal = 0;    // those that take work at once
        std::size_t idle = 0;      // normal ones without work
        std::size_t watching = 0;  // spares that wait for work to become overdue
    };
    explicit State(Options o) : options(o) {}
    Options options;
    mutable std::mutex mutex;
    std::condition_variable ended;
    std::array<LaneState, kLanes> lanes;
    bool stopping = false;

    void work_normal(std::size_t index);
    void work_spare(std::size_t index);
    void take_one(std::unique_lock<std::mutex>& lock, std::size_t index);
    bool start_thread(std::size_t index, bool spare);
    void watch_over(std::size_t index);
    void thread_ends(LaneState& lane) {
        --lane.threads;
        ended.notify_all();
    }
    [[nodiscard]] bool all_ended() const {
        for (auto const& lane : lanes)
            if (lane.threads > 0) return false;
        return true;
    }
};

void WorkPool::State::take_one(std::unique_lock<std::mutex>& lock, std::size_t index) {
    LaneState& lane = lanes[index];
    auto job = std::move(lane.queue.front().run);
    lane.queue.pop_front();
    watch_over(index);
    lock.unlock();
    job();
    job = nullptr;  // its closure may own things: end them without the lock
    lock.lock();
}

void WorkPool::State::work_normal(std::size_t index) {
    LaneState& lane = lanes[index];
    std::unique_lock lock(mutex);
    while (!stopping) {
        if (!lane.queue.empty()) {
            take_one(lock, index);
            continue;
        }
        ++lane.idle;
        bool const woken =
            lane.wake.wait_for(lock, kIdleEnd, [&] { return stopping || !lane.queue.empty(); });
        --lane.idle;
        if (!woken) break;
    }
    --lane.normal;
    thread_ends(lane);
}

void WorkPool::State::work_spare(std::size_t index) {
    LaneState& lane = lanes[index];
    std::unique_lock lock(mutex);
    while (!stopping) {
        if (lane.queue.empty()) {
            ++lane.watching;
            bool const woken =
                lane.wake_spare.wait_for(lock, kIdleEnd, [&] { return stopping || !lane.queue.empty(); });
            --lane.watching;
            if (!woken) break;
            continue;
        }
        auto const overdue = lane.queue.front().since + options.stuck_after;
        if (SteadyClock::now() < overdue) {
            ++lane.watching;
            lane.wake_spare.wait_until(lock, overdue, [&] { return stopping; });
            --lane.watching;
            continue;
        }
        take_one(lock, index);
    }
    thread_ends(lane);
}

// Somebody has to notice when queued work does not move: the first spare that is not stuck itself. Called
// with the lock whenever a thread of the lane became busy or work was queued.
void WorkPool::State::watch_over(std::size_t index) {
    LaneState& lane = lanes[index];
    if (stopping || lane.queue.empty() || lane.idle >= lane.queue.size()) return;
    if (lane.normal < options.threads_per_lane) return;
    if (lane.watching > 0)
        lane.wake_spare.notify_one();
    else if (lane.threads < options.threads_per_lane + options.spare)
        start_thread(index, true);
}

bool WorkPool::State::start_thread(std::size_t index, bool spare) {
    LaneState& lane = lanes[index];
    BlockAllSignals const blocked;  // signals are the reactor's
    try {
        if (int const e = fault::hit("thread")) throw std::system_error(e, std::generic_category());
        std::thread([state = shared_from_this(), index, spare] {
            pthread_setname_np(pthread_self(), spare ? "execd-spare" : "execd-work");
            spare ? state->work_spare(index) : state->work_normal(index);
        }).detach();
    } catch (std::system_error const& e) {
        log::warn("work_pool.no_thread", {{"errno", e.code().value()}, {"threads", lane.threads}});
        return false;
    }
    ++lane.threads;
    if (!spare) ++lane.normal;
    return true;
}

WorkPool::WorkPool() : WorkPool(Options()) {}
WorkPool::WorkPool(Options options) : state_(std::make_shared<State>(options)) {}

WorkPool::~WorkPool() {
    std::array<std::deque<State::Job>, kLanes> dropped;  // ended after the lock: closures own coroutines
    std::unique_lock lock(state_->mutex);
    state_->stopping = true;
    for (std::size_t i = 0; i < kLanes; ++i) {
        auto& lane = state_->lanes[i];
        dropped[i].swap(lane.queue);
        lane.wake.notify_all();
        lane.wake_spare.notify_all();
    }
    // A thread stuck in the kernel (a dead mount) would hold us for ever: it keeps the state alive by itself.
    state_->ended.wait_for(lock, kShutdownWait, [&] { return state_->all_ended(); });
}

void WorkPool::submit(Lane which, std::function<void()> job) {
    auto const index = static_cast<std::size_t>(which);
    std::unique_lock lock(state_->mutex);
    auto& lane = state_->lanes[index];
    lane.queue.push_back({std::move(job), SteadyClock::now()});
    if (lane.idle >= lane.queue.size()) {
        lane.wake.notify_one();
        return;
    }
    if (lane.normal >= state_->options.threads_per_lane)
        state_->watch_over(index);
    else if (!state_->start_thread(index, false))
        lane.wake_spare.notify_all();
    if (lane.threads > 0) return;
    auto run = std::move(lane.queue.back().run);
    lane.queue.pop_back();
    lock.unlock();
    run();
}

std::size_t WorkPool::busy(Lane which) const {
    std::lock_guard lock(state_->mutex);
    auto const& lane = state_->lanes[static_cast<std::size_t>(which)];
    return lane.threads - lane.idle - lane.watching;
}

std::size_t WorkPool::queued(Lane which) const {
    std::lock_guard lock(state_->mutex);
    return state_->lanes[static_cast<std::size_t>(which)].queue.size();
}

}  // namespace execd
