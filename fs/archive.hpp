// A tree as one stream of bytes and back: tar, plain or through gzip or zstd, with libarchive. Names are
// bytes both ways, whatever the locale.
//
// Packing is pulled in slices, so that a slow reader holds no thread. Unpacking takes a file and reads it
// twice: the first pass writes nothing and refuses what is broken, too large, or would leave its directory.
//
// Thread: one at a time; never the reactor.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "base/unique_fd.hpp"
#include "base/work_pool.hpp"
#include "fs/walk.hpp"

namespace execd::fs {

enum class ArchiveFormat : std::uint8_t { tar, tar_gz, tar_zst };
/// By name or suffix: "tar", "tar.gz", "tgz", "tar.zst", "tzst".
[[nodiscard]] std::optional<ArchiveFormat> archive_format(std::string_view name);
[[nodiscard]] std::string_view suffix_of(ArchiveFormat);      // ".tar.gz"
[[nodiscard]] std::string_view media_type_of(ArchiveFormat);  // "application/gzip"

// ---- packing

struct PackOptions : WalkOptions {
    ArchiveFormat format = ArchiveFormat::tar_gz;
    std::optional<int> level{};  // of the compressor; its own default otherwise

    explicit PackOptions(std::string path_ = {}) { path = std::move(path_); }
};

/// Names in the archive are below the root (a root that is a file: its base name). Sockets, FIFOs and devices
/// are left out and counted.
class Packer {
  public:
    explicit Packer(PackOptions options, CancelFlag cancel = {});
    ~Packer();
    Packer(Packer&&) noexcept;

    /// Appends at least `least` bytes unless it comes to the end: then done(). Errors are those of the tree;
    /// conflict (where "pack.changed") when a file became shorter while it was read.
    [[nodiscard]] Result<void> next(std::string& out, std::size_t least);
    [[nodiscard]] bool done() const;
    [[nodiscard]] std::uint64_t skipped() const;

  private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

// ---- unpacking

struct UnpackOptions {
    std::string path{};                      // the directory, made when missing
    bool overwrite = true;                   // otherwise already_exists for a name that is there
    bool owners = false;                     // give files the owners in the archive, by id
    std::uint64_t max_bytes = 64ULL << 30U;  // of content
    std::uint64_t max_entries = 1'000'000;
    std::uint32_t max_ratio = 1000;  // content to archive size, looked at above 1 GiB of content

    explicit UnpackOptions(std::string path_ = {}) : path(std::move(path_)) {}
    template <class A>
    void visit(A& a) {
        a(path, overwrite, owners, max_bytes, max_entries, max_ratio);
    }
};

struct Unpacked {
    std::uint64_t files = 0;
    std::uint64_t directories = 0;
    std::uint64_t links = 0;  // symbolic and hard
    std::uint64_t bytes = 0;
    std::uint64_t skipped = 0;  // devices, FIFOs
    template <class A>
    void visit(A& a) {
        a(files, directories, links, bytes, skipped);
    }
};

/// decode (where "archive") for what is no archive or ends early; invalid_argument (where "archive.name") for
/// a name that is absolute or holds ".."; too_large (where "archive.limit"); no_space. All of these before
/// anything is written. Nothing is ever written through a symbolic link, in the archive or on the disk, below
/// the directory; symbolic links are made last. Each file appears whole. setuid and the like are dropped.
struct Unpack {
    using Answer = Unpacked;
    static constexpr Lane kLane = Lane::bulk;
    UnpackOptions options;
    UniqueFd archive{};
    CancelFlag cancel{};

    explicit Unpack(UnpackOptions options_ = UnpackOptions(), UniqueFd archive_ = {})
        : options(std::move(options_)), archive(std::move(archive_)) {}
    [[nodiscard]] Result<Unpacked> run() const;
    template <class A>
    void visit(A& a) {
        a(options, archive);
    }
};

/// The name as a path below a directory ("./a//b/" is "a/b", "." is empty); nothing for one that would leave
/// it. Pure.
[[nodiscard]] std::optional<std::string> member_name(std::string_view name);

/// What the first pass of unpacking finds. Reads `archive` from its beginning.
[[nodiscard]] Result<Unpacked> examine_archive(int archive, UnpackOptions const& options,
                                               CancelFlag const& cancel = {});
/// The same of bytes in memory.
[[nodiscard]] Result<Unpacked> examine_archive(std::string_view archive, UnpackOptions const& options);

}  // namespace execd::fs
