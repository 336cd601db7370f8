// A reactor in virtual time for tests: nothing moves but by settle() and advance().
#pragma once
#include <gtest/gtest.h>

#include "base/log.hpp"
#include "base/loop.hpp"
#include "base/scope.hpp"

namespace execd {

class VirtualLoop : public testing::Test {
  protected:
    asio::io_context io_{1};
    VirtualClock clock_{io_};
    WorkPool pool_{WorkPool::Options{2, 2, std::chrono::milliseconds(1)}};
    Loop loop_{io_, clock_, pool_};

    /// Runs the reactor until `done` holds: for work that another thread finishes.
    template <class Done>
    bool run_until(Done done, std::chrono::seconds limit = std::chrono::seconds(20)) {
        auto const end = std::chrono::steady_clock::now() + limit;
        while (!done()) {
            io_.restart();
            auto const guard = asio::make_work_guard(io_);
            io_.run_one_for(std::chrono::milliseconds(100));
            if (std::chrono::steady_clock::now() > end) return false;
        }
        return true;
    }
    /// Cancels what runs in `scope` and waits for it.
    static Task<void> close_into(Scope* scope, Deadline deadline, std::vector<std::string>* left,
                                 bool* closed) {
        *left = co_await scope->close(deadline);
        *closed = true;
    }
    std::vector<std::string> close(Scope& scope, Duration patience = std::chrono::seconds(1)) {
        Scope helper(loop_, "test.closer");
        std::vector<std::string> left;
        bool closed = false;
        helper.spawn("close", close_into(&scope, Deadline::in(clock_, patience), &left, &closed));
        clock_.settle();
        if (!closed) clock_.advance(patience);
        EXPECT_TRUE(closed);
        return left;
    }
};

/// What was logged while this lives.
class CaughtLog {
  public:
    CaughtLog() {
        lines().clear();
        log::set_test_sink([](std::string_view line) { lines().emplace_back(line); });
    }
    ~CaughtLog() { log::set_test_sink(nullptr); }
    static std::vector<std::string>& lines() {
        static std::vector<std::string> kept;
        return kept;
    }
    static std::size_t count(std::string_view text) {
        std::size_t n = 0;
        for (auto const& line : lines()) n += line.find(text) != std::string::npos ? 1 : 0;
        return n;
    }
};

}  // namespace execd
