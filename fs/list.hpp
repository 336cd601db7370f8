// Listing a directory or a tree, in batches: a Lister holds no thread and no descriptor between batches, so a
// slow reader costs memory for the current levels only. Pre-order; links are never followed.
//
// Thread: one at a time (a pool thread per batch).
#pragma once
#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "fs/entry.hpp"

namespace execd::fs {

enum class SortBy : std::uint8_t { none, name, size, modified, type };

struct ListOptions {
    std::string path{};
    std::uint32_t depth = 1;     // levels; 0 lists nothing
    bool hidden = true;          // names that begin with a dot
    SortBy sort = SortBy::name;  // within each directory; names compare bytewise and break ties
    bool descending = false;
    std::uint8_t kinds = 0xF;  // bit 1 << Kind: which are answered (directories are entered regardless)
    bool follow_root = false;  // otherwise a link as root is refused
    bool read_links = true;
    bool skip_unreadable = false;  // below the root: skip instead of failing
    std::uint64_t max_entries = 1'000'000;

    explicit ListOptions(std::string path_ = {}) : path(std::move(path_)) {}

    template <class A>
    void visit(A& a) {
        a(path, depth, hidden, sort, descending, kinds, follow_root, read_links, skip_unreadable,
          max_entries);
    }
};

/// Errors of the root: not_found; invalid_argument with where "list.symlink" for a link; not_a_directory.
class Lister {
  public:
    explicit Lister(ListOptions options);
    /// At least one entry unless the end is reached; about `max` at most, whole directories are sorted first.
    [[nodiscard]] Result<std::vector<Entry>> next(std::size_t max);
    [[nodiscard]] bool done() const { return started_ && levels_.empty(); }
    /// max_entries was reached.
    [[nodiscard]] bool truncated() const { return truncated_; }

  private:
    struct Level {
        std::vector<Entry> entries;
        std::size_t at = 0;
        std::uint32_t depth = 0;
    };
    [[nodiscard]] Result<void> enter(std::string const& path, std::uint32_t depth, bool root);
    [[nodiscard]] Result<void> check_root();
    void sort(std::vector<Entry>& entries) const;

    ListOptions options_;
    OwnerNames names_;
    std::vector<Level> levels_{};
    std::uint64_t given_ = 0;
    bool started_ = false;
    bool truncated_ = false;
};

struct Listing {
    std::vector<Entry> entries{};
    bool truncated = false;

    template <class A>
    void visit(A& a) {
        a(entries, truncated);
    }
};

/// All at once.
struct List : ListOptions {
    using Answer = Listing;
    static constexpr Lane kLane = Lane::metadata;
    explicit List(ListOptions options = ListOptions()) : ListOptions(std::move(options)) {}
    [[nodiscard]] Result<Listing> run() const;
};

/// The names in an open directory without "." and "..", unsorted, with their d_type.
struct DirectoryName {
    std::string name{};
    unsigned char type = 0;
};
[[nodiscard]] Result<std::vector<DirectoryName>> read_names(int dirfd);

}  // namespace execd::fs
