// Cgroups: limits, out-of-memory truth and gapless killing for an execution or a claim, on cgroup v2, on v1
// (one hierarchy per controller), on a hybrid of both (limits in v1, kill and freeze in v2), or not at all.
//
// Thread: detect() and create() touch files of the kernel: at start or on the pool. A Cgroup's quick calls
// (kill, counts) are single small reads and writes and may run on the reactor.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "base/unique_fd.hpp"

namespace execd::shell {

struct ResourceLimits {
    std::optional<std::uint64_t> memory;  // bytes
    std::optional<std::uint64_t> pids;
    std::optional<double> cpu;  // cores
    [[nodiscard]] bool any() const { return memory || pids || cpu; }
};

class Cgroups;

/// One group, with a directory in each hierarchy in use. Its directories are removed when the last owner lets
/// go.
class Cgroup {
  public:
    ~Cgroup();
    Cgroup(Cgroup const&) = delete;
    Cgroup& operator=(Cgroup const&) = delete;

    /// For SpawnSpec's cgroup_dir (-1 without v2), cgroup_procs (v2) and cgroup_also (v1).
    [[nodiscard]] int spawn_dir() const { return spawn_dir_.get(); }
    [[nodiscard]] std::vector<int> spawn_procs() const;
    [[nodiscard]] std::vector<int> spawn_also() const;
    /// Limits that were asked for and are not in force: "memory", "pids", "cpu".
    [[nodiscard]] std::vector<std::string> const& not_enforced() const { return not_enforced_; }

    /// Everything in it, also what forks meanwhile. False: this kernel cannot; use the process tree.
    bool kill();
    /// For killing alone and used again and again (Cgroups::take_plain): no limits, counts nothing.
    [[nodiscard]] bool plain() const { return plain_; }
    /// Whether something lives in it. True when that cannot be told.
    [[nodiscard]] bool populated() const;
    /// Nothing lives in it, nor will: its owner lets go now.
    [[nodiscard]] bool unused();
    /// Thaws or freezes everything in it. False: no freezer here.
    bool freeze(bool frozen);
    /// After freeze(true): until all of it stands still. False: it did not within the time. Blocks (pool).
    [[nodiscard]] bool wait_frozen(int milliseconds) const;
    /// Until no process is in it or below it; at once where the kernel does not tell. Blocks (pool).
    [[nodiscard]] bool wait_empty(int milliseconds) const;
    /// False: an out-of-memory kill in it is told by the container's counter alone (Cgroups::own_oom_kills).
    [[nodiscard]] bool counts_memory() const;
    /// Its counters tell also of groups below it (v2).
    [[nodiscard]] bool counts_below() const { return directory("memory") == nullptr; }
    [[nodiscard]] std::uint64_t oom_kills() const;
    [[nodiscard]] std::optional<std::uint64_t> peak_memory() const;
    [[nodiscard]] std::optional<std::uint64_t> current_pids() const;
    [[nodiscard]] std::vector<pid_t> members() const;

    /// Plain groups that wait for the next execution, below one directory. Those that are left when the last
    /// owner lets go are removed.
    struct Ready;

  private:
    friend class Cgroups;
    Cgroup() = default;
    [[nodiscard]] bool go_back();
    [[nodiscard]] std::string const* directory(std::string_view controller) const;
    struct Place {
        std::string controller;  // "memory", "pids", "cpu", "freezer"; "" is v2
        std::string path;
    };
    std::shared_ptr<Cgroup> parent_;
    std::vector<Place> places_;
    std::vector<UniqueFd> procs_;
    std::vector<UniqueFd> also_;
    UniqueFd spawn_dir_;
    std::vector<std::string> not_enforced_;
    bool plain_ = false;
    bool killed_ = false;  // since Linux 6.14 a child that is made right in such a group is killed at once
    bool unused_ = false;
    std::weak_ptr<Ready> ready_;  // where a plain one goes when nobody uses it any more
};

class Cgroups {
  public:
    struct Options {
        /// Tests give fake files.
        std::string mountinfo = "/proc/self/mountinfo";
        std::string self = "/proc/self/cgroup";
        /// v2 allows limits for children only where no process sits beside them: move ourselves into a leaf.
        bool may_move_self = true;
    };
    /// Looks what is there and writable; never fails, the result may offer nothing.
    [[nodiscard]] static std::shared_ptr<Cgroups> detect();
    [[nodiscard]] static std::shared_ptr<Cgroups> detect(Options const& options);
    ~Cgroups();

