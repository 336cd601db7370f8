#include "fs/remote_mounts.hpp"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>

#include "fs/cached.hpp"
#include "fs/path.hpp"

namespace execd::fs {

namespace {

constexpr std::size_t kMostDevices = 64;

bool is_remote(std::string_view type) {
    static constexpr std::array kTypes{"nfs", "nfs4",     "cifs",      "smb3",     "9p",     "ceph",
                                       "afs", "virtiofs", "glusterfs", "orangefs", "lustre", "fuse"};
    return std::find(kTypes.begin(), kTypes.end(), type) != kTypes.end() || type.starts_with("fuse.");
}

/// Spaces and the like are octal in mountinfo: \040.
std::string unescaped(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        auto const digit = [&](std::size_t at) { return text[at] >= '0' && text[at] <= '7'; };
        if (text[i] == '\\' && i + 3 < text.size() && digit(i + 1) && digit(i + 2) && digit(i + 3)) {
            out +=
                static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0'));
            i += 3;
        } else {
            out += text[i];
        }
    }
    return out;
}

/// Where the link at `path` leads to; empty when it is no link; nothing when that is not known without a
/// wait.
std::optional<std::string> link_at(std::string const& path) {
    char target[4096];
    UniqueFd const seen = peek(path, O_NOFOLLOW);
    if (!seen && cached_walks()) return std::nullopt;
    ssize_t const n = seen ? ::readlinkat(seen.get(), "", target, sizeof target)
                           : ::readlink(path.c_str(), target, sizeof target);
    if (n < 0 && errno != EINVAL && errno != ENOENT) return std::nullopt;
    return n < 0 ? std::string() : std::string(target, static_cast<std::size_t>(n));
}

}  // namespace

std::vector<std::string> parse_remote_mounts(std::string_view mountinfo) {
    std::vector<std::string> out;
    while (!mountinfo.empty()) {
        auto const end = mountinfo.find('\n');
        auto line = mountinfo.substr(0, end);
        mountinfo.remove_prefix(end == std::string_view::npos ? mountinfo.size() : end + 1);
        // id parent major:minor root MOUNT options [optional...] - TYPE source super
        auto const dash = line.find(" - ");
        if (dash == std::string_view::npos) continue;
        auto type = line.substr(dash + 3);
        type = type.substr(0, type.find(' '));
        if (!is_remote(type)) continue;
        for (int skip = 0; skip < 4 && !line.empty(); ++skip)
            line.remove_prefix(std::min(line.find(' '), line.size() - 1) + 1);
        auto mount = unescaped(line.substr(0, line.find(' ')));
        if (mount != "/") out.push_back(std::move(mount));
    }
    return out;
}

bool below_any(std::vector<std::string> const& mounts, std::string_view path) {
    return std::any_of(mounts.begin(), mounts.end(), [path](std::string const& mount) {
        return path.starts_with(mount) && (path.size() == mount.size() || path[mount.size()] == '/');
    });
}

bool leads_below(std::vector<std::string> const& mounts, std::string_view path) {
    if (mounts.empty()) return false;
    if (below_any(mounts, path)) return true;
    std::string rest(path);
    std::string at = "/";
    for (int hops = 0; hops <= 40 && !rest.empty();) {
        auto const end = std::min(rest.find('/'), rest.size());
        std::string const name = rest.substr(0, end);
        rest.erase(0, std::min(end + 1, rest.size()));
        if (name.empty() || name == ".") continue;
        if (name == "..") {
            at = std::string(parent_of(at));
            continue;
        }
        std::string next = join_path(at, name);
        if (below_any(mounts, next)) return true;
        auto const link = link_at(next);
        if (!link) return false;
        if (link->empty()) {
            at = std::move(next);
            continue;
        }
        ++hops;
        if (link->starts_with('/')) at = "/";
        rest = rest.empty() ? *link : join_path(*link, rest);
    }
    return false;
}

void RemoteMounts::read() {
    std::string text;
    char buffer[16384];
    ssize_t n = 0;
    while ((n = ::pread(fd_.get(), buffer, sizeof buffer, static_cast<off_t>(text.size()))) > 0)
        text.append(buffer, static_cast<std::size_t>(n));
    mounts_ = parse_remote_mounts(text);
    devices_.clear();
}

void RemoteMounts::refresh() {
    if (!looked_) {
        looked_ = true;
        fd_.reset(::open(file_.c_str(), O_RDONLY | O_CLOEXEC));
        if (fd_) read();
    } else if (fd_) {
        ::pollfd changed{fd_.get(), POLLPRI, 0};
        if (::poll(&changed, 1, 0) > 0 && (changed.revents & (POLLPRI | POLLERR)) != 0) read();
    }
}

bool RemoteMounts::covers(std::string_view path) {
    refresh();
    return leads_below(mounts_, path);
}

bool RemoteMounts::covers(int fd) {
    refresh();
    if (mounts_.empty()) return false;
    char name[4096];
    std::string const self = "/proc/self/fd/" + std::to_string(fd);
    ssize_t const n = ::readlink(self.c_str(), name, sizeof name);
    return n > 0 && below_any(mounts_, std::string_view(name, static_cast<std::size_t>(n)));
}

Storage RemoteMounts::storage(std::string_view path, int fd, std::uint64_t device) {
    refresh();
    for (auto const& [known, storage] : devices_)
        if (known == device) return storage;
    auto const found = leads_below(mounts_, path) ? Storage::may_wait : storage_of(fd);
    if (!fd_) return found;  // nobody would tell of a change
    if (devices_.size() >= kMostDevices) devices_.clear();
    devices_.emplace_back(device, found);
    return found;
}

}  // namespace execd::fs
