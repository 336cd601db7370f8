// WorkPool: threads for work that may block (files, walks, hashing, sendfile). Lanes keep kinds of work
// apart, so that a bulk transfer cannot hold up a stat; each lane starts its threads when it first has work
// and ends idle ones.
//
// Thread: run() is awaited on the reactor; the function runs on a lane's thread and must touch nothing of the
// reactor.
#pragma once
#include <boost/asio/async_result.hpp>
#include <boost/asio/post.hpp>

#include <chrono>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <type_traits>

#include "base/error.hpp"
#include "base/task.hpp"

namespace execd {

enum class Lane { metadata, bulk, search };
inline constexpr std::size_t kLanes = 3;

class WorkPool {
  public:
    struct Options {
        /// Threads per lane. A lane whose threads are all stuck (a dead mount, a FIFO) grows by up to `spare`
        /// more: they only take work that has waited for `stuck_after`.
        std::size_t threads_per_lane = 2;
        std::size_t spare = 6;
        std::chrono::nanoseconds stuck_after = std::chrono::milliseconds(100);
    };
    WorkPool();
    explicit WorkPool(Options options);
    /// Waits for running work (at most 2 s: what is stuck in the kernel is left behind), drops queued work.
    ~WorkPool();
    WorkPool(WorkPool const&) = delete;
    WorkPool& operator=(WorkPool const&) = delete;

    /// Queues `work`, which must not throw. Thread: any. Where no thread can be started at all (the
    /// container's process limit) `work` runs in the caller: slow is better than never.
    void submit(Lane lane, std::function<void()> work);

    /// Runs `work` on the lane and comes back to the reactor with its value; what `work` throws is thrown
    /// there. The wait cannot be cancelled midway (the thread uses the closure's state): long work must look
    /// at a flag of its own.
    template <class Work>
    [[nodiscard]] Task<std::invoke_result_t<Work>> run(Lane lane, Work work);

    [[nodiscard]] std::size_t busy(Lane lane) const;
    [[nodiscard]] std::size_t queued(Lane lane) const;

  private:
    struct State;
    std::shared_ptr<State> state_;
};

template <class Work>
Task<std::invoke_result_t<Work>> WorkPool::run(Lane lane, Work work) {
    using T = std::invoke_result_t<Work>;
    static_assert(!std::is_void_v<T>, "return a Result<void> or a value");
    std::exception_ptr thrown;
    std::optional<T> out;  // in this coroutine's frame: it stays suspended until the thread is done with it
    auto executor = co_await asio::this_coro::executor;
    co_await asio::async_initiate<decltype(kUseTask), void()>(
        [this, lane, executor, &work, &out, &thrown](auto handler) {
            // The handler is move-only; std::function wants a copyable closure.
            auto shared = std::make_shared<decltype(handler)>(std::move(handler));
            auto guard = asio::make_work_guard(executor);
            submit(lane, [executor, shared = std::move(shared), guard = std::move(guard), &work, &out,
                          &thrown]() mutable {
                try {
                    out.emplace(work());
                } catch (...) {
                    thrown = std::current_exception();
                }
                // Moved, so that the coroutine is never ended by this thread.
                asio::post(executor, [shared = std::move(shared)] { std::move (*shared)(); });
            });
        },
        kUseTask);
    if (thrown) std::rethrow_exception(thrown);
    co_return std::move(*out);
}

}  // namespace execd
