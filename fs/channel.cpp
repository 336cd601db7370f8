#include "fs/channel.hpp"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>

namespace execd::fs {

namespace {

struct Header {
    std::uint64_t size = 0;
    std::uint32_t descriptors = 0;
    std::uint32_t magic = 0x65784673;
};

/// Sending, as far as the socket takes it: the same for both ends.
class Sender {
  public:
    explicit Sender(Packet const& packet) : packet_(&packet) {
        Header header;
        header.size = packet.bytes.size();
        header.descriptors = static_cast<std::uint32_t>(packet.descriptors.size());
        std::memcpy(header_, &header, sizeof header);
    }
    [[nodiscard]] bool done() const { return sent_ == sizeof header_ + packet_->bytes.size(); }
    /// False with errno when the socket took nothing.
    bool step(int socket, int flags) {
        ::iovec parts[2];
        std::size_t const head = std::min(sent_, sizeof header_);
        std::size_t const body = sent_ - head;
        parts[0] = {header_ + head, sizeof header_ - head};
        parts[1] = {const_cast<char*>(packet_->bytes.data()) + body, packet_->bytes.size() - body};
        ::msghdr message{};
        message.msg_iov = parts;
        message.msg_iovlen = 2;
        alignas(::cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMaxDescriptors)] = {};
        if (sent_ == 0 && !packet_->descriptors.empty()) attach(message, control);
        ssize_t const n = ::sendmsg(socket, &message, flags | MSG_NOSIGNAL);
        if (n > 0) sent_ += static_cast<std::size_t>(n);
        return n > 0;
    }

  private:
    void attach(::msghdr& message, char* control) const {
        int numbers[kMaxDescriptors] = {};
        std::size_t const count = std::min(packet_->descriptors.size(), kMaxDescriptors);
        for (std::size_t i = 0; i < count; ++i) numbers[i] = packet_->descriptors[i].get();
        message.msg_control = control;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * count);
        ::cmsghdr* const head = CMSG_FIRSTHDR(&message);
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(sizeof(int) * count);
        std::memcpy(CMSG_DATA(head), numbers, sizeof(int) * count);
    }
    Packet const* packet_;
    char header_[sizeof(Header)];
    std::size_t sent_ = 0;
};

class Receiver {
  public:
    [[nodiscard]] bool done() const { return have_header_ && at_ == packet_.bytes.size(); }
    /// 1: went on; 0: the end of the stream; -1 with errno. EPROTO for what is no packet.
    int step(int socket, int flags) {
        ::iovec part{have_header_ ? packet_.bytes.data() + at_ : header_ + at_,
                     (have_header_ ? packet_.bytes.size() : sizeof header_) - at_};
        ::msghdr message{};
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        alignas(::cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMaxDescriptors)] = {};
        message.msg_control = control;
        message.msg_controllen = sizeof control;
        ssize_t const n = ::recvmsg(socket, &message, flags | MSG_CMSG_CLOEXEC);
        if (n <= 0) return static_cast<int>(n);
        for (auto* head = CMSG_FIRSTHDR(&message); head != nullptr; head = CMSG_NXTHDR(&message, head))
            take(*head);
        at_ += static_cast<std::size_t>(n);
        if (!have_header_ && at_ == sizeof header_) return begin_body() ? 1 : -1;
        return 1;
    }
    Packet take_packet() { return std::move(packet_); }

  private:
    void take(::cmsghdr const& head) {
        if (head.cmsg_level != SOL_SOCKET || head.cmsg_type != SCM_RIGHTS) return;
        std::size_t const count = (head.cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (std::size_t i = 0; i < count; ++i) {
            int number = -1;
            std::memcpy(&number, CMSG_DATA(&head) + i * sizeof number, sizeof number);
            packet_.descriptors.emplace_back(number);
        }
    }
    bool begin_body() {
        Header header;
        std::memcpy(&header, header_, sizeof header);
        if (header.magic != Header().magic || header.size > kMaxPacket ||
            header.descriptors > kMaxDescriptors) {
            errno = EPROTO;
            return false;
        }
        packet_.bytes.resize(header.size);
        have_header_ = true;
        at_ = 0;
        return true;
    }
    Packet packet_;
    char header_[sizeof(Header)];
    std::size_t at_ = 0;
    bool have_header_ = false;
};

}  // namespace

Result<void> send_packet(int socket, Packet const& packet) {
    Sender sender(packet);
    while (!sender.done())
        if (!sender.step(socket, 0) && errno != EINTR) return fail_errno("fs.channel", errno);
    return {};
}

Result<Packet> receive_packet(int socket) {
    Receiver receiver;
    while (!receiver.done()) {
        int const rc = receiver.step(socket, 0);
        if (rc == 0) return fail(Code::disconnected, "fs.channel");
        if (rc < 0 && errno != EINTR) return fail_errno("fs.channel", errno);
    }
    return receiver.take_packet();
}

Task<Result<void>> async_send_packet(Descriptor& socket, Packet packet) {
    Sender sender(packet);
    while (!sender.done()) {
        if (sender.step(socket.native_handle(), MSG_DONTWAIT) || errno == EINTR) continue;
        if (errno != EAGAIN) co_return fail_errno("fs.channel", errno);
        auto [ec] = co_await socket.async_wait(asio::posix::descriptor_base::wait_write, kAsTuple);
        if (ec) co_return fail(Code::cancelled, "fs.channel");
    }
    co_return Result<void>();
}

Task<Result<Packet>> async_receive_packet(Descriptor& socket) {
    Receiver receiver;
    while (!receiver.done()) {
        int const rc = receiver.step(socket.native_handle(), MSG_DONTWAIT);
        if (rc > 0 || (rc < 0 && errno == EINTR)) continue;
        if (rc == 0) co_return fail(Code::disconnected, "fs.channel");
        if (errno != EAGAIN) co_return fail_errno("fs.channel", errno);
        auto [ec] = co_await socket.async_wait(asio::posix::descriptor_base::wait_read, kAsTuple);
        if (ec) co_return fail(Code::cancelled, "fs.channel");
    }
    co_return receiver.take_packet();
}

}  // namespace execd::fs
