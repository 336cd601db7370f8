// The blocking parts of watching: putting inotify watches on a tree, and photographing a tree for comparison.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "fs/coalesce.hpp"
#include "fs/glob.hpp"

namespace execd::fs {

struct WatchFilter {
    std::string root;  // without a slash at the end (but "/")
    std::string only;  // a single name in root, when that is what is watched
    GlobSet exclude{};
    GlobSet include{};
    bool recursive = true;

    /// Nothing of it, nor of what is below it, is of interest.
    [[nodiscard]] bool excluded(std::string_view path) const;
    [[nodiscard]] bool reported(std::string_view path) const;
};

struct Watched {
    int descriptor = -1;
    std::string path{};
};
struct AddedTree {
    std::vector<Watched> directories{};
    std::vector<Raw> found{};  // what is below already, when asked for
    bool exhausted = false;    // out of watches: the rest is not watched
};
/// Puts watches on `path` and (recursive) everything below. not_found when it is gone.
[[nodiscard]] Result<AddedTree> watch_tree(int inotify, std::string path, WatchFilter const& filter,
                                           bool list);

struct Photo {
    std::uint64_t inode = 0;
    std::int64_t mtime_ns = 0;
    std::int64_t ctime_ns = 0;
    std::uint64_t size = 0;
    std::uint32_t mode = 0;
    bool directory = false;
};
using Photos = std::map<std::string, Photo>;
struct Photographed {
    Photos photos{};
    bool truncated = false;  // there was more than `at_most`
};
[[nodiscard]] Result<Photographed> photograph(WatchFilter const& filter, std::uint64_t at_most = 1'000'000);
/// What has the inode and the times of something that is gone is that, renamed.
void compare(Photos const& before, Photos const& after, Coalescer& out);

}  // namespace execd::fs
