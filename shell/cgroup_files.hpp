// Reading and writing the kernel's small control files.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace execd::shell::cgroup_files {

/// Empty when it cannot be read.
[[nodiscard]] std::string read_file(std::string const& path);
/// False with errno when the kernel refused.
bool write_file(std::string const& path, std::string_view text);
/// Nothing when absent or "max".
[[nodiscard]] std::optional<std::uint64_t> read_number(std::string const& path);

}  // namespace execd::shell::cgroup_files
