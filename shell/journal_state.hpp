// A journal as plain data: for a daemon that takes over from another one. Offsets go on where they were; of
// the bytes those in memory travel (about a ring), older ones are a declared gap afterwards. Pure.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "shell/journal.hpp"

namespace execd::shell {

struct JournalState {
    /// Of the first byte in `bytes`.
    Position begin;
    Position end;
    /// Where the verdict stands, once it was given.
    std::optional<Position> verdict;
    bool closed = false;
    /// From `begin` to `end`, in order, and which stream each run belongs to (Block::stream_of, size_of).
    std::string bytes;
    std::vector<std::uint32_t> segments;
};

}  // namespace execd::shell