    /// "v2", "v1", "hybrid" or "none".
    [[nodiscard]] std::string_view kind() const;
    /// Which of "memory", "pids", "cpu" can be limited here.
    [[nodiscard]] std::vector<std::string> const& controllers() const { return controllers_; }
    [[nodiscard]] bool can_kill() const { return can_kill_; }

    /// A group below `parent` (or below the daemon's own). unavailable when there is no cgroup to be had at
    /// all.
    [[nodiscard]] Result<std::shared_ptr<Cgroup>> create(std::string const& name,
                                                         ResourceLimits const& limits,
                                                         std::shared_ptr<Cgroup> parent = nullptr) const;

    /// Every execution can have a group of its own at little cost, so that its end is complete: there is
    /// cgroup.kill, and children can be made right in a group.
    [[nodiscard]] bool can_contain() const { return ready_ != nullptr; }
    /// A plain group that is ready, with its descriptor for the spawn; null when none is: then make one on
    /// the pool (create_plain). Quick: for the reactor.
    using Plain = std::pair<std::shared_ptr<Cgroup>, UniqueFd>;
    [[nodiscard]] static Plain take_plain(std::shared_ptr<Cgroup::Ready> const& where);
    [[nodiscard]] static Plain create_plain(std::shared_ptr<Cgroup::Ready> const& where);
    /// Where they are below the daemon's own group; null without can_contain().
    [[nodiscard]] std::shared_ptr<Cgroup::Ready> const& plain() const { return ready_; }
    /// The same below `parent`: its limits bind them, its end is theirs.
    [[nodiscard]] std::shared_ptr<Cgroup::Ready> plain_below(Cgroup const& parent) const;

    /// Kills by the kernel in the daemon's own group so far: a rise tells an OOM kill where executions have
    /// no group.
    [[nodiscard]] std::uint64_t own_oom_kills() const;

    struct Hierarchy {
        std::vector<std::string> controllers;  // empty: v2
        std::string base;                      // the directory our groups are made in
        std::string own;                       // the daemon's own group
    };

  private:
    Cgroups() = default;
    void look(Options const& options);
    void prepare_v2(Hierarchy& v2, bool may_move_self);
    void prepare_plain();
    std::vector<Hierarchy> hierarchies_;
    std::vector<std::string> controllers_;
    bool can_kill_ = false;
    bool v2_limits_ = false;
    std::shared_ptr<Cgroup::Ready> ready_;
    std::string oom_path_;
    UniqueFd oom_file_;  // open: every start asks
    std::string oom_key_;
};

/// The value of `key` in lines of "key value"; 0 when absent. Pure.
[[nodiscard]] std::uint64_t flat_value(std::string_view text, std::string_view key);

struct CgroupMount {
    std::string path;
    std::string root;
    std::vector<std::string> controllers;  // empty: v2
};
/// The cgroup mounts in /proc/self/mountinfo. Pure.
[[nodiscard]] std::vector<CgroupMount> parse_cgroup_mounts(std::string_view mountinfo);
/// Our path in the hierarchy of `controller` ("" = v2) by /proc/self/cgroup; nothing when absent. Pure.
[[nodiscard]] std::optional<std::string> own_cgroup(std::string_view self, std::string_view controller);

}  // namespace execd::shell
