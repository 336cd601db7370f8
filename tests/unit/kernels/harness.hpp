// What the kernel tests stand on: a reactor with the shell room, real kernels found the way users have them.
#pragma once
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>

#include "base/ids.hpp"
#include "kernels/contexts.hpp"

extern char** environ;

namespace execd::kernels {

/// The Python that has ipykernel and bash_kernel (tests/requirements.txt): EXECD_TEST_PYTHON, else that of
/// the environments that scripts/deps makes, else the one that JUPYTER_PATH leads to, else python3 on PATH. A
/// test without any fails, it does not skip.
inline std::string test_python() {
    auto const value = [](char const* name) {
        char const* const text = std::getenv(name);
        return std::string(text == nullptr ? "" : text);
    };
    if (auto named = value("EXECD_TEST_PYTHON"); !named.empty()) return named;
    for (char const* name : {"EXECD_TEST_VENV", "EXECD_VENV"})
        if (auto const venv = value(name); !venv.empty()) return venv + "/bin/python3";
    if (auto const data = value("JUPYTER_PATH"); !data.empty()) {  // <prefix>/share/jupyter
        auto const prefix = std::filesystem::path(data.substr(0, data.find(':'))).parent_path().parent_path();
        if (std::filesystem::exists(prefix / "bin/python3")) return prefix / "bin/python3";
    }
    return find_executable("python3", {{"PATH", value("PATH")}});
}

/// The environment of the tests' kernels: the process's own, with the test Python first on PATH.
inline Env test_env() {
    Env env;
    for (char** each = environ; *each != nullptr; ++each) {
        std::string_view const text(*each);
        auto const equals = text.find('=');
        if (equals != std::string_view::npos)
            env[std::string(text.substr(0, equals))] = text.substr(equals + 1);
    }
    auto const bin = std::filesystem::path(test_python()).parent_path().string();
    env["PATH"] = bin + ":" + env["PATH"];
    // A sanitizer's run-time options are for us, not for Python.
    env.erase("LD_PRELOAD");
    return env;
}

class TempFolder {
  public:
    TempFolder() : path_(std::filesystem::temp_directory_path() / ("execd-test-" + random_hex(6))) {
        std::filesystem::create_directories(path_);
    }
    ~TempFolder() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    [[nodiscard]] std::string path() const { return path_.string(); }
    void write(std::string const& name, std::string const& text) const {
        std::filesystem::create_directories((path_ / name).parent_path());
        std::ofstream(path_ / name) << text;
    }

  private:
    std::filesystem::path path_;
};

/// testing::Test has a member of the same name.
using RunPtr = std::shared_ptr<Run>;

class KernelTest : public ::testing::Test {
  protected:
    explicit KernelTest(Contexts::Options options, shell::Executions::Options executions = {})
        : executions_(loop_, spawner_, std::make_shared<shell::SpillStore>(), std::move(executions)),
          contexts_(loop_, executions_, reaper_, std::move(options)) {}

    ~KernelTest() override {
        run(contexts_.close(in(20)));
        run(executions_.close(in(20)));
        while (scope_.running() > 0)
            if (io_.run_one() == 0) io_.restart();
    }

    [[nodiscard]] Deadline in(int seconds) const {
        return Deadline::in(clock_, std::chrono::seconds(seconds));
    }

    template <class T>
    T run(Task<T> task) {
        if constexpr (std::is_void_v<T>) {
            bool done = false;
            scope_.spawn("test", keep(std::move(task), &done));
            pump(done);
        } else {
            std::optional<T> out;
            bool done = false;
            scope_.spawn("test", keep_value(std::move(task), &out, &done));
            pump(done);
            return std::move(*out);
        }
    }

    std::shared_ptr<Context> make(ContextSpec spec = {}) {
        auto made = run(contexts_.create(std::move(spec)));
        // Without ipykernel nothing here can be tested, and that must not look like a pass.
        if (!made) throw std::runtime_error("no context: " + made.error().message());
        return *made;
    }
    RunPtr submit(std::shared_ptr<Context> const& context, RunSpec spec) {
        auto run_ = context->submit(std::move(spec));
        if (!run_) throw std::runtime_error("no run: " + run_.error().message());
        return *run_;
    }
    /// Runs to the end.
    RunPtr exec_spec(std::shared_ptr<Context> const& context, RunSpec spec) {
        auto run_ = submit(context, std::move(spec));
        EXPECT_TRUE(run(run_->wait(clock_, in(60)))) << "the run did not end";
        return run_;
    }
    RunPtr exec(std::shared_ptr<Context> const& context, std::string code) {
        return exec_spec(context, RunSpec{.code = std::move(code)});
    }
    /// Waits until `ready` holds, looking at each notification of `event`. The first look is the waiting
    /// coroutine's own: none can be missed in between.
    bool until(Event& event, std::function<bool()> ready, int seconds = 20) {
        return run(wait_until(event, clock_, in(seconds), std::move(ready)));
    }
    /// Waits until the run's log has an output that `match` likes.
    template <class Match>
    bool wait_output(RunPtr const& run_, Match match) {
        for (std::uint64_t from = 0;;) {
            auto const page = run_->log().read(from);
            for (auto const& entry : page.entries)
                if (match(*entry.output)) return true;
            from = page.next;
            if (page.end || !run(run_->log().wait(from, clock_, in(30)))) return false;
        }
    }

    static std::string text(RunPtr const& run_, bool stderr_too = false) {
        std::string out;
        for (std::uint64_t from = 0;;) {
            auto const page = run_->log().read(from);
            for (auto const& entry : page.entries)
                if (auto const* stream = std::get_if<StreamText>(entry.output.get()))
                    if (!stream->is_stderr || stderr_too) out += stream->text;
            from = page.next;
            if (page.entries.empty()) return out;
        }
    }
    template <class T>
    static std::vector<T> all(RunPtr const& run_) {
        std::vector<T> out;
        for (std::uint64_t from = 0;;) {
            auto const page = run_->log().read(from);
            for (auto const& entry : page.entries)
                if (auto const* each = std::get_if<T>(entry.output.get())) out.push_back(*each);
            from = page.next;
            if (page.entries.empty()) return out;
        }
    }
    static std::string result(RunPtr const& run_) {
        auto const results = all<ExecuteResult>(run_);
        return results.empty() ? std::string() : text_of(results.back().data, "text/plain");
    }

  private:
    static Task<bool> wait_until(Event& event, Clock& clock, Deadline deadline, std::function<bool()> ready) {
        while (!ready()) {
            bool const told = co_await event.wait(clock, deadline);
            if (!told) co_return ready();
        }
        co_return true;
    }
    template <class T>
    static Task<void> keep_value(Task<T> task, std::optional<T>* out, bool* done) {
        out->emplace(co_await std::move(task));
        *done = true;
    }
    template <class T>
    static Task<void> keep(Task<T> task, bool* done) {
        co_await std::move(task);
        *done = true;
    }
    void pump(bool const& done) {
        if (io_.stopped()) io_.restart();
        while (!done)
            if (io_.run_one() == 0) io_.restart();
    }

  public:
    asio::io_context io_;
    RealClock clock_{io_};
    WorkPool pool_;
    Loop loop_{io_, clock_, pool_};
    shell::Reaper reaper_{loop_};
    shell::Spawner spawner_{loop_, reaper_};
    shell::Executions executions_;
    Contexts contexts_;
    Scope scope_{loop_, "test"};
};

}  // namespace execd::kernels
