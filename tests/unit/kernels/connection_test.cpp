#include "kernels/connection.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <set>

namespace execd::kernels {
namespace {

TEST(Connection, PortsDifferAndAreNotGivenTwice) {
    std::set<int> seen;
    for (int i = 0; i < 20; ++i) {
        auto const ports = choose_ports();
        ASSERT_TRUE(ports);
        for (int port : *ports) EXPECT_TRUE(seen.insert(port).second) << port;
    }
}

TEST(Connection, FilesArePrivateAndLeaveNothing) {
    std::string path;
    {
        auto const dir = RuntimeDir::create("/tmp");
        ASSERT_TRUE(dir);
        path = (*dir)->path();
        auto const mine = prepare_connection(**dir, "abc", Transport::ipc, "x");
        ASSERT_TRUE(mine);
        struct stat info {};
        ASSERT_EQ(::stat(mine->file.c_str(), &info), 0);
        EXPECT_EQ(info.st_mode & 07777, 0600U);
        EXPECT_EQ(mine->endpoint(Channel::iopub), "ipc://" + path + "/abc-2");
        remove_connection(*mine);
        EXPECT_NE(::stat(mine->file.c_str(), &info), 0);
        // Of another account: in a folder that it owns (itself here, anybody else only as root).
        shell::Identity const owner{
            ::geteuid() == 0 ? 65534 : ::geteuid(), ::geteuid() == 0 ? 65534 : ::getegid(), {}};
        auto const other = prepare_connection(**dir, "def", Transport::ipc, "x", owner);
        ASSERT_TRUE(other) << other.error().message();
        for (auto const& each : {other->folder, other->file}) {
            ASSERT_EQ(::stat(each.c_str(), &info), 0);
            EXPECT_EQ(info.st_uid, owner.uid);
            EXPECT_EQ(info.st_mode & 0077, 0U);
        }
        EXPECT_LT(other->endpoint(Channel::shell).size() - 6 + 60 - 4,
                  107U);  // sockaddr_un, with the longest parent
        remove_connection(*other);
        EXPECT_TRUE(std::filesystem::is_empty(path));
    }
    EXPECT_FALSE(std::filesystem::exists(path));
    EXPECT_EQ(RuntimeDir::create("relative").error().code, Code::invalid_argument);
    EXPECT_EQ(RuntimeDir::create("/" + std::string(60, 'x')).error().code, Code::invalid_argument);
}

}  // namespace
}  // namespace execd::kernels
