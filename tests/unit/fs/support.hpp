#pragma once
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <exception>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>
#include <thread>

#include "base/clock.hpp"
#include "base/loop.hpp"
#include "base/scope.hpp"
#include "base/work_pool.hpp"
#include "fs/executor.hpp"

namespace execd::fs::testing {

/// A directory that goes away with the test.
class TempDir {
  public:
    explicit TempDir(std::string const& base = ::testing::TempDir()) {
        std::string name = base + "fs-test-XXXXXX";
        EXPECT_NE(::mkdtemp(name.data()), nullptr);
        path_ = name;
    }
    ~TempDir() {
        std::error_code ec;
        std::filesystem::remove_all(path_, ec);
    }
    TempDir(TempDir const&) = delete;
    TempDir& operator=(TempDir const&) = delete;
    [[nodiscard]] std::string const& path() const { return path_; }
    [[nodiscard]] std::string operator/(std::string const& name) const { return path_ + "/" + name; }
    [[nodiscard]] std::size_t entries() const {
        std::size_t n = 0;
        for ([[maybe_unused]] auto const& e : std::filesystem::directory_iterator(path_)) ++n;
        return n;
    }

  private:
    std::string path_;
};

inline void put(std::string const& path, std::string const& content) {
    std::ofstream(path, std::ios::binary) << content;
}
inline std::string get(std::string const& path) {
    std::ifstream in(path, std::ios::binary);
    std::ostringstream out;
    out << in.rdbuf();
    return out.str();
}
inline unsigned mode_of(std::string const& path) {
    struct ::stat stat {};
    return ::lstat(path.c_str(), &stat) == 0 ? stat.st_mode & 07777U : 0;
}

/// A reactor that runs until one coroutine is done.
class Reactor {
  public:
    template <class T>
    T run(Task<T> task) {
        std::optional<T> out;
        scope.spawn("test", keep(std::move(task), out));
        io.restart();
        while (!out && io.run_one() > 0) {
        }
        EXPECT_TRUE(out.has_value());
        while (scope.running() > 0 && io.run_one() > 0) {
        }
        return std::move(*out);
    }
    /// Whether the pool has something to do. What waits is asked first: work goes from waiting to running,
    /// and would be missed in between.
    [[nodiscard]] bool at_work() const {
        for (auto const lane : {Lane::metadata, Lane::bulk, Lane::search}) {
            if (pool.queued(lane) > 0) return true;
            if (pool.busy(lane) > 0) return true;
        }
        return false;
    }
    /// Runs what is left: discards, completions. Not to the end of every timer.
    void settle() {
        for (bool working = true; working; std::this_thread::yield()) {
            working = at_work();  // looked at first: what ended since has posted
            io.restart();
            working = io.poll() > 0 || working;
        }
    }

    asio::io_context io;
    RealClock clock{io};
    WorkPool pool;
    Loop loop{io, clock, pool};
    Scope scope{loop, "test"};
    Executor files{loop};

  private:
    template <class T>
    static Task<void> keep(Task<T> task, std::optional<T>& out) {
        out.emplace(co_await std::move(task));
    }
};

}  // namespace execd::fs::testing
