// Reading and writing the kernel's small control files.
#pragma once
#include <cstdint>
#include <deque>
#include <mutex>
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

/// Directories of groups that have ended. They are removed on the pool, when the next one is made or when
/// many have come: rmdir can take milliseconds, and groups end on the reactor. Those whose processes outlived
/// their execution (a server that was left running) wait for them. Any thread.
class Leftovers {
  public:
    void add(std::string path);
    /// A few at a time: this is done on the way to something else.
    void remove_some(std::size_t most);
    [[nodiscard]] std::size_t size();
    /// Many were added since some were last removed.
    [[nodiscard]] bool many_new();

  private:
    std::mutex mutex_;
    std::size_t new_ = 0;
    std::deque<std::string> paths_;
};
/// Of an execution's group with limits: ids come from clients, and neither control files nor other groups are
/// called so.
[[nodiscard]] std::string group_name(std::string const& id);
/// One for the process, as the directories are.
[[nodiscard]] Leftovers& leftovers();

}  // namespace execd::shell::cgroup_files
