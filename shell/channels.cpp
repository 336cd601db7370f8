#include "shell/channels.hpp"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>

#include "base/fault.hpp"

namespace execd::shell {

namespace {
constexpr int kPipeBytes = 1 << 20;
}

// May be refused (per-user limit on pipe memory): then it is 64 KiB.
void enlarge_pipe(int fd) { ::fcntl(fd, F_SETPIPE_SZ, kPipeBytes); }

Result<void> set_nonblocking(int fd) {
    int const flags = ::fcntl(fd, F_GETFL);
    if (flags < 0 || ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0) return fail_errno("fcntl", errno);
    return {};
}

Result<PipePair> open_pipe(bool large) {
    if (int const e = fault::hit("pipe")) return fail_errno("pipe", e);
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) return fail_errno("pipe", errno);
    PipePair pair{UniqueFd(ends[0]), UniqueFd(ends[1])};
    if (large) enlarge_pipe(ends[0]);
    return pair;
}

Result<TerminalPair> open_terminal(WindowSize size, std::optional<Identity> const& owner) {
    if (int const e = fault::hit("terminal")) return fail_errno("terminal", e);
    TerminalPair pair;
    pair.master.reset(::open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC));
    if (!pair.master) return fail_errno("terminal", errno, "/dev/ptmx");
    int const unlock = 0;
    if (::ioctl(pair.master.get(), TIOCSPTLCK, &unlock) != 0) return fail_errno("terminal", errno);
#ifndef TIOCGPTPEER
#define TIOCGPTPEER _IO('T', 0x41)
#endif
    // By descriptor: needs no /dev/pts path. Kernels before 4.13 know it by number only.
    pair.slave.reset(::ioctl(pair.master.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
    if (!pair.slave) {
        unsigned number = 0;
        if (::ioctl(pair.master.get(), TIOCGPTN, &number) != 0) return fail_errno("terminal", errno);
        std::string const path = "/dev/pts/" + std::to_string(number);
        pair.slave.reset(::open(path.c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC));
    }
    if (!pair.slave) return fail_errno("terminal", errno);
    winsize const window{size.rows, size.columns, 0, 0};
    ::ioctl(pair.slave.get(), TIOCSWINSZ, &window);
    termios mode{};
    if (::tcgetattr(pair.slave.get(), &mode) == 0) {
        mode.c_iflag |= IUTF8;  // backspace removes whole characters
        ::tcsetattr(pair.slave.get(), TCSANOW, &mode);
    }
    if (owner && ::fchown(pair.slave.get(), owner->uid, static_cast<gid_t>(-1)) != 0)
        return fail_errno("terminal", errno, "owner");
    return pair;
}

namespace {

Result<void> add_terminal(ExecutionSpec const& spec, Channels& out) {
    auto pair = open_terminal(*spec.terminal, spec.identity);
    if (!pair) return tl::unexpected(pair.error());
    if (auto r = set_nonblocking(pair->master.get()); !r) return r;
    UniqueFd writer(::fcntl(pair->master.get(), F_DUPFD_CLOEXEC, 3));
    if (!writer) return fail_errno("terminal", errno);
    for (int target = 0; target <= 2; ++target) out.map.push_back({pair->slave.get(), target});
    out.owned.push_back(std::move(pair->slave));
    out.outputs.push_back({Stream::tty, std::move(pair->master)});
    out.input = std::move(writer);
    return {};
}

Result<void> add_output(Channels& out, Stream stream, std::initializer_list<int> targets) {
    auto pair = open_pipe(false);  // most say little; the pump enlarges it for those who have more
    if (!pair) return tl::unexpected(pair.error());
    if (auto r = set_nonblocking(pair->read.get()); !r) return r;
    for (int const target : targets) out.map.push_back({pair->write.get(), target});
    out.owned.push_back(std::move(pair->write));
    out.outputs.push_back({stream, std::move(pair->read)});
    return {};
}

}  // namespace

Result<Channels> open_channels(ExecutionSpec const& spec) {
    Channels out;
    Result<void> done;
    if (spec.terminal) {
        done = add_terminal(spec, out);
    } else {
        done = spec.merge_output ? add_output(out, Stream::out, {1, 2}) : add_output(out, Stream::out, {1});
        if (done && !spec.merge_output) done = add_output(out, Stream::err, {2});
        if (done && spec.input != Input::null) {
            auto pair = open_pipe(false);
            if (pair) done = set_nonblocking(pair->write.get());
            if (!pair) done = tl::unexpected(pair.error());
            if (done) {
                out.map.push_back({pair->read.get(), 0});
                out.owned.push_back(std::move(pair->read));
                out.input = std::move(pair->write);
            }
        }
    }
    if (!done) return tl::unexpected(done.error());
    return out;
}

}  // namespace execd::shell
