#include "execd/init_program.hpp"

#include <signal.h>

#include <cerrno>
#include <cstdio>

#include "base/log.hpp"

namespace execd {

namespace {

constexpr auto kAfterKill = std::chrono::seconds(2);
constexpr int kNotStarted = 126;  // as a shell says it
constexpr int kNotFound = 127;

int status_of(shell::ExitStatus const& status) { return status.signaled ? 128 + status.value : status.value; }

}  // namespace

Task<void> InitProgram::run(std::vector<std::string> argv, shell::Environment const& environment) {
    shell::SpawnSpec spec;
    std::string const name = argv.front();
    spec.argv = std::move(argv);
    spec.env = environment.list();
    spec.fds = {{0, 0}, {1, 1}, {2, 2}};
    spec.group = shell::ProcessGroup::inherit;
    starting_ = true;
    auto started = co_await spawner_->spawn(std::move(spec));
    starting_ = false;
    started_.notify_all();
    if (!started) {
        std::fprintf(stderr, "execd: %s: %s\n", name.c_str(), started.error().to_error().message().c_str());
        status_ = started.error().error == ENOENT ? kNotFound : kNotStarted;
        co_return;
    }
    process_ = *started;
    log::info("init.program", {{"pid", process_->pid()}});
    if (pending_ != 0) (void)process_->signal(pending_);
    co_await end(Deadline::never());
}

void InitProgram::signal(int number) {
    pending_ = number;
    if (process_) (void)process_->signal(number);
}

Task<void> InitProgram::end(Deadline deadline) {
    while (starting_) {
        bool const told = co_await started_.wait(loop_->clock(), deadline);
        if (told) continue;
        status_ = kNotStarted;
        co_return;
    }
    if (!process_) co_return;
    bool ended = co_await process_->wait(deadline);
    if (!ended) {
        (void)process_->signal(SIGKILL);
        ended = co_await process_->wait(Deadline::in(loop_->clock(), kAfterKill));
    }
    if (ended) status_ = status_of(process_->status());
}

}  // namespace execd
