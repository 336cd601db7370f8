#include "shell/spawner.hpp"

#include <pthread.h>

#include <boost/asio/async_result.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "base/signals.hpp"

namespace execd::shell {

struct Spawner::State {
    struct Job {
        SpawnSpec spec;
        std::function<void(CloneResult)> done;
    };
    std::mutex mutex;
    std::condition_variable wake;
    std::deque<Job> jobs;
    std::size_t pending = 0;
    bool stopping = false;
    CloneStack stack;
    std::thread thread;

    void run() {
        std::unique_lock lock(mutex);
        while (true) {
            wake.wait(lock, [this] { return stopping || !jobs.empty(); });
            if (jobs.empty()) return;
            Job job = std::move(jobs.front());
            jobs.pop_front();
            lock.unlock();
            CloneResult const result = clone_child(job.spec, stack);
            // The child's ends of its pipes must be closed before the reactor waits for their end.
            job.spec.owned.clear();
            job.done(result);
            job = Job();
            lock.lock();
            --pending;
        }
    }
};

Spawner::Spawner(Loop& loop, Reaper& reaper)
    : loop_(&loop), reaper_(&reaper), state_(std::make_unique<State>()) {
    BlockAllSignals const
        blocked;  // no handler of the daemon ever runs on it, nor in the child that borrows it
    state_->thread = std::thread([state = state_.get()] {
        pthread_setname_np(pthread_self(), "execd-spawn");
        state->run();
    });
}

Spawner::~Spawner() {
    {
        std::lock_guard const lock(state_->mutex);
        state_->stopping = true;
    }
    state_->wake.notify_one();
    state_->thread.join();
}

void Spawner::submit(SpawnSpec spec, std::function<void(CloneResult)> done) {
    {
        std::lock_guard const lock(state_->mutex);
        state_->jobs.push_back({std::move(spec), std::move(done)});
        ++state_->pending;
    }
    state_->wake.notify_one();
}

std::size_t Spawner::queued() const {
    std::lock_guard const lock(state_->mutex);
    return state_->pending;
}

Task<tl::expected<std::shared_ptr<Process>, SpawnFailure>> Spawner::spawn(SpawnSpec spec) {
    Reaper::Flight flight(*reaper_);
    CloneResult result;  // in this frame, which stays suspended until the thread is done
    auto const executor = loop_->executor();
    co_await asio::async_initiate<decltype(kUseTask), void()>(
        [this, executor, &spec, &result](auto handler) {
            auto shared = std::make_shared<decltype(handler)>(std::move(handler));
            submit(std::move(spec),
                   [executor, shared = std::move(shared), guard = asio::make_work_guard(executor),
                    &result](CloneResult const& outcome) mutable {
                       result = outcome;
                       asio::post(executor, [shared = std::move(shared)] { std::move (*shared)(); });
                   });
        },
        kUseTask);
    if (result.failure.step != Step::none)
        co_return tl::unexpected(result.failure);  // its zombie is an orphan
    auto process = reaper_->adopt(result.pid);
    co_return process;
}

}  // namespace execd::shell
