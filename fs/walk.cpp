#include "fs/walk.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "base/unique_fd.hpp"
#include "fs/dirents.hpp"
#include "fs/path.hpp"

namespace execd::fs {

namespace {

Kind kind_of(unsigned char type) {
    switch (type) {
        case DT_REG: return Kind::file;
        case DT_DIR: return Kind::directory;
        case DT_LNK: return Kind::symlink;
        default: return Kind::other;
    }
}

Kind kind_of_mode(mode_t mode) {
    if (S_ISREG(mode)) return Kind::file;
    if (S_ISDIR(mode)) return Kind::directory;
    return S_ISLNK(mode) ? Kind::symlink : Kind::other;
}

std::string without_slash(std::string const& path) {
    return path.size() > 1 && path.ends_with('/') ? path.substr(0, path.size() - 1) : path;
}

}  // namespace

Walker::Walker(WalkOptions options, Want want, CancelFlag cancel, bool relative)
    : options_(std::move(options)),
      want_(std::move(want)),
      cancel_(std::move(cancel)),
      buffer_(std::make_unique_for_overwrite<char[]>(kDirentBuffer)),
      relative_(relative) {}

Result<bool> Walker::start(WalkItem& item) {
    if (auto ok = check_path(options_.path); !ok) return Failure(ok.error());
    auto exclude = GlobSet::compile(options_.exclude, {.negation = true});
    if (!exclude) return Failure(exclude.error());
    exclude_ = std::move(*exclude);
    // A slash at the end follows (fs/through_link.hpp).
    std::string const root = without_slash(options_.path);
    bool const follow = root.size() != options_.path.size();
    struct ::stat stat {};
    if (::fstatat(AT_FDCWD, root.c_str(), &stat, follow ? 0 : AT_SYMLINK_NOFOLLOW) != 0)
        return fail_errno("lstat", errno, root);
    if (!S_ISDIR(stat.st_mode)) {
        if (!options_.root_may_be_file) return fail_errno("open", ENOTDIR, root);
        item.path = root;
        item.relative = base_name(root);
        item.kind = kind_of_mode(stat.st_mode);
        item.name = base_name(item.path);
        return want_(item.name, item.relative, item.kind);
    }
    if (options_.gitignore) ignore_.start(root);
    if (options_.max_depth == 0) return false;
    if (auto ok = enter(options_.path, ""); !ok) return Failure(ok.error());
    return false;
}

void Walker::consider(Level& level, char const* name, unsigned char type, int fd) {
    if (!options_.hidden && name[0] == '.') return;
    Kind kind = kind_of(type);
    if (type == DT_UNKNOWN) {  // some file systems do not say
        struct ::stat stat {};
        if (::fstatat(fd, name, &stat, AT_SYMLINK_NOFOLLOW) != 0) return;
        kind = kind_of_mode(stat.st_mode);
    }
    std::string below;
    if (relative_ || !exclude_.empty()) below = level.relative + name;
    bool const wanted = want_(name, below, kind);
    bool const entered = kind == Kind::directory && levels_.size() + 1 < options_.max_depth;
    if (!wanted && !entered) return;
    if (!exclude_.empty() && exclude_.match(below, name)) return;
    if (options_.gitignore && ignore_.ignored(level.path + name, name, kind == Kind::directory)) return;
    level.names.push_back({name, kind, wanted});
}

Result<void> Walker::read(int fd, Level& level) {
    std::size_t seen = 0;
    int const error = for_each_name(fd, buffer_.get(), [&](char const* name, unsigned char type) {
        if ((++seen & 4095U) != 0 || !cancelled()) consider(level, name, type, fd);
    });
    if (error != 0) return fail_errno("readdir", error, level.path);
    std::sort(level.names.begin(), level.names.end(),
              [](Name const& a, Name const& b) { return a.name < b.name; });
    return {};
}

Result<void> Walker::enter(std::string path, std::string relative) {
    bool const root = levels_.empty();
    UniqueFd const fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK));
    if (!fd) {
        if (!root && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP))
            return {};  // changed since it was seen
        if (root || !options_.skip_unreadable) return fail_errno("open", errno, path);
        ++skipped_;
        return {};
    }
    if (options_.gitignore) ignore_.enter(without_slash(path));
    if (!path.ends_with('/')) path += '/';
    Level level{std::move(path), std::move(relative), {}};
    if (auto ok = read(fd.get(), level); !ok) {
        if (options_.gitignore) ignore_.leave();
        if (root || !options_.skip_unreadable) return ok;
        ++skipped_;
        return {};
    }
    levels_.push_back(std::move(level));
    return {};
}

Result<bool> Walker::next(WalkItem& item) {
    if (!started_) {
        started_ = true;
        auto first = start(item);
        if (!first || *first) return first;
    }
    while (!levels_.empty()) {
        if (cancelled()) return fail(Code::cancelled, "walk");
        auto& level = levels_.back();
        if (level.at == level.names.size()) {
            levels_.pop_back();
            if (options_.gitignore) ignore_.leave();
            continue;
        }
        auto& name = level.names[level.at++];
        item.path = level.path + name.name;
        item.relative = level.relative + name.name;
        item.kind = name.kind;
        bool const wanted = name.wanted;
        if (name.kind == Kind::directory && levels_.size() < options_.max_depth)
            if (auto ok = enter(item.path, item.relative + "/"); !ok) return Failure(ok.error());
        item.name = base_name(item.path);
        if (wanted) return true;
    }
    return false;
}

}  // namespace execd::fs
