// Walking a tree for searches: names only, no stat, one reusable buffer. Lexical order (each directory sorted
// bytewise, its content at its place), links never followed. Stops and goes on between any two names, so a
// search can be cut in slices.
//
// Thread: one at a time; never the reactor.
#pragma once
#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/error.hpp"
#include "fs/entry.hpp"
#include "fs/glob.hpp"
#include "fs/ignore.hpp"

namespace execd::fs {

/// Set by whoever waits (the client went away); looked at between files and every few thousand names.
using CancelFlag = std::shared_ptr<std::atomic<bool>>;

struct WalkOptions {
    std::string path{};
    std::vector<std::string> exclude{};  // globs; a directory that matches is not entered
    bool hidden = true;
    bool gitignore = false;
    bool skip_unreadable = false;  // directories below the root; otherwise they end the walk with their error
    std::uint32_t max_depth = UINT32_MAX;  // 1: the directory's own names
    bool root_may_be_file = true;          // then it is the only thing found; a link as root counts as a file

    template <class A>
    void visit(A& a) {
        a(path, exclude, hidden, gitignore, skip_unreadable, max_depth, root_may_be_file);
    }
};

struct WalkItem {
    std::string path;       // root/relative
    std::string relative;   // below the root; the base name when the root itself is the file
    std::string_view name;  // into path
    Kind kind = Kind::file;
};

class Walker {
  public:
    /// Decides before anything is kept whether a name is given out; directories are entered regardless.
    using Want = std::function<bool(std::string_view name, std::string_view relative, Kind kind)>;
    /// Without `relative` the want function gets an empty relative path (and no text is built for every
    /// name).
    Walker(WalkOptions options, Want want, CancelFlag cancel = {}, bool relative = true);

    /// False at the end. cancelled when the flag is set.
    [[nodiscard]] Result<bool> next(WalkItem& item);
    /// Directories that could not be read (skip_unreadable).
    [[nodiscard]] std::uint64_t skipped() const { return skipped_; }

  private:
    struct Name {
        std::string name;
        Kind kind;
        bool wanted;
    };
    struct Level {
        std::string path;      // with a slash at the end
        std::string relative;  // the same, or empty
        std::vector<Name> names;
        std::size_t at = 0;
    };
    [[nodiscard]] Result<bool> start(WalkItem& item);
    [[nodiscard]] Result<void> enter(std::string path, std::string relative);
    [[nodiscard]] Result<void> read(int fd, Level& level);
    void consider(Level& level, char const* name, unsigned char type, int fd);
    [[nodiscard]] bool cancelled() const { return cancel_ && cancel_->load(std::memory_order_relaxed); }

    WalkOptions options_;
    Want want_;
    CancelFlag cancel_;
    GlobSet exclude_;
    IgnoreStack ignore_;
    std::vector<Level> levels_;
    std::unique_ptr<char[]> buffer_;
    std::uint64_t skipped_ = 0;
    bool relative_;
    bool started_ = false;
};

}  // namespace execd::fs
