// PacketSocket: JSON values over a SOCK_SEQPACKET pair, with descriptors: how the daemon talks with the
// zygote and with the kernels that it forks.
//
// Thread: the reactor.
#pragma once
#include <memory>
#include <span>

#include "base/loop.hpp"
#include "base/unique_fd.hpp"
#include "kernels/json_text.hpp"

namespace execd::kernels {

class PacketSocket {
  public:
    PacketSocket(Loop& loop, UniqueFd fd);
    PacketSocket(PacketSocket&&) = default;
    PacketSocket& operator=(PacketSocket&&) = default;

    struct Pair;
    /// Both ends O_CLOEXEC; `ours` non-blocking.
    [[nodiscard]] static Result<Pair> make_pair(Loop& loop);

    /// Never waits: Code::exhausted or too_large when the packet does not fit.
    [[nodiscard]] Result<void> send(Json const& value, std::span<int const> fds = {});
    /// Code::gone when the other side has closed, timed_out, cancelled.
    [[nodiscard]] Task<Result<Json>> receive(Deadline deadline);

  private:
    Loop* loop_;
    std::unique_ptr<Descriptor> fd_;
};

struct PacketSocket::Pair {
    PacketSocket ours;
    UniqueFd theirs;
};

}  // namespace execd::kernels
