#include <fcntl.h>
#include <unistd.h>

#include "fs/search.hpp"

namespace execd::fs {

namespace {

Walker::Want want_names(FindOptions const& options, Glob glob) {
    bool const whole = options.whole_path;
    unsigned const kinds = options.kinds;
    // The common pattern takes all: no matching at all.
    bool const all = options.pattern == "**" || (options.pattern == "*" && !whole);
    return [whole, kinds, all, glob = std::move(glob)](std::string_view name, std::string_view relative,
                                                       Kind kind) {
        if ((kinds >> static_cast<unsigned>(kind) & 1U) == 0) return false;
        return all || glob.match(whole ? relative : name);
    };
}

}  // namespace

Finder::Finder(FindOptions options, Glob glob, CancelFlag cancel)
    : left_(options.max_results),
      attributes_(options.attributes),
      walker_(options, want_names(options, std::move(glob)), std::move(cancel), options.whole_path) {}

Result<Finder> Finder::make(FindOptions options, CancelFlag cancel) {
    GlobOptions how;
    how.negation = options.negation;
    how.ignore_case = options.ignore_case;
    auto glob = Glob::compile(options.pattern, how);
    if (!glob) return Failure(glob.error());
    return Finder(std::move(options), std::move(*glob), std::move(cancel));
}

Result<std::vector<Entry>> Finder::next(std::size_t max) {
    std::vector<Entry> out;
    WalkItem item;
    while (!done_ && out.size() < max) {
        auto more = walker_.next(item);
        if (!more) return Failure(more.error());
        if (!*more) {
            done_ = true;
            break;
        }
        if (left_ == 0) {
            truncated_ = done_ = true;
            break;
        }
        Entry entry;
        if (attributes_) {
            auto found = entry_at(AT_FDCWD, item.path.c_str(), AT_SYMLINK_NOFOLLOW, names_);
            if (!found && found.error().sys == ENOENT) continue;  // gone since
            if (!found) return Failure(found.error());
            entry = std::move(*found);
        }
        --left_;
        entry.kind = attributes_ ? entry.kind : item.kind;
        entry.name = item.name;
        entry.path = std::move(item.path);
        out.push_back(std::move(entry));
    }
    return out;
}

Result<Listing> Find::run() const {
    auto finder = Finder::make(*this, cancel);
    if (!finder) return Failure(finder.error());
    auto entries = finder->next(SIZE_MAX);
    if (!entries) return Failure(entries.error());
    Listing out;
    out.entries = std::move(*entries);
    out.truncated = finder->truncated();
    return out;
}

}  // namespace execd::fs
