// Prints what a start costs through the executions against a raw blocking spawn, and what the journal costs
// against a raw pipe. Ratios count: both sides run alternately in one process.
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <cstdio>

#include "shell/channels.hpp"
#include "shell/clone_child.hpp"
#include "shell/executions.hpp"

namespace {

using namespace execd;
using namespace execd::shell;
using Steady = std::chrono::steady_clock;

double micros(Steady::time_point from) {
    return std::chrono::duration<double, std::micro>(Steady::now() - from).count();
}

void show(char const* name, std::vector<double> v) {
    std::sort(v.begin(), v.end());
    std::printf("%-44s p50 %8.0f us  p99 %8.0f us\n", name, v[v.size() / 2], v[v.size() * 99 / 100]);
}

SpawnSpec raw_spec(std::vector<std::string> argv) {
    SpawnSpec spec;
    spec.argv = std::move(argv);
    spec.env = {"PATH=/usr/bin:/bin"};
    return spec;
}

/// Two pipes, clone, read to the end, wait: what a program without a daemon would do.
std::size_t raw_run(SpawnSpec spec, CloneStack const& stack, std::vector<char>& buffer) {
    auto out = open_pipe(true);
    auto err = open_pipe(true);
    spec.fds = {{out->write.get(), 1}, {err->write.get(), 2}};
    auto const child = clone_child(spec, stack);
    out->write.reset();
    err->write.reset();
    std::size_t total = 0;
    for (int const fd : {out->read.get(), err->read.get()}) {
        ssize_t n = 0;
        while ((n = ::read(fd, buffer.data(), buffer.size())) > 0) total += static_cast<std::size_t>(n);
    }
    ::waitpid(child.pid, nullptr, 0);
    return total;
}

struct Daemon {
    asio::io_context io;
    RealClock clock{io};
    WorkPool pool;
    Loop loop{io, clock, pool};
    Reaper reaper{loop};
    Spawner spawner{loop, reaper};
    Executions executions{loop, spawner, nullptr};

    void drive(Task<void> task) {
        bool done = false;
        asio::co_spawn(io, std::move(task), [&done](std::exception_ptr) { done = true; });
        io.restart();
        while (!done) io.run_one();
    }
};

Task<void> execute(Daemon& daemon, std::vector<std::string> argv, std::size_t* total) {
    ExecutionSpec spec;
    spec.argv = std::move(argv);
    spec.env = {"PATH=/usr/bin:/bin"};
    auto run = co_await daemon.executions.start(std::move(spec));
    Cursor cursor = (*run)->journal().reader();
    Batch batch;
    while (true) {
        Next const next = co_await cursor.next(batch, Deadline::never());
        if (next != Next::data) break;
        *total += batch.bytes;
    }
}

Task<void> spawn_only(Daemon& daemon, double* took) {
    auto const start = Steady::now();
    SpawnSpec spec = raw_spec({"/bin/true"});
    auto process = co_await daemon.spawner.spawn(std::move(spec));
    *took = micros(start);
    co_await (*process)->wait(Deadline::never());
}

void latency(Daemon& daemon, int rounds) {
    CloneStack stack;
    std::vector<char> buffer(1 << 20);
    std::size_t total = 0;
    for (auto const& argv : {std::vector<std::string>{"/bin/true"}, {"/bin/bash", "-c", "true"}}) {
        std::vector<double> raw;
        std::vector<double> ours;
        for (int i = -20; i < rounds; ++i) {
            auto start = Steady::now();
            raw_run(raw_spec(argv), stack, buffer);
            if (i >= 0) raw.push_back(micros(start));
            start = Steady::now();
            daemon.drive(execute(daemon, argv, &total));
            if (i >= 0) ours.push_back(micros(start));
        }
        show(("raw blocking spawn, " + argv[0]).c_str(), raw);
        show(("execution, " + argv[0]).c_str(), ours);
    }
    std::vector<double> blocking;
    std::vector<double> threaded;
    for (int i = 0; i < rounds; ++i) {
        auto const start = Steady::now();
        auto const child = clone_child(raw_spec({"/bin/true"}), stack);
        blocking.push_back(micros(start));
        ::waitpid(child.pid, nullptr, 0);
        double took = 0;
        daemon.drive(spawn_only(daemon, &took));
        threaded.push_back(took);
    }
    show("the spawn alone: blocking", blocking);
    show("the spawn alone: through the thread", threaded);
}

void throughput(Daemon& daemon, char const* megabytes) {
    CloneStack stack;
    std::vector<char> buffer(1 << 20);
    std::vector<std::string> const argv{"/bin/dd", "if=/dev/zero", "bs=1M",
                                        std::string("count=") + megabytes};
    for (int i = 0; i < 3; ++i) {
        auto start = Steady::now();
        auto const raw = raw_run(raw_spec(argv), stack, buffer);
        std::printf("raw pipe   %8.0f MB/s\n", static_cast<double>(raw) / micros(start));
        start = Steady::now();
        std::size_t total = 0;
        daemon.drive(execute(daemon, argv, &total));
        std::printf("journal    %8.0f MB/s (%zu bytes)\n", static_cast<double>(total) / micros(start), total);
    }
}

}  // namespace

int main(int argc, char** argv) {
    int const rounds = argc > 1 ? std::atoi(argv[1]) : 500;
    Daemon daemon;
    latency(daemon, rounds);
    throughput(daemon, argc > 2 ? argv[2] : "1024");
    daemon.drive(daemon.executions.close(Deadline::in(daemon.clock, std::chrono::seconds(5))));
    return 0;
}
