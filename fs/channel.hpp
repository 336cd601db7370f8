// Packets over a stream socket pair: a header of fixed size with the descriptors, then the bytes.
#pragma once
#include "base/error.hpp"
#include "base/task.hpp"
#include "fs/wire.hpp"

namespace execd::fs {

inline constexpr std::uint64_t kMaxPacket = 512U << 20U;
inline constexpr std::size_t kMaxDescriptors = 8;

/// The worker's end, blocking. disconnected at the end of the stream.
[[nodiscard]] Result<void> send_packet(int socket, Packet const& packet);
[[nodiscard]] Result<Packet> receive_packet(int socket);

/// The daemon's end. Coroutines of the reactor.
[[nodiscard]] Task<Result<void>> async_send_packet(Descriptor& socket, Packet packet);
[[nodiscard]] Task<Result<Packet>> async_receive_packet(Descriptor& socket);

}  // namespace execd::fs
