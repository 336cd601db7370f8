// Entries of the file system in this dialect's words (contracts/agentrun.md §5.2).
#pragma once
#include <optional>
#include <string>

#include "base/error.hpp"
#include "execd/dialects/agentrun/schemas.hpp"
#include "fs/entry.hpp"

namespace execd::agentrun {

[[nodiscard]] EntryBody entry_body(fs::Entry const& entry);
[[nodiscard]] EntryAnswer entry_answer(EntryBody body);
/// "644", "0644", "0o644", or a number: digits that read as octal when they are more than 0777 is (644), the
/// bits themselves otherwise (420), as entries show them. invalid_argument: anything else.
[[nodiscard]] Result<std::optional<std::uint32_t>> mode_of(std::optional<wire::Json> const& mode);

}  // namespace execd::agentrun
