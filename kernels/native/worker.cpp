#include "kernels/native/worker.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <stdexcept>

#include "base/ids.hpp"

namespace execd::kernels::native {

namespace {

constexpr int kFirstFree = 32;  // the child's own descriptors are below it

[[noreturn]] void fail_with(char const* what) {
    throw std::runtime_error(std::string(what) + ": " + errno_text(errno));
}

}  // namespace

Pipe make_pipe(bool we_read) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) fail_with("pipe");
    Pipe out{UniqueFd(ends[0]), UniqueFd(ends[1])};
    int const ours = we_read ? ends[0] : ends[1];
    ::fcntl(ours, F_SETFL, ::fcntl(ours, F_GETFL) | O_NONBLOCK);
    return out;
}

bool write_all(int fd, std::string_view bytes) {
    while (!bytes.empty()) {
        ssize_t const n = ::write(fd, bytes.data(), bytes.size());
        if (n >= 0) {
            bytes.remove_prefix(static_cast<std::size_t>(n));
            continue;
        }
        if (errno == EINTR) continue;
        if (errno != EAGAIN) return false;
        pollfd room{fd, POLLOUT, 0};
        (void)::poll(&room, 1, 1000);
    }
    return true;
}

UniqueFd scratch_file() {
    UniqueFd fd(::memfd_create("execd-cell", MFD_CLOEXEC));
    if (fd) return fd;
    std::string path = "/tmp/.execd-cell-" + random_hex(8);
    fd.reset(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (!fd) fail_with("a file for the source of a cell");
    ::unlink(path.c_str());
    return fd;
}

Worker::~Worker() { kill_all(); }

void Worker::kill_all() {
    if (pid_ <= 0) return;
    ::kill(-pid_, SIGKILL);
    ::kill(pid_, SIGKILL);
    while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
}

void Worker::interrupt() {
    if (!busy_ || !is_cell_) return;
    ++interrupts_;
    if (begun_) press();
}

void Worker::begun() {
    begun_ = true;
    if (interrupts_ > 0) press();
}

void Worker::press() {
    if (pid_ > 0) ::kill(-pid_, SIGINT);
}

void Worker::spawn(Child const& child) {
    std::vector<std::string> environment;
    for (char** each = environ; *each != nullptr; ++each) {
        std::string_view const text(*each);
        bool replaced = false;
        for (auto const& [name, value] : child.env)
            replaced = replaced || (text.starts_with(name) && text.substr(name.size()).starts_with('='));
        if (!replaced) environment.emplace_back(text);
    }
    for (auto const& [name, value] : child.env) environment.push_back(name + "=" + value);
    std::vector<char*> envp, argv;
    for (auto& each : environment) envp.push_back(each.data());
    envp.push_back(nullptr);
    auto words = child.argv;
    for (auto& each : words) argv.push_back(each.data());
    argv.push_back(nullptr);
    std::vector<std::pair<int, int>> const fds = child.fds;
    pid_t const host = ::getpid();
    pid_t const pid = ::fork();
    if (pid < 0) fail_with("fork");
    if (pid == 0) {
        // Between fork and exec: system calls only.
        ::setpgid(0, 0);
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (::getppid() != host) ::_exit(127);
        ::signal(SIGINT, SIG_DFL);
        ::signal(SIGPIPE, SIG_DFL);
        ::signal(SIGCHLD, SIG_DFL);
        sigset_t none;
        sigemptyset(&none);
        ::sigprocmask(SIG_SETMASK, &none, nullptr);
        int lifted[16];
        for (std::size_t i = 0; i < fds.size(); ++i)
            lifted[i] = ::fcntl(fds[i].first, F_DUPFD_CLOEXEC, kFirstFree);
        for (std::size_t i = 0; i < fds.size(); ++i) ::dup2(lifted[i], fds[i].second);
        ::execve(child.program.c_str(), argv.data(), envp.data());
        ::_exit(126);
    }
    ::setpgid(pid, pid);
    pid_ = pid;
}

bool Worker::reap() {
    if (pid_ <= 0) return true;
    int status = 0;
    pid_t const got = ::waitpid(pid_, &status, WNOHANG);
    if (got == 0 || (got < 0 && errno == EINTR)) return false;
    pid_ = -1;
    Ending how;
    if (got < 0) {
        how = {"it ended", 1};
    } else if (WIFSIGNALED(status)) {
        char const* const name = ::sigabbrev_np(WTERMSIG(status));
        how = {"it was ended by SIG" + std::string(name == nullptr ? "?" : name), 128 + WTERMSIG(status)};
    } else {
        how = {"it ended with exit status " + std::to_string(WEXITSTATUS(status)), WEXITSTATUS(status)};
    }
    ended_ = std::move(how);
    return true;
}

}  // namespace execd::kernels::native
