// SpillStore: where journals put what does not fit in memory. One private directory (0700) of unlinked files:
// their space is free as soon as the daemon ends, however it ends; directories of dead daemons are removed at
// start. One cap over all journals, at most a tenth of the file system; none at all on tmpfs (that would be
// memory again).
//
// Thread: the reactor, except the constructor's file system calls (a handful, at start).
#pragma once
#include <cstdint>
#include <list>
#include <memory>
#include <string>

#include "base/error.hpp"
#include "base/unique_fd.hpp"
#include "shell/journal_block.hpp"

namespace execd::shell {

class Journal;

class SpillStore {
  public:
    struct Options {
        /// Parent of the private directory; empty: memory only.
        std::string parent;
        std::uint64_t limit = 512ULL << 20;
        /// Tests spill on tmpfs too.
        bool allow_tmpfs = false;
    };
    /// Memory only.
    SpillStore();
    explicit SpillStore(Options const& options);
    ~SpillStore();
    SpillStore(SpillStore const&) = delete;
    SpillStore& operator=(SpillStore const&) = delete;

    /// False: memory only (no directory, tmpfs, not writable).
    [[nodiscard]] bool enabled() const { return static_cast<bool>(directory_); }
    [[nodiscard]] std::string const& path() const { return path_; }
    [[nodiscard]] std::uint64_t limit() const { return limit_; }
    [[nodiscard]] std::uint64_t used() const { return used_; }
    [[nodiscard]] std::shared_ptr<BlockPool> const& blocks() const { return blocks_; }

    /// A new file without a name.
    [[nodiscard]] Result<UniqueFd> create() const;
    /// Takes `bytes` of the cap; finished journals lose their spilled part for it, oldest first. False: still
    /// no room.
    [[nodiscard]] bool reserve(std::uint64_t bytes);
    void release(std::uint64_t bytes) { used_ -= bytes; }
    /// From now on `journal` (which has a part on disk) may be evicted.
    void finished(std::weak_ptr<Journal> journal);

  private:
    std::string path_;
    UniqueFd directory_;
    std::uint64_t limit_ = 0;
    std::uint64_t used_ = 0;
    std::shared_ptr<BlockPool> blocks_ = std::make_shared<BlockPool>();
    std::list<std::weak_ptr<Journal>> finished_;
};

}  // namespace execd::shell
