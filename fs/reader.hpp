// Reading for downloads: open, whole chunks, windows of lines. Only regular files are opened: a FIFO, a
// device or a socket is refused before anything could block on it.
//
// A small cached file is served by the reactor itself: open_for_read and ReadFile::next first try what needs
// no device (fs/cached.hpp) and hop to the pool only when that says no. Sending with sendfile is the HTTP
// room's: it takes `file.fd` and a range.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "base/error.hpp"
#include "base/task.hpp"
#include "base/unique_fd.hpp"
#include "base/work_pool.hpp"

namespace execd::fs {

class Executor;

struct OpenFile {
    UniqueFd fd{};
    std::string path{};
    std::uint64_t size = 0;
    std::int64_t mtime_ns = 0;
    std::uint64_t inode = 0;
    std::uint64_t device = 0;
    std::uint32_t mode = 0;
    /// False in /proc and the like: `size` says nothing, read to the end.
    bool sized = true;
    /// On a memory file system: reading waits for nothing.
    bool in_memory = false;
    /// On a network or user-space file system: reading may wait for ever (read_some limits what that holds).
    bool may_hang = false;

    /// Changes with content and with replacement: hex of inode, size and mtime, without quotes.
    [[nodiscard]] std::string etag() const;
    /// The file under this descriptor has another size or mtime by now. One cheap system call.
    [[nodiscard]] bool changed() const;

    template <class A>
    void visit(A& a) {
        a(fd, path, size, mtime_ns, inode, device, mode, sized);
    }
};

/// not_found, permission_denied, is_a_directory; invalid_argument with where "open.special" for what is no
/// file.
struct OpenRead {
    using Answer = OpenFile;
    static constexpr Lane kLane = Lane::metadata;
    std::string path{};
    bool follow = true;

    explicit OpenRead(std::string path_ = {}) : path(std::move(path_)) {}
    [[nodiscard]] Result<OpenFile> run() const;
    template <class A>
    void visit(A& a) {
        a(path, follow);
    }
};

/// The same if everything needed is in memory; nothing otherwise. Thread: the reactor.
[[nodiscard]] std::optional<Result<OpenFile>> open_at_once(Executor& files, std::string const& path);
/// Thread: the reactor.
[[nodiscard]] Task<Result<OpenFile>> open_for_read(Executor& files, std::string path);

/// `length` bytes at `offset` into `out` if that needs no device; false otherwise (also where the file ends
/// before). Thread: the reactor; a few hundred KiB at most.
[[nodiscard]] bool read_at_once(OpenFile const& file, std::uint64_t offset, std::uint64_t length,
                                std::string& out);

/// Up to out.size() bytes at `offset`, from the page cache inline, otherwise on the pool. 0: the end (so far:
/// a file that grows may have more later). `out` and `file` must live until this returns. timed_out where a
/// file that may hang does.
[[nodiscard]] Task<Result<std::size_t>> read_some(Executor& files, OpenFile const& file, std::uint64_t offset,
                                                  std::span<char> out);

/// Small whole files (up to `limit`, too_large beyond) in one go.
[[nodiscard]] Task<Result<std::string>> read_whole(Executor& files, OpenFile const& file,
                                                   std::uint64_t limit);

/// Picks lines out of a stream at any chunking. Lines are joined by '\n'; the ends ("\n", and every "\r"
/// before it) are not part of a line, and the last line chosen gets no '\n' (OpenSandbox section 1.8,
/// download with offset and limit). Pure.
class LineWindow {
  public:
    /// `offset` is the first line, from 1; `limit` unset: to the end.
    LineWindow(std::uint64_t offset, std::optional<std::uint64_t> limit)
        : skip_(offset > 0 ? offset - 1 : 0), left_(limit) {}
    /// Appends what is chosen.
    void push(std::string_view bytes, std::string& out);
    /// Nothing more will be chosen: stop reading.
    [[nodiscard]] bool done() const { return left_ && *left_ == 0; }
    /// Lines seen so far, complete ones.
    [[nodiscard]] std::uint64_t lines() const { return seen_; }

  private:
    void end_line();
    std::uint64_t skip_;
    std::optional<std::uint64_t> left_{};
    std::uint64_t seen_ = 0;
    std::uint64_t returns_ = 0;  // "\r" held back: dropped if the line ends now
    bool chosen_before_ = false;
    bool in_line_ = false;
};

/// A LineWindow over an open file.
class LineReader {
  public:
    LineReader(Executor& files, OpenFile file, std::uint64_t offset, std::optional<std::uint64_t> limit);
    /// The next piece of text, empty at the end.
    [[nodiscard]] Task<Result<std::string>> next();

  private:
    Executor* files_;
    OpenFile file_;
    LineWindow window_;
    std::string buffer_{};
    std::uint64_t at_ = 0;
    bool ended_ = false;
};

}  // namespace execd::fs
