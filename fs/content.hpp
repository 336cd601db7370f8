// Moving bytes between descriptors, the blocking way: for pool threads and workers.
#pragma once
#include <cstdint>
#include <span>
#include <string>

#include "base/error.hpp"

namespace execd::fs {

/// Writes everything at `offset`. A descriptor that is not ready (a FIFO or device opened without blocking)
/// is waited for up to `patience_ms` a time, then timed_out.
[[nodiscard]] Result<void> write_all(int fd, std::span<char const> bytes, std::int64_t offset,
                                     int patience_ms = 5000);
/// The same without an offset, for what cannot seek.
[[nodiscard]] Result<void> write_stream(int fd, std::span<char const> bytes, int patience_ms = 5000);
/// Up to `size` bytes from `offset`; fewer only at the end of the file.
[[nodiscard]] Result<std::size_t> read_at(int fd, std::span<char> out, std::int64_t offset);
/// The whole of a regular file; too_large beyond `limit`. Files without a size (in /proc) are read to their
/// end.
[[nodiscard]] Result<std::string> read_all(int fd, std::uint64_t limit);
/// From the beginning of `from` to its end into `to` (copy_file_range, otherwise through memory). The offset
/// of neither moves. Answers how much it was.
[[nodiscard]] Result<std::uint64_t> copy_content(int from, int to);
/// Extended attributes but capabilities; what cannot be carried is left behind.
void copy_xattrs(int from, int to);

}  // namespace execd::fs
