// Bytes whose place is not known yet: a little in memory, more in a file without a name (it is gone with the
// Spool, or with the daemon). Written to once, then read once.
//
// Thread: the reactor.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.hpp"
#include "base/loop.hpp"
#include "base/task.hpp"
#include "base/unique_fd.hpp"

namespace execd::fs {

/// A file without a name on the file system of `directory`, readable and writable. Blocks.
[[nodiscard]] Result<UniqueFd> open_unnamed(std::string const& directory);

class Executor;

class Spool {
  public:
    /// `directory`: on whose file system larger content lies; it must exist by then.
    Spool(Loop& loop, std::string directory) : loop_(&loop), directory_(std::move(directory)) {}
    /// For a directory that may lie on a file system that hangs.
    Spool(Executor& files, std::string directory);

    /// no_space and the like. The bytes are not needed after this returns.
    [[nodiscard]] Task<Result<void>> append(std::string_view bytes);
    /// The next piece, empty at the end; valid until the next call. No more append() from here on.
    [[nodiscard]] Task<Result<std::string_view>> next();
    /// The content as a file, for who wants it as one: written out even when it is small.
    [[nodiscard]] Task<Result<UniqueFd>> take_file();
    [[nodiscard]] std::uint64_t size() const { return size_; }

  private:
    struct Disk;
    template <class Op>
    [[nodiscard]] Task<Result<std::size_t>> run(Op op);
    [[nodiscard]] Task<Result<void>> write_out();
    Loop* loop_;
    Executor* files_ = nullptr;
    std::string directory_;
    std::string memory_;
    std::shared_ptr<Disk> disk_;
    std::uint64_t size_ = 0;
    std::uint64_t read_ = 0;
    bool reading_ = false;
};

}  // namespace execd::fs
