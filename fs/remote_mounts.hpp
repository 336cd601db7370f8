// Which paths lie on file systems that may never answer: network and user-space ones. Their operations share
// a few threads of each lane, so that a dead server holds up its own files and nothing else.
//
// Thread: the reactor.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "base/unique_fd.hpp"

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

  private:
    void refresh();
    void read();
    std::string file_;
    UniqueFd fd_;
    bool looked_ = false;
    std::vector<std::string> mounts_;
};

}  // namespace execd::fs
