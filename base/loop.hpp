// Loop: the reactor and what belongs to it, handed to everything that lives on it. One thread runs `io`;
// everything that may block runs on `pool`.
#pragma once
#include <boost/asio/io_context.hpp>

#include <thread>

#include "base/clock.hpp"
#include "base/work_pool.hpp"

namespace execd {

class Loop {
  public:
    Loop(asio::io_context& io, Clock& clock, WorkPool& pool) : io_(&io), clock_(&clock), pool_(&pool) {}
    Loop(Loop const&) = delete;
    Loop& operator=(Loop const&) = delete;

    [[nodiscard]] asio::io_context& io() const { return *io_; }
    [[nodiscard]] Executor executor() const { return io_->get_executor(); }
    [[nodiscard]] Clock& clock() const { return *clock_; }
    [[nodiscard]] WorkPool& pool() const { return *pool_; }

    /// Remembers the calling thread as the reactor's, for on_loop().
    void bind_thread() { thread_ = std::this_thread::get_id(); }
    [[nodiscard]] bool on_loop() const { return thread_ == std::this_thread::get_id(); }

  private:
    asio::io_context* io_;
    Clock* clock_;
    WorkPool* pool_;
    std::thread::id thread_ = std::this_thread::get_id();
};

}  // namespace execd
