// What can be done on the reactor itself because nothing of it waits for a device: path walks that succeed in
// the kernel's name cache (openat2 RESOLVE_CACHED), reads that succeed in the page cache (preadv2
// RWF_NOWAIT), memory file systems. Every function here may answer "no": then the same work goes to the pool.
#pragma once
#include <cstdint>
#include <span>
#include <string>

#include "base/error.hpp"
#include "base/unique_fd.hpp"

namespace execd::fs {

/// An O_PATH descriptor if the whole path is in the cache; otherwise none, with errno (EAGAIN for "not
/// cached", ENOENT when it is known not to exist).
[[nodiscard]] UniqueFd peek(std::string const& path, int extra_flags = 0);
/// False where this kernel does not offer such walks: then peek() never sees anything.
[[nodiscard]] bool cached_walks();
/// Opens for reading what peek() has seen, under the same condition.
[[nodiscard]] UniqueFd open_cached(std::string const& path);
/// memory: tmpfs or ramfs. local: a disk of this machine, whose cached inodes answer without asking anybody.
/// may_wait: network, user-space and unknown file systems.
enum class Storage { memory, local, may_wait };
/// Asks the file system: only for paths that may not hang (Executor::may_hang).
[[nodiscard]] Storage storage_of(int fd);
[[nodiscard]] inline bool in_memory(int fd) { return storage_of(fd) == Storage::memory; }
/// Bytes read, or -1 with errno EAGAIN where that would wait.
[[nodiscard]] std::int64_t read_cached(int fd, std::span<char> out, std::int64_t offset);

}  // namespace execd::fs
