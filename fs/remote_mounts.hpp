// Which paths lie on file systems that may never answer: network and user-space ones. Their operations share
// a few threads of each lane, so that a dead server holds up its own files and nothing else.
//
// Thread: the reactor.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/unique_fd.hpp"
#include "fs/cached.hpp"

namespace execd::fs {

/// Mount points of network and user-space file systems in the text of /proc/self/mountinfo. Pure.
[[nodiscard]] std::vector<std::string> parse_remote_mounts(std::string_view mountinfo);
/// `path` is one of `mounts` or below one, as text: links are not followed. Pure.
[[nodiscard]] bool below_any(std::vector<std::string> const& mounts, std::string_view path);

/// `path` is one of `mounts` or below one, links followed without a word to any of these mounts: as far as
/// the kernel has the names in its cache. A link that nobody has used yet is not followed.
[[nodiscard]] bool leads_below(std::vector<std::string> const& mounts, std::string_view path);

/// The table as it is now: read again only when the kernel says that it changed (one poll(2) otherwise).
class RemoteMounts {
  public:
    explicit RemoteMounts(std::string file = "/proc/self/mountinfo") : file_(std::move(file)) {}
    [[nodiscard]] bool covers(std::string_view path);
    /// The open file lies on one.
    [[nodiscard]] bool covers(int fd);
    /// storage_of(fd) for the open `path`, may_wait where the path is covered: found out once for each
    /// device while the table stays as it is.
    [[nodiscard]] Storage storage(std::string_view path, int fd, std::uint64_t device);

  private:
    void refresh();
    void read();
    std::string file_;
    UniqueFd fd_;
    bool looked_ = false;
    std::vector<std::string> mounts_;
    std::vector<std::pair<std::uint64_t, Storage>> devices_;
};

}  // namespace execd::fs
