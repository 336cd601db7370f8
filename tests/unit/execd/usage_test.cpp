#include "execd/usage.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace execd {
namespace {

class UsageTree : public ::testing::Test {
  protected:
    UsageTree() {
        char name[] = "/tmp/execd-usage-XXXXXX";
        root = ::mkdtemp(name);
        file("/proc/meminfo",
             "MemTotal:        1000 kB\nMemFree:          200 kB\nBuffers: 50 kB\nCached:   150 kB\n"
             "SReclaimable: 100 kB\n");
        file("/proc/stat", "cpu  10 0 20 999 5 0 3 7 0 0\ncpu0 1 1 1\n");
    }
    ~UsageTree() override { std::filesystem::remove_all(root); }
    void file(std::string const& path, std::string const& content) const {
        std::filesystem::create_directories(std::filesystem::path(root + path).parent_path());
        std::ofstream(root + path) << content;
    }
    UsageFiles files() const {
        UsageFiles out;
        out.root = root;
        return out;
    }
    std::string root;
};

TEST_F(UsageTree, WithoutCgroupsItIsTheMachine) {
    auto const look = UsageSource(files()).look();
    EXPECT_EQ(look.memory_total, 1000 * 1024U);
    EXPECT_EQ(look.memory_used, 500 * 1024U);
    EXPECT_EQ(look.cpu_ns, 40U * (1'000'000'000U / static_cast<unsigned>(::sysconf(_SC_CLK_TCK))));
    EXPECT_GE(look.cpus, 1);
}

TEST_F(UsageTree, V2CountsTheLimitNearestToTheTop) {
    file("/proc/self/mountinfo", "30 20 0:26 / /cg rw - cgroup2 cgroup2 rw\n");
    file("/proc/self/cgroup", "0::/pod/daemon\n");
    file("/cg/pod/cpu.max", "50000 100000\n");
    file("/cg/pod/memory.max", "500000\n");
    file("/cg/pod/memory.current", "300000\n");
    file("/cg/pod/memory.stat", "anon 1\ninactive_file 100000\nactive_file 5\n");
    file("/cg/pod/cpu.stat", "usage_usec 7000\nuser_usec 1\n");
    file("/cg/pod/cgroup.type", "domain\n");
    file("/cg/pod/daemon/cpu.max", "max 100000\n");
    file("/cg/pod/daemon/memory.max", "max\n");
    file("/cg/pod/daemon/memory.current", "10000\n");
    file("/cg/pod/daemon/cpu.stat", "usage_usec 5\n");
    file("/cg/pod/daemon/cgroup.type", "domain\n");
    auto const look = UsageSource(files()).look();
    EXPECT_DOUBLE_EQ(look.cpus, 0.5);
    EXPECT_EQ(look.memory_total, 500'000U);
    EXPECT_EQ(look.memory_used, 200'000U);
    EXPECT_EQ(look.cpu_ns, 7'000'000U);
}

TEST_F(UsageTree, V1AndItsUnlimited) {
    file("/proc/self/mountinfo",
         "30 20 0:26 / /cg/memory rw - cgroup cgroup rw,memory\n31 20 0:27 / /cg/cpu rw - cgroup cgroup "
         "rw,cpu,cpuacct\n");
    file("/proc/self/cgroup", "5:memory:/box\n4:cpu,cpuacct:/box\n");
    file("/cg/memory/box/memory.limit_in_bytes", "9223372036854771712\n");
    file("/cg/memory/box/memory.usage_in_bytes", "400000\n");
    file("/cg/memory/box/memory.stat", "inactive_file 1\ntotal_inactive_file 150000\n");
    file("/cg/cpu/box/cpu.cfs_quota_us", "-1\n");
    file("/cg/cpu/box/cpu.cfs_period_us", "100000\n");
    file("/cg/cpu/box/cpuacct.usage", "123456789\n");
    auto const look = UsageSource(files()).look();
    EXPECT_EQ(look.memory_total, 1000 * 1024U) << "what is not limited is the machine's";
    EXPECT_EQ(look.memory_used, 250'000U);
    EXPECT_EQ(look.cpu_ns, 123'456'789U);
    file("/cg/cpu/box/cpu.cfs_quota_us", "25000\n");
    EXPECT_DOUBLE_EQ(UsageSource(files()).look().cpus, 0.25);
}

TEST(Usage, BetweenTwoLooks) {
    UsageLook before;
    before.cpus = 2;
    UsageLook now = before;
    now.at += std::chrono::seconds(1);
    now.cpu_ns = 500'000'000;
    EXPECT_DOUBLE_EQ(usage_between(before, now).cpu_percent, 25);
    now.cpu_ns = 9'000'000'000;
    EXPECT_DOUBLE_EQ(usage_between(before, now).cpu_percent, 100);
    EXPECT_DOUBLE_EQ(usage_between(now, before).cpu_percent, 0);
    EXPECT_DOUBLE_EQ(usage_between(before, before).cpu_percent, 0);
}

TEST(Usage, RealFilesGiveSomethingPlausible) {
    UsageSource const source;
    auto const look = source.look();
    EXPECT_GT(look.memory_total, 1U << 20U);
    EXPECT_GT(look.memory_used, 0U);
    EXPECT_LE(usage_between(look, source.look()).memory_used, look.memory_total);
}

}  // namespace
}  // namespace execd
