// What is known of one name in the file system, and how it is asked for.
//
// Operations in this room are plain structs: fields in, `Result<Answer> run() const` does the blocking work
// in the calling thread (a pool thread or a per-user worker process, never the reactor), `visit` names the
// fields for the wire to a worker. The reactor runs them through an Executor (fs/executor.hpp). They have
// constructors, because g++ 12 destroys an aggregate that is braced inside a co_await expression at the wrong
// address (`co_await f(Aggregate{text})`).
//
// Errors carry the system call in `where`, the path in `detail` and the errno in `sys`.
#pragma once
#include <sys/stat.h>

#include <cstdint>
#include <optional>
#include <string>

#include "base/error.hpp"
#include "base/work_pool.hpp"

struct statx;

namespace execd {
struct AccountTable;
}

namespace execd::fs {

enum class Kind : std::uint8_t { file, directory, symlink, other };
[[nodiscard]] std::string_view to_string(Kind);

struct Entry {
    std::string path{};  // as asked for, or root/name for listed ones
    std::string name{};
    Kind kind = Kind::file;
    std::uint64_t size = 0;
    std::int64_t mtime_ns = 0;  // since the epoch
    std::int64_t ctime_ns = 0;
    std::int64_t atime_ns = 0;
    std::uint32_t mode = 0;  // permission bits with setuid, setgid, sticky: at most 07777
    std::uint32_t uid = 0;
    std::uint32_t gid = 0;
    std::uint64_t inode = 0;
    std::uint64_t device = 0;
    std::uint32_t links = 0;
    std::string owner{};  // name, or the decimal id when it has none
    std::string group{};
    std::optional<std::string> target{};  // of a symlink, when asked for

    /// "-rw-r--r--" (d, l, ? for the other kinds)
    [[nodiscard]] std::string permissions() const;

    template <class A>
    void visit(A& a) {
        a(path, name, kind, size, mtime_ns, ctime_ns, atime_ns, mode, uid, gid, inode, device, links, owner,
          group, target);
    }
};

/// Names of ids with a memory of the last one: a directory mostly has one owner.
class OwnerNames {
  public:
    OwnerNames();
    [[nodiscard]] std::string const& user(std::uint32_t uid);
    [[nodiscard]] std::string const& group(std::uint32_t gid);

  private:
    std::shared_ptr<AccountTable const> table_;
    std::optional<std::uint32_t> last_uid_, last_gid_;
    std::string user_, group_;
};

/// lstat, or stat with follow. Never opens the file.
struct Stat {
    using Answer = Entry;
    static constexpr Lane kLane = Lane::metadata;
    std::string path{};
    bool follow = false;
    bool read_link = true;

    explicit Stat(std::string path_ = {}, bool follow_ = false) : path(std::move(path_)), follow(follow_) {}
    [[nodiscard]] Result<Entry> run() const;
    template <class A>
    void visit(A& a) {
        a(path, follow, read_link);
    }
};

/// statx of `name` in `dirfd` into everything but path, name and target. `flags` are AT_*.
[[nodiscard]] Result<Entry> entry_at(int dirfd, char const* name, int flags, OwnerNames& names);
void fill_entry(Entry& entry, struct ::statx const& stat, OwnerNames& names);
/// The mask that entry_at needs.
[[nodiscard]] unsigned statx_mask();

}  // namespace execd::fs
