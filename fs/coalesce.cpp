#include "fs/coalesce.hpp"

#include <algorithm>
#include <string_view>

namespace execd::fs {

std::string_view to_string(Change change) {
    switch (change) {
        case Change::create: return "create";
        case Change::write: return "write";
        case Change::remove: return "remove";
        case Change::rename: return "rename";
        case Change::chmod: return "chmod";
        case Change::overflow: return "overflow";
    }
    return "write";
}

void Coalescer::add(Raw raw) {
    if (raw.what == Change::create || raw.what == Change::rename) {
        // Its place was left before: what came then is not what left.
        auto const left =
            std::find_if(halves_.begin(), halves_.end(), [&](Half const& h) { return h.path == raw.path; });
        if (left != halves_.end()) {
            Raw gone{Change::remove, std::move(left->path), "", left->directory};
            halves_.erase(left);
            add(std::move(gone));
        }
    }
    auto const found = last_.find(raw.path);
    bool const merge = found != last_.end() && raw.what != Change::rename && raw.what != Change::overflow;
    if (!merge) {
        events_.push_back(std::move(raw));
        auto const added = std::prev(events_.end());
        // What happens to the new name is the renamed file's; the old name is free for something else.
        if (added->what == Change::rename) last_.erase(added->old_path);
        if (added->what != Change::overflow) last_[added->path] = added;
        return;
    }
    auto& old = *found->second;
    switch (raw.what) {
        case Change::remove:
            if (old.what == Change::create) {  // came and went: nothing happened
                events_.erase(found->second);
                last_.erase(found);
                return;
            }
            if (old.what == Change::rename) break;
            old.what = Change::remove;
            return;
        case Change::create:
            if (old.what != Change::remove) return;
            if (old.directory || raw.directory) break;  // a directory cannot be written
            old.what = Change::write;                   // replaced
            return;
        case Change::write:
            if (old.what == Change::chmod) old.what = Change::write;
            if (old.what == Change::rename || old.what == Change::remove) break;
            return;
        default:
            if (old.what == Change::rename) break;
            return;  // chmod after anything else tells nothing new
    }
    events_.push_back(std::move(raw));
    auto const added = std::prev(events_.end());
    last_[added->path] = added;
}

void Coalescer::moved_from(std::uint32_t cookie, std::string path, bool directory) {
    halves_.push_back({cookie, std::move(path), directory});
}

std::string Coalescer::moved_to(std::uint32_t cookie, std::string path, bool directory) {
    auto const half =
        std::find_if(halves_.begin(), halves_.end(), [&](Half const& h) { return h.cookie == cookie; });
    if (half == halves_.end()) {
        add({Change::create, std::move(path), "", directory});
        return "";
    }
    std::string old = std::move(half->path);
    halves_.erase(half);
    auto const seen = last_.find(old);
    // Not so a directory: what was made in it meanwhile was told below its first name.
    if (!directory && seen != last_.end() && seen->second->what == Change::create) {
        // Written under another name first, as editors do: only the final name ever was.
        events_.erase(seen->second);
        last_.erase(seen);
        auto const there = last_.find(path);
        bool const replaced = there != last_.end();
        add({replaced ? Change::write : Change::create, std::move(path), "", directory});
        return old;
    }
    add({Change::rename, std::move(path), old, directory});
    return old;
}

std::vector<Raw> Coalescer::take() {
    for (auto& half : halves_) add({Change::remove, std::move(half.path), "", half.directory});
    halves_.clear();
    last_.clear();
    std::vector<Raw> out(std::make_move_iterator(events_.begin()), std::make_move_iterator(events_.end()));
    events_.clear();
    return out;
}

}  // namespace execd::fs
