#include "shell/process_info.hpp"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "harness.hpp"

namespace execd::shell {
namespace {

struct FakeProc {
    std::filesystem::path root =
        std::filesystem::temp_directory_path() / ("execd-process-info-" + std::to_string(::getpid()));
    FakeProc() { std::filesystem::create_directories(root); }
    ~FakeProc() { std::filesystem::remove_all(root); }
    void add(int pid, std::string const& stat, std::string const& cmdline, std::string const& env = {}) {
        auto const at = root / std::to_string(pid);
        std::filesystem::create_directories(at);
        std::ofstream(at / "stat") << stat;
        std::ofstream(at / "cmdline") << cmdline;
        std::ofstream(at / "environ") << env;
        std::filesystem::create_symlink("/some/where", at / "cwd");
    }
};

std::string stat_of(int pid, std::string const& name, char state, int user_ticks, int resident) {
    return std::to_string(pid) + " (" + name + ") " + state + " 1 2 3 0 -1 0 0 0 0 0 " +
           std::to_string(user_ticks) + " 0 0 0 20 0 1 0 1 4096 " + std::to_string(resident) + " 0 0";
}

TEST(ProcessInfo, TellsNameCommandMemoryAndTimes) {
    FakeProc proc;
    using namespace std::string_literals;
    proc.add(20, stat_of(20, "a) (b", 'S', 100, 3), "prog\0one two\0"s);
    proc.add(3, stat_of(3, "kthread", 'I', 0, 0), "");
    std::filesystem::create_directories(proc.root / "self");
    std::filesystem::create_directories(proc.root / "77");  // it ended meanwhile
    auto const all = describe_processes(proc.root.string());
    ASSERT_EQ(all.size(), 2U);
    EXPECT_EQ(all[0].entry.pid, 3);
    EXPECT_EQ(all[0].command, "[kthread]");
    EXPECT_EQ(all[1].name, "a) (b");
    EXPECT_EQ(all[1].command, "prog one two");
    EXPECT_EQ(all[1].memory, 3U * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)));
    EXPECT_GT(all[1].cpu_percent, 0);
    EXPECT_LT(all[1].started, std::chrono::system_clock::now());
    EXPECT_TRUE(all[1].environment.empty());
}

TEST(ProcessInfo, OneHasItsDirectoryAndItsEnvironmentWithoutCredentials) {
    FakeProc proc;
    using namespace std::string_literals;
    proc.add(5, stat_of(5, "x", 'R', 1, 1), "x",
             "A=1\0EXECD_ACCESS_TOKEN=t\0B=x=y\0EXECD_AGENTRUN_ACCESS_KEY_SECRET=s\0broken\0EMPTY=\0"s);
    auto const one = describe_process(5, proc.root.string());
    ASSERT_TRUE(one);
    EXPECT_EQ(one->cwd, "/some/where");
    EXPECT_EQ(one->environment,
              (std::map<std::string, std::string>{{"A", "1"}, {"B", "x=y"}, {"EMPTY", ""}}));
    EXPECT_FALSE(describe_process(6, proc.root.string()));
}

TEST(ProcessInfo, EndsByTermAndWhatIgnoresItByKill) {
    Harness h;
    for (bool const ignores : {false, true}) {
        auto run = h.start(std::string(ignores ? "trap '' TERM; " : "") + "echo ready; exec sleep 1000");
        Cursor cursor = run->journal().reader();
        Batch batch;
        ASSERT_EQ(h.run(cursor.next(batch, h.soon())), Next::data);
        ASSERT_TRUE(h.run(end_process(h.loop, run->pid(), std::chrono::milliseconds(20))));
        auto const verdict = h.verdict(run);
        EXPECT_EQ(std::get<Signaled>(verdict.ending).signal, ignores ? SIGKILL : SIGTERM);
    }
    auto const nobody = h.run(end_process(h.loop, 4'194'305, std::chrono::milliseconds(1)));
    ASSERT_FALSE(nobody);
    EXPECT_EQ(nobody.error().code, Code::not_found);
    EXPECT_FALSE(h.run(end_process(h.loop, 0, std::chrono::milliseconds(1))));
    EXPECT_FALSE(h.run(end_process(h.loop, -1, std::chrono::milliseconds(1))));
}

}  // namespace
}  // namespace execd::shell
