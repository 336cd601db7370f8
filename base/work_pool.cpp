#include "base/work_pool.hpp"

#include <pthread.h>

#include <array>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "base/signals.hpp"

namespace execd {

namespace {
constexpr auto kIdleEnd = std::chrono::seconds(30);
}

struct WorkPool::State {
    struct LaneState {
        std::deque<std::function<void()>> queue;
        std::condition_variable wake;
        std::size_t threads = 0;
        std::size_t idle = 0;
    };
    explicit State(Options o) : options(o) {}
    Options options;
    mutable std::mutex mutex;
    std::condition_variable ended;
    std::array<LaneState, kLanes> lanes;
    bool stopping = false;

    void work(std::size_t index) {
        LaneState& lane = lanes[index];
        std::unique_lock lock(mutex);
        while (!stopping) {
            if (lane.queue.empty()) {
                ++lane.idle;
                bool const woken =
                    lane.wake.wait_for(lock, kIdleEnd, [&] { return stopping || !lane.queue.empty(); });
                --lane.idle;
                if (!woken) break;
                continue;
            }
            auto job = std::move(lane.queue.front());
            lane.queue.pop_front();
            lock.unlock();
            job();
            job = nullptr;  // its closure may own things: end them without the lock
            lock.lock();
        }
        --lane.threads;
        ended.notify_all();
    }
};

WorkPool::WorkPool() : WorkPool(Options()) {}
WorkPool::WorkPool(Options options) : state_(std::make_shared<State>(options)) {}

WorkPool::~WorkPool() {
    std::unique_lock lock(state_->mutex);
    state_->stopping = true;
    for (auto& lane : state_->lanes) lane.wake.notify_all();
    // A thread stuck in the kernel (a dead mount) would hold us for ever: it keeps the state alive by itself.
    state_->ended.wait_for(lock, std::chrono::seconds(2), [&] {
        for (auto const& lane : state_->lanes)
            if (lane.threads > 0) return false;
        return true;
    });
    for (auto& lane : state_->lanes) lane.queue.clear();
}

void WorkPool::submit(Lane which, std::function<void()> job) {
    auto const index = static_cast<std::size_t>(which);
    std::lock_guard lock(state_->mutex);
    auto& lane = state_->lanes[index];
    lane.queue.push_back(std::move(job));
    std::size_t const limit = state_->options.threads_per_lane + state_->options.spare;
    bool const starved = lane.idle < lane.queue.size();
    // Up to the normal number at once; beyond it only when the queue shows that the normal ones are stuck.
    if (starved && (lane.threads < state_->options.threads_per_lane ||
                    (lane.threads < limit && lane.queue.size() > 8 * lane.threads))) {
        ++lane.threads;
        BlockAllSignals const blocked;  // signals are the reactor's
        std::thread([state = state_, index] {
            pthread_setname_np(pthread_self(), "execd-work");
            state->work(index);
        }).detach();
    } else {
        lane.wake.notify_one();
    }
}

std::size_t WorkPool::busy(Lane which) const {
    std::lock_guard lock(state_->mutex);
    auto const& lane = state_->lanes[static_cast<std::size_t>(which)];
    return lane.threads - lane.idle;
}

std::size_t WorkPool::queued(Lane which) const {
    std::lock_guard lock(state_->mutex);
    return state_->lanes[static_cast<std::size_t>(which)].queue.size();
}

}  // namespace execd
