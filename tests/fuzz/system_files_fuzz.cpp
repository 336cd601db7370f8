// The kernel's files and those of the image: /proc, cgroups, accounts. Processes name themselves, images
// bring any /etc/passwd, and container runtimes mount cgroups in ways of their own.

#include <filesystem>
#include <fstream>

#include "base/accounts.hpp"
#include "base/check.hpp"
#include "execd/usage.hpp"
#include "shell/cgroup.hpp"
#include "shell/cgroup_files.hpp"
#include "shell/environment.hpp"
#include "shell/process_forest.hpp"
#include "shell/process_info.hpp"
#include "tests/fuzz/folder.hpp"
#include "tests/fuzz/target.hpp"

namespace execd {
namespace {

constexpr std::string_view kFiles[] = {
    "/proc/7/stat",       "/proc/7/cmdline",        "/proc/7/environ",    "/proc/self/mountinfo",
    "/proc/self/cgroup",  "/proc/meminfo",          "/proc/stat",         "/cg/pod/cpu.max",
    "/cg/pod/memory.max", "/cg/pod/memory.current", "/cg/pod/memory.stat"};

/// A root with one process and one cgroup, all well formed.
class Tree {
  public:
    Tree() {
        whole("/proc/7/stat", "7 (a) b) S 1 7 7 0 -1 4194560 1 0 0 0 5 6 0 0 20 0 1 0 100 1000 250 1 0\n");
        whole("/proc/7/cmdline", std::string_view("a\0b\0", 4));
        whole("/proc/7/environ", std::string_view("A=1\0EXECD_EXECUTION=x\0", 22));
        whole("/proc/self/mountinfo", "30 20 0:26 / /cg rw - cgroup2 cgroup2 rw\n");
        whole("/proc/self/cgroup", "0::/pod\n");
        whole("/proc/meminfo", "MemTotal:        1000 kB\nMemFree:          200 kB\n");
        whole("/proc/stat", "cpu  10 0 20 999 5 0 3 7 0 0\n");
        whole("/cg/pod/cpu.max", "50000 100000\n");
        whole("/cg/pod/memory.max", "500000\n");
        whole("/cg/pod/memory.current", "300000\n");
        whole("/cg/pod/memory.stat", "anon 1\ninactive_file 100000\n");
    }
    void put(std::string_view path, std::string_view bytes) const {
        std::ofstream(root + std::string(path), std::ios::binary) << bytes;
    }
    void restore(std::size_t index) const { put(kFiles[index], good_[index]); }

    fuzz::Folder folder;
    std::string const root = folder.path;

  private:
    void whole(std::string_view path, std::string_view bytes) {
        std::filesystem::create_directories(std::filesystem::path(root + std::string(path)).parent_path());
        put(path, bytes);
        for (std::size_t i = 0; i < std::size(kFiles); ++i)
            if (kFiles[i] == path) good_[i] = bytes;
    }
    std::string good_[std::size(kFiles)];
};

void trees(std::string_view input) {
    static Tree const tree;
    std::size_t const index = fuzz::take_byte(input) % std::size(kFiles);
    tree.put(kFiles[index], input);
    std::string const proc = tree.root + "/proc";
    if (auto const one = shell::describe_process(7, proc)) {
        EXECD_REQUIRE(!one->command.empty() && one->command.size() <= (33U << 10));
        for (auto const& [name, value] : one->environment)
            EXECD_REQUIRE(!shell::is_private_name(name) && value.find('\0') == std::string::npos);
    }
    EXECD_REQUIRE(shell::describe_processes(proc).size() <= 1);
    EXECD_REQUIRE(shell::list_processes(proc).size() <= 1);
    (void)shell::find_tree({.leader = 7, .marker = "x", .since = 1}, proc);
    (void)shell::find_forest({{7}, {"x"}, "owner"}, proc);
    UsageFiles files;
    files.root = tree.root;
    UsageSource const source(files);
    auto const look = source.look();
    auto const between = usage_between(look, source.look());
    EXECD_REQUIRE(look.cpus > 0 && between.cpu_percent >= 0 && between.cpu_percent <= 100);
    (void)shell::cgroup_files::read_number(tree.root + std::string(kFiles[index]));
    tree.restore(index);
}

void texts(std::string_view input) {
    auto const entry = shell::parse_stat(input);
    EXECD_REQUIRE(entry.pid >= 0);
    (void)shell::belongs({{}, {"x"}, "owner"}, input);
    for (auto const& mount : shell::parse_cgroup_mounts(input)) EXECD_REQUIRE(!mount.path.empty());
    (void)shell::own_cgroup(input, "memory");
    (void)shell::flat_value(input, "oom_kill");
    (void)meminfo_bytes(input, "MemTotal");
}

void accounts_of(std::string_view input) {
    auto const groups = input.find('\0');
    auto const table = AccountTable::parse(input.substr(0, groups),
                                           groups == std::string_view::npos ? "" : input.substr(groups + 1));
    for (auto const& user : table.users) {
        EXECD_REQUIRE(!user.name.empty() && table.user(user.name) != nullptr);
        EXECD_REQUIRE(table.user(user.uid) != nullptr);
        EXECD_REQUIRE(table.groups_of(user).front() == user.gid);
    }
    for (auto const& group : table.groups) EXECD_REQUIRE(table.group(group.gid) != nullptr);
}

void run(std::string_view input) {
    switch (fuzz::take_byte(input) % 3) {
        case 0: return trees(input);
        case 1: return texts(input);
        default: return accounts_of(input);
    }
}

fuzz::Target const kTarget("system_files", run);

}  // namespace
}  // namespace execd
