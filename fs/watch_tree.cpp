#include "fs/watch_tree.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "base/unique_fd.hpp"
#include "fs/list.hpp"
#include "fs/path.hpp"

namespace execd::fs {

namespace {

constexpr std::uint32_t kEvents = IN_CREATE | IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB | IN_DELETE |
                                  IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR |
                                  IN_EXCL_UNLINK;

bool is_directory(DirectoryName const& entry, std::string const& path) {
    if (entry.type != DT_UNKNOWN) return entry.type == DT_DIR;
    struct ::stat stat {};
    return ::lstat(path.c_str(), &stat) == 0 && S_ISDIR(stat.st_mode);
}

}  // namespace

bool WatchFilter::excluded(std::string_view path) const {
    auto const name = base_name(path);
    if (name.starts_with(".execd-") && name.ends_with(".tmp")) return true;  // our own uploads on their way
    if (exclude.empty() || path.size() <= root.size()) return false;
    auto const below = path.substr(root == "/" ? 1 : root.size() + 1);
    // Any part of the path may be what is excluded.
    for (std::size_t at = 0; at <= below.size();) {
        auto const end = std::min(below.find('/', at), below.size());
        if (exclude.match(below.substr(0, end), below.substr(at, end - at))) return true;
        at = end + 1;
    }
    return false;
}

bool WatchFilter::reported(std::string_view path) const {
    if (!only.empty()) return path.size() > root.size() && base_name(path) == only && parent_of(path) == root;
    if (excluded(path)) return false;
    if (include.empty() || path.size() <= root.size()) return true;
    return include.match(path.substr(root == "/" ? 1 : root.size() + 1), base_name(path));
}

Result<AddedTree> watch_tree(int inotify, std::string path, WatchFilter const& filter, bool list) {
    AddedTree out;
    std::vector<std::string> todo{std::move(path)};
    bool first = true;
    while (!todo.empty()) {
        std::string const at = std::move(todo.back());
        todo.pop_back();
        // First the watch, then the look: what comes in between is seen at least once.
        // Links are followed by name alone: the root's, nobody else's.
        bool const root = at == filter.root;
        int const descriptor =
            ::inotify_add_watch(inotify, at.c_str(), kEvents | (root ? 0U : unsigned{IN_DONT_FOLLOW}));
        if (descriptor < 0) {
            if (errno == ENOSPC || errno == ENOMEM) {
                out.exhausted = true;
                return out;
            }
            if (first) return fail_errno("watch", errno, at);
            continue;
        }
        first = false;
        out.directories.push_back({descriptor, at});
        if (!filter.recursive && !list) continue;
        UniqueFd const fd(
            ::open(at.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK | (root ? 0 : O_NOFOLLOW)));
        auto names =
            fd ? read_names(fd.get()) : Result<std::vector<DirectoryName>>(fail_errno("open", errno, at));
        if (!names) continue;
        for (auto const& entry : *names) {
            auto const below = join_path(at, entry.name);
            bool const directory = is_directory(entry, below);
            if (filter.excluded(below)) continue;
            if (list) out.found.push_back({Change::create, below, "", directory});
            if (directory && filter.recursive) todo.push_back(below);
        }
    }
    return out;
}

Result<Photographed> photograph(WatchFilter const& filter, std::uint64_t at_most) {
    ListOptions options(filter.root);
    options.depth = filter.recursive && filter.only.empty() ? UINT32_MAX : 1;
    options.sort = SortBy::none;
    options.follow_root = true;
    options.read_links = false;
    options.skip_unreadable = true;
    options.max_entries = at_most;
    auto listing = List(options).run();
    if (!listing) return Failure(listing.error());
    Photographed out;
    out.truncated = listing->truncated;
    for (auto& entry : listing->entries)
        if (!filter.excluded(entry.path))
            out.photos.emplace(std::move(entry.path),
                               Photo{entry.inode, entry.mtime_ns, entry.ctime_ns, entry.size, entry.mode,
                                     entry.kind == Kind::directory});
    return out;
}

void compare(Photos const& before, Photos const& after, Coalescer& out) {
    std::multimap<std::uint64_t, std::string const*> gone;  // hard links share their inode
    for (auto const& [path, photo] : before)
        if (!after.contains(path)) gone.emplace(photo.inode, &path);
    for (auto const& [path, now] : after) {
        auto const old = before.find(path);
        if (old == before.end()) {
            // An inode that was freed is soon another file's: its times tell.
            auto const [first, end] = gone.equal_range(now.inode);
            auto const moved = std::find_if(first, end, [&](auto const& one) {
                auto const& was = before.at(*one.second);
                return was.mtime_ns == now.mtime_ns && was.directory == now.directory;
            });
            if (moved == end) {
                out.add({Change::create, path, "", now.directory});
                continue;
            }
            out.add({Change::rename, path, *moved->second, now.directory});
            gone.erase(moved);
            continue;
        }
        auto const& was = old->second;
        if (was.directory != now.directory) {
            out.add({Change::remove, path, "", was.directory});
            out.add({Change::create, path, "", now.directory});
            continue;
        }
        if (was.mode != now.mode) out.add({Change::chmod, path, "", now.directory});
        bool const content = was.inode != now.inode || was.size != now.size || was.mtime_ns != now.mtime_ns;
        if (!now.directory && content) out.add({Change::write, path, "", false});
    }
    for (auto const& [inode, path] : gone) out.add({Change::remove, *path, "", before.at(*path).directory});
}

}  // namespace execd::fs
