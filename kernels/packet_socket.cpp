#include "kernels/packet_socket.hpp"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace execd::kernels {

namespace {
constexpr std::size_t kMaxPacket = 64 << 10;
constexpr std::size_t kMaxFds = 4;
}  // namespace

PacketSocket::PacketSocket(Loop& loop, UniqueFd fd)
    : loop_(&loop), fd_(std::make_unique<Descriptor>(loop.io(), fd.release())) {}

Result<PacketSocket::Pair> PacketSocket::make_pair(Loop& loop) {
    std::array<int, 2> fds{};
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds.data()) != 0)
        return fail_errno("zygote.socket", errno);
    UniqueFd ours(fds[0]);
    UniqueFd theirs(fds[1]);
    return Pair{PacketSocket(loop, std::move(ours)), std::move(theirs)};
}

Result<void> PacketSocket::send(Json const& value, std::span<int const> fds) {
    std::string text = dump_json(value);
    iovec part{text.data(), text.size()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * kMaxFds)> rights{};
    if (!fds.empty()) {
        message.msg_control = rights.data();
        message.msg_controllen = CMSG_SPACE(sizeof(int) * fds.size());
        cmsghdr* const header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int) * fds.size());
        std::memcpy(CMSG_DATA(header), fds.data(), sizeof(int) * fds.size());
    }
    if (::sendmsg(fd_->native_handle(), &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) return {};
    if (errno == EMSGSIZE) return fail(Code::too_large, "zygote.send", "the environment is too large");
    if (errno == EAGAIN) return fail(Code::exhausted, "zygote.send", "the zygote does not read");
    if (errno == EPIPE || errno == ECONNRESET) return fail(Code::gone, "zygote.send", "the zygote has ended");
    return fail_errno("zygote.send", errno);
}

Task<Result<Json>> PacketSocket::receive(Deadline deadline) {
    for (;;) {
        std::array<char, kMaxPacket> buffer;
        auto const n = ::recv(fd_->native_handle(), buffer.data(), buffer.size(), MSG_DONTWAIT);
        if (n > 0) co_return parse_json({buffer.data(), static_cast<std::size_t>(n)});
        if (n == 0) co_return fail(Code::gone, "zygote.receive", "the process has ended");
        if (errno != EAGAIN && errno != EINTR) co_return fail_errno("zygote.receive", errno);
        if (deadline.passed(loop_->clock())) co_return fail(Code::timed_out, "zygote.receive", "no answer");
        Timer timer(loop_->clock());
        timer.arm(deadline, [fd = fd_.get()] { fd->cancel(); });
        auto const [error] = co_await fd_->async_wait(Descriptor::wait_read, kAsTuple);
        if (error && !deadline.passed(loop_->clock())) co_return fail(Code::cancelled, "zygote.receive", "");
    }
}

}  // namespace execd::kernels
