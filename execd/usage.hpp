// What the container uses of what it may use: CPU and memory as its cgroup counts them (v2, v1 or hybrid), as
// the machine does where no cgroup says. Nothing is sampled in the background: CPU is measured between two
// looks.
//
// Thread: a UsageMeter belongs to one user at a time; look() blocks for some hundred microseconds (pool).
#pragma once
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace execd {

struct UsageFiles {
    /// Tests give a fake tree; "" in front of every path below.
    std::string root{};
    std::string proc = "/proc";
    std::string cgroup_mounts = "/proc/self/mountinfo";
    std::string cgroup_self = "/proc/self/cgroup";
};

struct Usage {
    double cpus = 1;                 // that may be used: the quota, otherwise the CPUs of our affinity
    double cpu_percent = 0;          // of those, 0 to 100, since the look before
    std::uint64_t memory_total = 0;  // bytes: the smallest limit on the way up, otherwise the machine's
    std::uint64_t memory_used = 0;   // without what the kernel would give back at once (inactive file cache)
};

/// Counters at one moment.
struct UsageLook {
    std::chrono::steady_clock::time_point at{};
    std::uint64_t cpu_ns = 0;
    double cpus = 1;
    std::uint64_t memory_total = 0;
    std::uint64_t memory_used = 0;
};

/// Which files to read is found out once.
class UsageSource {
  public:
    explicit UsageSource(UsageFiles files = {});
    [[nodiscard]] UsageLook look() const;

  private:
    struct Group {
        std::string path;  // directory
        bool v2 = false;
    };
    void find_groups();
    [[nodiscard]] double cpus() const;
    [[nodiscard]] std::uint64_t cpu_ns() const;
    void memory(UsageLook& look) const;

    UsageFiles files_;
    // From our own group up to the mount.
    std::vector<Group> memory_;
    std::vector<Group> quota_;
    std::optional<Group> account_;  // where CPU time is counted
};

/// What happened between two looks. Pure.
[[nodiscard]] Usage usage_between(UsageLook const& before, UsageLook const& now);

/// The bytes of "Name:   123 kB" in /proc/meminfo's text; 0 when absent. Pure.
[[nodiscard]] std::uint64_t meminfo_bytes(std::string_view text, std::string_view name);

}  // namespace execd
