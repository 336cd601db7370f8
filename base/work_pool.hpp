// WorkPool: threads for work that may block (files, walks, hashing, sendfile). Lanes keep kinds of work apart, so that
// a bulk transfer cannot hold up a stat; each lane starts its threads when it first has work and ends idle ones.
//
// Thread: run() is awaited on the reactor; the function runs on a lane's thread and must touch nothing of the reactor.
#pragma once
#include <boost/asio/async_result.hpp>
#include <boost/asio/post.hpp>

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
        /// Threads per lane; a lane whose threads are all stuck (a dead mount) grows by `spare` more.
        std::size_t threads_per_lane = 2;
        std::size_t spare = 6;
    };
    WorkPool();
    explicit WorkPool(Options options);
    /// Waits for running work, drops queued work.
    ~WorkPool();
    WorkPool(WorkPool const&) = delete;
    WorkPool& operator=(WorkPool const&) = delete;

    void submit(Lane lane, std::function<void()> work);

    /// Runs `work` on the lane and comes back to the reactor with its value. The wait cannot be cancelled midway (the
    /// thread uses the closure's state): long work must look at a flag of its own.
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
    std::optional<T> out;  // in this coroutine's frame: it stays suspended until the thread is done with it
    auto executor = co_await asio::this_coro::executor;
    co_await asio::async_initiate<decltype(kUseTask), void()>(
        [this, lane, executor, &work, &out](auto handler) {
            // The handler is move-only; std::function wants a copyable closure.
            auto shared = std::make_shared<decltype(handler)>(std::move(handler));
            submit(lane, [executor, shared, guard = asio::make_work_guard(executor), &work, &out]() mutable {
                out.emplace(work());
                asio::post(executor, [shared] { std::move (*shared)(); });
            });
        },
        kUseTask);
    co_return std::move(*out);
}

}  // namespace execd
