#include "fs/list.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/fault.hpp"
#include "base/unique_fd.hpp"
#include "fs/dirents.hpp"
#include "fs/path.hpp"

namespace execd::fs {

namespace {

std::string link_target(int dirfd, char const* name) {
    char buffer[4096];
    auto const n = ::readlinkat(dirfd, name, buffer, sizeof buffer);
    return n > 0 ? std::string(buffer, static_cast<std::size_t>(n)) : std::string();
}

}  // namespace

Result<std::vector<DirectoryName>> read_names(int dirfd) {
    std::vector<DirectoryName> out;
    auto const buffer = std::make_unique_for_overwrite<char[]>(kDirentBuffer);
    int const error = for_each_name(dirfd, buffer.get(), [&out](char const* name, unsigned char type) {
        out.push_back({name, type});
    });
    if (error != 0) return fail_errno("readdir", error);
    return out;
}

Lister::Lister(ListOptions options) : options_(std::move(options)) {}

Result<void> Lister::check_root() {
    if (auto ok = check_path(options_.path); !ok) return ok;
    struct ::stat stat {};
    if (::lstat(options_.path.c_str(), &stat) != 0) return fail_errno("lstat", errno, options_.path);
    if (S_ISLNK(stat.st_mode)) {
        if (!options_.follow_root) return fail(Code::invalid_argument, "list.symlink", options_.path);
        if (::stat(options_.path.c_str(), &stat) != 0) return fail_errno("stat", errno, options_.path);
    }
    if (!S_ISDIR(stat.st_mode)) return fail_errno("list", ENOTDIR, options_.path);
    return {};
}

Result<void> Lister::enter(std::string const& path, std::uint32_t depth, bool root) {
    int const flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK | (root ? 0 : O_NOFOLLOW);
    int const injected = fault::hit("open");
    UniqueFd const fd(injected != 0 ? -1 : ::open(path.c_str(), flags));
    if (injected != 0) errno = injected;
    if (!fd) {
        if (!root && (options_.skip_unreadable || errno == ENOENT || errno == ENOTDIR || errno == ELOOP))
            return {};
        return fail_errno("open", errno, path);
    }
    auto names = read_names(fd.get());
    if (!names) {
        names.error().detail = path;
        return Failure(std::move(names.error()));
    }
    // Names are sorted before they become entries, which are ten times as heavy to move.
    if (options_.sort == SortBy::name)
        std::sort(names->begin(), names->end(),
                  [](DirectoryName const& a, DirectoryName const& b) { return a.name < b.name; });
    Level level;
    level.depth = depth;
    level.entries.reserve(names->size());
    for (auto& found : *names) {
        if (!options_.hidden && found.name.front() == '.') continue;
        auto entry = entry_at(fd.get(), found.name.c_str(), AT_SYMLINK_NOFOLLOW, names_);
        if (!entry) {
            if (entry.error().sys == ENOENT) continue;  // gone between the two calls
            entry.error().detail = join_path(path, found.name);
            return Failure(std::move(entry.error()));
        }
        if (options_.read_links && entry->kind == Kind::symlink)
            entry->target = link_target(fd.get(), found.name.c_str());
        entry->path = join_path(path, found.name);
        entry->name = std::move(found.name);
        level.entries.push_back(std::move(*entry));
    }
    sort(level.entries);
    levels_.push_back(std::move(level));
    return {};
}

void Lister::sort(std::vector<Entry>& entries) const {
    auto const by_name = [](Entry const& a, Entry const& b) { return a.name < b.name; };
    auto const order = [&](auto key) {
        std::sort(entries.begin(), entries.end(), [&](Entry const& a, Entry const& b) {
            return key(a) != key(b) ? key(a) < key(b) : by_name(a, b);
        });
    };
    switch (options_.sort) {
        case SortBy::none: break;
        case SortBy::name: break;  // in that order already
        case SortBy::size: order([](Entry const& e) { return e.size; }); break;
        case SortBy::modified: order([](Entry const& e) { return e.mtime_ns; }); break;
        case SortBy::type:
            order(
                [](Entry const& e) { return e.kind == Kind::directory ? 0 : 1 + static_cast<int>(e.kind); });
    }
    if (options_.descending) std::reverse(entries.begin(), entries.end());
}

Result<std::vector<Entry>> Lister::next(std::size_t max) {
    std::vector<Entry> out;
    if (!started_) {
        if (auto ok = check_root(); !ok) return Failure(ok.error());
        if (options_.depth > 0)
            if (auto ok = enter(options_.path, 1, true); !ok) return Failure(ok.error());
        started_ = true;
    }
    while (!levels_.empty() && out.size() < max) {
        auto& level = levels_.back();
        if (level.at == level.entries.size()) {
            levels_.pop_back();
            continue;
        }
        Entry entry = std::move(level.entries[level.at++]);
        auto const depth = level.depth;
        std::string const below =
            entry.kind == Kind::directory && depth < options_.depth ? entry.path : std::string();
        if ((options_.kinds >> static_cast<unsigned>(entry.kind) & 1U) != 0) {
            if (given_ == options_.max_entries) {
                truncated_ = true;
                levels_.clear();
                break;
            }
            ++given_;
            out.push_back(std::move(entry));
        }
        if (!below.empty())
            if (auto ok = enter(below, depth + 1, false); !ok) return Failure(ok.error());
    }
    return out;
}

Result<Listing> List::run() const {
    Lister lister(*this);
    Listing out;
    do {
        auto batch = lister.next(SIZE_MAX);
        if (!batch) return Failure(std::move(batch.error()));
        if (out.entries.empty())
            out.entries = std::move(*batch);
        else
            std::move(batch->begin(), batch->end(), std::back_inserter(out.entries));
    } while (!lister.done());
    out.truncated = lister.truncated();
    return out;
}

}  // namespace execd::fs
