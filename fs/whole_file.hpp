// Whole files in memory, with a bound over all that are: for what cannot be done piece by piece.
#pragma once
#include <cstdint>
#include <string>

#include "base/error.hpp"
#include "fs/reader.hpp"
#include "fs/stage.hpp"

namespace execd::fs {

/// A share of what whole files may take together in this process. Small ones are not counted. Any thread.
class MemoryShare {
  public:
    /// exhausted (where "fs.memory") beyond the bound; one alone always gets its share.
    [[nodiscard]] static Result<MemoryShare> take(std::uint64_t bytes);
    MemoryShare(MemoryShare&& other) noexcept;
    MemoryShare& operator=(MemoryShare&& other) noexcept;
    ~MemoryShare();

    static constexpr std::uint64_t kSmall = 1U << 20U;
    static constexpr std::uint64_t kBound = 256U << 20U;

  private:
    explicit MemoryShare(std::uint64_t bytes) : bytes_(bytes) {}
    std::uint64_t bytes_ = 0;
};

struct WholeFile {
    OpenFile file;
    MemoryShare share;
    std::string bytes;

    [[nodiscard]] Seen seen() const { return {file.device, file.inode, file.size, file.mtime_ns}; }
};
/// Errors of OpenRead; too_large beyond `max_size`; exhausted. Blocks.
[[nodiscard]] Result<WholeFile> load_file(std::string const& path, std::uint64_t max_size);

/// Runs `once` until it was not overtaken by another change of the file (kChangedMeanwhile), a few times at
/// most.
template <class Once>
auto until_not_overtaken(Once once) {
    for (int left = 8;; --left) {
        auto done = once();
        if (done || done.error().where != kChangedMeanwhile) return done;
        if (left == 0) {
            done.error().where = "edit.changed";
            return done;
        }
    }
}

}  // namespace execd::fs
