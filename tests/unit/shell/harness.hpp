// A reactor with everything of the shell room on it, for tests with real processes. Waits are by events under
// a deadline on the real clock.
#pragma once
#include <gtest/gtest.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <stdexcept>
#include <string>

#include "base/clock.hpp"
#include "base/loop.hpp"
#include "base/scope.hpp"
#include "shell/executions.hpp"
#include "shell/reaper.hpp"
#include "shell/spawner.hpp"

namespace execd::shell {

using namespace std::chrono_literals;

class Harness {
  public:
    explicit Harness(std::shared_ptr<SpillStore> store = nullptr, Executions::Options options = {})
        : executions(loop, spawner, std::move(store), options) {}
    ~Harness() {
        if (!closed_) run(executions.close(Deadline::in(clock, 5s)));
    }

    /// Runs a coroutine to its end (20 s at most) and returns its value.
    template <class T>
    T run(Task<T> task) {
        std::optional<T> out;
        drive(keep(std::move(task), &out));
        EXPECT_TRUE(out.has_value()) << "timed out";
        if (!out) throw std::runtime_error("see the failure above");
        return std::move(*out);
    }
    void run(Task<void> task) { drive(std::move(task)); }

    [[nodiscard]] Deadline soon() { return Deadline::in(clock, 15s); }

    ExecutionSpec shell(std::string text) {
        ExecutionSpec spec;
        spec.argv = {"/bin/bash", "-c", std::move(text)};
        spec.env = {"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/tmp"};
        return spec;
    }
    std::shared_ptr<Execution> start(ExecutionSpec spec) {
        auto started = run(executions.start(std::move(spec)));
        EXPECT_TRUE(started.has_value()) << (started ? "" : started.error().message());
        if (!started) throw std::runtime_error("see the failure above");
        return *started;
    }
    std::shared_ptr<Execution> start(std::string text) { return start(shell(std::move(text))); }
    Verdict verdict(std::shared_ptr<Execution> const& execution) {
        EXPECT_TRUE(run(execution->ended(soon())));
        if (!execution->verdict()) throw std::runtime_error("see the failure above");
        return *execution->verdict();
    }
    std::string read(Execution& execution, ReadFrom from = {}) {
        return run(collect(execution.journal().reader(from), soon()));
    }
    std::string read(Execution& execution, Stream stream) {
        return read(execution, ReadFrom{.streams = mask_of(stream)});
    }
    static Task<std::string> collect(Cursor cursor, Deadline deadline) {
        std::string out;
        Batch batch;
        for (; co_await cursor.next(batch, deadline) == Next::data;)
            for (auto const& slice : batch.slices) {
                if (slice.lost > 0) out += "<lost " + std::to_string(slice.lost) + ">";
                out += slice.bytes;
            }
        EXPECT_TRUE(cursor.at_end()) << "timed out";
        co_return out;
    }

    asio::io_context io;
    RealClock clock{io};
    WorkPool pool;
    Loop loop{io, clock, pool};
    Reaper reaper{loop};
    Spawner spawner{loop, reaper};
    Executions executions;

  private:
    template <class T>
    static Task<void> keep(Task<T> task, std::optional<T>* out) {
        out->emplace(co_await std::move(task));
    }
    void drive(Task<void> task) {
        bool done = false;
        std::exception_ptr error;
        asio::co_spawn(io, std::move(task), [&](std::exception_ptr e) {
            done = true;
            error = e;
        });
        io.restart();
        auto const until = std::chrono::steady_clock::now() + 20s;
        while (!done && std::chrono::steady_clock::now() < until) io.run_one_until(until);
        EXPECT_TRUE(done) << "timed out";
        if (error) std::rethrow_exception(error);
    }
    bool closed_ = false;
};

}  // namespace execd::shell
