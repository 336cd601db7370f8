// Everything that changes names and attributes but not content: directories, moving, copying, removing,
// permissions, links. Plain operations as described in fs/entry.hpp. Paths are absolute.
#pragma once
#include <optional>
#include <string>

#include "base/error.hpp"
#include "base/work_pool.hpp"
#include "fs/entry.hpp"

namespace execd::fs {

struct Done {
    template <class A>
    void visit(A&) {}
};

/// Owner and group as a client names them; empty leaves as it is. Decimal ids are taken when no account has
/// that name, unless names_only.
struct Ownership {
    std::string owner{};
    std::string group{};
    bool names_only = false;

    Ownership(std::string owner_ = {}, std::string group_ = {},
              bool names_only_ = false)  // NOLINT: reads as a list
        : owner(std::move(owner_)), group(std::move(group_)), names_only(names_only_) {}
    [[nodiscard]] bool empty() const { return owner.empty() && group.empty(); }
    template <class A>
    void visit(A& a) {
        a(owner, group, names_only);
    }
};
struct OwnerIds {
    std::uint32_t uid = UINT32_MAX;  // as chown(2): all ones leave it
    std::uint32_t gid = UINT32_MAX;
};
/// invalid_argument with where "owner" or "group" and detail "unknown user NAME" / "unknown group NAME".
[[nodiscard]] Result<OwnerIds> resolve(Ownership const& who);

struct Made {
    bool created = false;
    template <class A>
    void visit(A& a) {
        a(created);
    }
};

/// mkdir -p. An existing directory (or a link to one) is fine: then nothing of it changes.
struct MakeDirectory {
    using Answer = Made;
    static constexpr Lane kLane = Lane::metadata;
    std::string path{};
    std::optional<std::uint32_t> mode{};  // of the leaf, whatever the umask; unset: create_mode & ~umask
    std::uint32_t create_mode = 0777;
    Ownership owner{};  // of the leaf
    bool parents = true;
    bool exist_ok = true;

    explicit MakeDirectory(std::string path_ = {}, std::optional<std::uint32_t> mode_ = std::nullopt)
        : path(std::move(path_)), mode(mode_) {}
    [[nodiscard]] Result<Made> run() const;
    template <class A>
    void visit(A& a) {
        a(path, mode, create_mode, owner, parents, exist_ok);
    }
};

/// rename, or copy and remove across devices. The destination is the new name itself, never a directory to
/// move into. already_exists carries the destination in `detail`, not_found of the source has where "stat"
/// and the source.
struct Move {
    using Answer = Done;
    static constexpr Lane kLane = Lane::bulk;
    std::string source{};
    std::string destination{};
    bool overwrite = false;
    bool make_parents = true;

    explicit Move(std::string source_ = {}, std::string destination_ = {}, bool overwrite_ = false)
        : source(std::move(source_)), destination(std::move(destination_)), overwrite(overwrite_) {}
    [[nodiscard]] Result<Done> run() const;
    template <class A>
    void visit(A& a) {
        a(source, destination, overwrite, make_parents);
    }
};

/// Files, links and (with `tree`) directories; keeps modes and times, and owners when allowed to.
struct Copy {
    using Answer = Done;
    static constexpr Lane kLane = Lane::bulk;
    std::string source{};
    std::string destination{};
    bool tree = false;
    bool overwrite = false;
    bool make_parents = true;

    explicit Copy(std::string source_ = {}, std::string destination_ = {}, bool tree_ = false,
                  bool overwrite_ = false)
        : source(std::move(source_)),
          destination(std::move(destination_)),
          tree(tree_),
          overwrite(overwrite_) {}
    [[nodiscard]] Result<Done> run() const;
    template <class A>
    void visit(A& a) {
        a(source, destination, tree, overwrite, make_parents);
    }
};

struct Removed {
    std::uint64_t count = 0;  // names removed; 0: there was nothing
    template <class A>
    void visit(A& a) {
        a(count);
    }
};

/// Removes the name itself, never what a link points to. Without `tree` a directory is is_a_directory. With
/// `tree` everything below goes too; mount points and undeletable names stay and the first such error is
/// answered after the rest is gone. The root directory is refused however it is spelled.
struct Remove {
    using Answer = Removed;
    static constexpr Lane kLane = Lane::bulk;
    std::string path{};
    bool tree = false;
    bool missing_ok = false;

    explicit Remove(std::string path_ = {}, bool tree_ = false, bool missing_ok_ = false)
        : path(std::move(path_)), tree(tree_), missing_ok(missing_ok_) {}
    [[nodiscard]] Result<Removed> run() const;
    template <class A>
    void visit(A& a) {
        a(path, tree, missing_ok);
    }
};

/// chmod, then chown. Follows links unless told otherwise (a link's own mode cannot be changed then).
struct SetPermissions {
    using Answer = Done;
    static constexpr Lane kLane = Lane::metadata;
    std::string path{};
    std::optional<std::uint32_t> mode{};
    Ownership owner{};
    bool follow = true;

    explicit SetPermissions(std::string path_ = {}, std::optional<std::uint32_t> mode_ = std::nullopt,
                            Ownership owner_ = {})
        : path(std::move(path_)), mode(mode_), owner(std::move(owner_)) {}
    [[nodiscard]] Result<Done> run() const;
    template <class A>
    void visit(A& a) {
        a(path, mode, owner, follow);
    }
};

struct Symlink {
    using Answer = Done;
    static constexpr Lane kLane = Lane::metadata;
    std::string path{};
    std::string target{};

    explicit Symlink(std::string path_ = {}, std::string target_ = {})
        : path(std::move(path_)), target(std::move(target_)) {}
    [[nodiscard]] Result<Done> run() const;
    template <class A>
    void visit(A& a) {
        a(path, target);
    }
};

/// Sets the times (nothing: now); creates an empty file where there is none, if told to.
struct Touch {
    using Answer = Done;
    static constexpr Lane kLane = Lane::metadata;
    std::string path{};
    std::optional<std::int64_t> mtime_ns{};
    bool create = true;
    bool make_parents = true;

    explicit Touch(std::string path_ = {}, std::optional<std::int64_t> mtime_ns_ = std::nullopt)
        : path(std::move(path_)), mtime_ns(mtime_ns_) {}
    [[nodiscard]] Result<Done> run() const;
    template <class A>
    void visit(A& a) {
        a(path, mtime_ns, create, make_parents);
    }
};

struct Space {
    std::uint64_t total = 0;  // bytes
    std::uint64_t free = 0;   // for us: with the reserve when root
    std::uint64_t inodes = 0;
    std::uint64_t inodes_free = 0;
    bool read_only = false;
    bool in_memory = false;  // tmpfs, ramfs
    template <class A>
    void visit(A& a) {
        a(total, free, inodes, inodes_free, read_only, in_memory);
    }
};

struct DiskSpace {
    using Answer = Space;
    static constexpr Lane kLane = Lane::metadata;
    std::string path{};

    explicit DiskSpace(std::string path_ = {}) : path(std::move(path_)) {}
    [[nodiscard]] Result<Space> run() const;
    template <class A>
    void visit(A& a) {
        a(path);
    }
};

/// mkdir -p of the parent of `path` (0777 & ~umask).
[[nodiscard]] Result<void> make_parent(std::string const& path);

}  // namespace execd::fs
