// The blocking half of writing a file: stage a temporary beside the target, fill it, commit it by rename; or
// discard it. Old file or complete new file, never half (DESIGN section 9). Used by pool threads and by
// per-user workers, which hand the staged descriptor to the daemon.
//
// What commit carries over from a replaced file: mode, owner, extended attributes. Links are resolved: the
// file that they point to is replaced. Where no name can be made beside the target or the rename is refused
// (a bind-mounted file, a directory without write permission, an owner that we may not give), the content is
// spooled and copied into the existing file at commit. Devices and FIFOs are written through directly.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/error.hpp"
#include "base/unique_fd.hpp"
#include "base/work_pool.hpp"
#include "fs/ops.hpp"

namespace execd::fs {

enum class Existing : std::uint8_t { replace, refuse };
/// What is on the disk when commit answers: whatever the kernel likes, the content, or content and name.
enum class Sync : std::uint8_t { none, content, full };

/// A file as somebody has seen it: any change of its content, or another file in its place, differs.
struct Seen {
    std::uint64_t device = 0;
    std::uint64_t inode = 0;
    std::uint64_t size = 0;
    std::int64_t mtime_ns = 0;

    Seen() = default;
    Seen(std::uint64_t device_, std::uint64_t inode_, std::uint64_t size_, std::int64_t mtime_ns_)
        : device(device_), inode(inode_), size(size_), mtime_ns(mtime_ns_) {}
    [[nodiscard]] bool operator==(Seen const&) const = default;
    template <class A>
    void visit(A& a) {
        a(device, inode, size, mtime_ns);
    }
};
/// `where` of the conflict when it is not what WriteOptions::seen says.
inline constexpr std::string_view kChangedMeanwhile = "write.changed";

struct WriteOptions {
    std::string path{};                     // absolute
    std::optional<std::uint64_t> length{};  // announced: space is checked before, the length at commit
    std::uint64_t expected = 0;             // about that much will come: only the space is checked before
    std::optional<std::string> sha256{};    // lower-case hex, checked at commit
    std::optional<std::uint32_t> mode{};    // exact; unset: the replaced file's, or create_mode & ~umask
    std::uint32_t create_mode = 0666;
    Ownership owner{};
    Existing existing = Existing::replace;
    bool make_parents = true;
    Sync sync = Sync::none;
    std::optional<std::uint64_t> max_size{};  // too_large beyond
    std::optional<Seen> seen{};  // looked at right before the rename: conflict when the target is another

    explicit WriteOptions(std::string path_ = {}) : path(std::move(path_)) {}
    template <class A>
    void visit(A& a) {
        a(path, length, expected, sha256, mode, create_mode, owner, existing, make_parents, sync, max_size,
          seen);
    }
};

struct Written {
    std::string path{};  // links resolved
    std::uint64_t size = 0;
    bool created = false;
    std::int64_t mtime_ns = 0;
    std::uint64_t inode = 0;
    std::uint64_t device = 0;

    template <class A>
    void visit(A& a) {
        a(path, size, created, mtime_ns, inode, device);
    }
};

enum class StagedAs : std::uint8_t { anonymous, named, spooled, direct };

/// Owns the temporary: what is neither committed nor discarded is discarded by the destructor.
struct Staged {
    UniqueFd fd{};
    StagedAs how = StagedAs::named;
    bool replaces = false;
    std::string target{};
    std::string temporary{};  // name beside the target, of a named one
    std::uint32_t old_mode = 0;
    static constexpr std::uint32_t kUnknown = UINT32_MAX;
    std::uint32_t made_mode = kUnknown;  // of the temporary, where it was seen
    bool ours = true;  // false: staged by a worker; discarding closes the descriptor and unlinks nothing

    Staged() = default;
    Staged(Staged&&) noexcept = default;
    Staged& operator=(Staged&& other) noexcept;
    ~Staged() { discard(); }
    void discard() noexcept;

    template <class A>
    void visit(A& a) {
        a(fd, how, replaces, target, temporary, old_mode);
    }
};

/// Everything that can fail before the first byte fails here: is_a_directory, already_exists, no_space,
/// permission_denied ...
struct Stage : WriteOptions {
    using Answer = Staged;
    static constexpr Lane kLane = Lane::metadata;
    explicit Stage(WriteOptions options = WriteOptions()) : WriteOptions(std::move(options)) {}
    [[nodiscard]] Result<Staged> run() const;
};

/// Makes what was staged the file. `size` bytes have been written to staged.fd.
struct Commit {
    using Answer = Written;
    static constexpr Lane kLane = Lane::bulk;
    WriteOptions options;
    Staged staged{};
    std::uint64_t size = 0;

    explicit Commit(WriteOptions options_ = WriteOptions(), Staged staged_ = {}, std::uint64_t size_ = 0)
        : options(std::move(options_)), staged(std::move(staged_)), size(size_) {}
    [[nodiscard]] Result<Written> run();
    template <class A>
    void visit(A& a) {
        a(options, staged, size);
    }
};

/// Stage, write, commit in one go: small files.
struct PutFile {
    using Answer = Written;
    static constexpr Lane kLane = Lane::metadata;
    WriteOptions options;
    std::string content{};

    explicit PutFile(WriteOptions options_ = WriteOptions(), std::string content_ = {})
        : options(std::move(options_)), content(std::move(content_)) {}
    [[nodiscard]] Result<Written> run() const;
    /// On the reactor, if nothing of it waits for a device: the directory lies in memory and in the name
    /// cache, the target is a file or nothing, the content small.
    [[nodiscard]] std::optional<Result<Written>> run_quick() const;
    template <class A>
    void visit(A& a) {
        a(options, content);
    }
};

/// Appends (creating the file when missing) in one write per call.
struct AppendFile {
    using Answer = Written;
    static constexpr Lane kLane = Lane::metadata;
    WriteOptions options;  // mode and owner only matter when the file is created
    std::string content{};

    explicit AppendFile(WriteOptions options_ = WriteOptions(), std::string content_ = {})
        : options(std::move(options_)), content(std::move(content_)) {}
    [[nodiscard]] Result<Written> run() const;
    template <class A>
    void visit(A& a) {
        a(options, content);
    }
};

/// The file that `path` names through links; a dangling link names what it would create. invalid_argument
/// (ELOOP) when it goes round.
[[nodiscard]] Result<std::string> resolve_links(std::string path);
/// no_space when `bytes` do not fit on the file system of `fd`.
[[nodiscard]] Result<void> check_space(int fd, std::uint64_t bytes);

}  // namespace execd::fs
