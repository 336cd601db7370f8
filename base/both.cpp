#include "base/both.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/experimental/parallel_group.hpp>

namespace execd {

Task<void> both(Task<void> a, Task<void> b) {
    auto executor = co_await asio::this_coro::executor;
    auto [order, first, second] = co_await asio::experimental::make_parallel_group(
                                      asio::co_spawn(executor, std::move(a), asio::deferred),
                                      asio::co_spawn(executor, std::move(b), asio::deferred))
                                      .async_wait(asio::experimental::wait_for_all(), kUseTask);
    if (first) std::rethrow_exception(first);
    if (second) std::rethrow_exception(second);
}

}  // namespace execd
