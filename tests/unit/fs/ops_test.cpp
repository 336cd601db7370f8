#include "fs/ops.hpp"

#include <gtest/gtest.h>
#include <sys/mount.h>
#include <unistd.h>
#include <cstdlib>

#include "fs/list.hpp"
#include "fs/path.hpp"
#include "support.hpp"

namespace execd::fs {
namespace {

using testing::get;
using testing::mode_of;
using testing::put;
using testing::TempDir;

TEST(Stat, LinksAreSeenAndFollowedOnDemand) {
    TempDir dir;
    put(dir / "file", "hello");
    ::chmod((dir / "file").c_str(), 0640);
    ASSERT_TRUE(Symlink(dir / "link", "file").run());
    auto const link = Stat{dir / "link"}.run();
    ASSERT_TRUE(link);
    EXPECT_EQ(link->kind, Kind::symlink);
    EXPECT_EQ(link->target, "file");
    auto const file = Stat{dir / "link", true}.run();
    ASSERT_TRUE(file);
    EXPECT_EQ(file->kind, Kind::file);
    EXPECT_EQ(file->size, 5U);
    EXPECT_EQ(file->mode, 0640U);
    EXPECT_EQ(file->permissions(), "-rw-r-----");
    EXPECT_EQ(file->name, "link");
    EXPECT_GT(file->mtime_ns, 1'000'000'000);
}

TEST(Stat, ErrorsAreTyped) {
    TempDir dir;
    put(dir / "file", "");
    EXPECT_EQ(Stat{dir / "nope"}.run().error().code, Code::not_found);
    EXPECT_EQ(Stat{dir / "file/x"}.run().error().code, Code::not_a_directory);
    EXPECT_EQ(Stat{std::string("/a\0b", 4)}.run().error().code, Code::invalid_argument);
    EXPECT_EQ(Stat{"/" + std::string(5000, 'a')}.run().error().code, Code::invalid_argument);
    ASSERT_TRUE(Symlink(dir / "round", "round").run());
    EXPECT_EQ(Stat(dir / "round", true).run().error().sys, ELOOP);
    EXPECT_TRUE(Stat{dir / "round"}.run());
}

TEST(List, PreOrderSortedBytewiseWithStrangeNames) {
    TempDir dir;
    std::string const strange = "new\nline\xff$HOME";
    put(dir / "b", "");
    put(dir / strange, "12");
    put(dir / ".hidden", "");
    ASSERT_TRUE(MakeDirectory{dir / "a/deep/er"}.run());
    put(dir / "a/z", "");
    ListOptions options;
    options.path = dir.path();
    options.depth = 2;
    auto const all = List{options}.run();
    ASSERT_TRUE(all);
    std::vector<std::string> names;
    for (auto const& entry : all->entries) names.push_back(entry.path.substr(dir.path().size() + 1));
    EXPECT_EQ(names, (std::vector<std::string>{".hidden", "a", "a/deep", "a/z", "b", strange}));
    EXPECT_EQ(get(all->entries.back().path), "12");

    options.hidden = false;
    options.depth = 1;
    EXPECT_EQ(List{options}.run()->entries.size(), 3U);
    options.depth = 0;
    EXPECT_TRUE(List{options}.run()->entries.empty());
}

TEST(List, SortsAndFiltersAndCaps) {
    TempDir dir;
    put(dir / "big", "123456");
    put(dir / "small", "1");
    ASSERT_TRUE(MakeDirectory{dir / "dir"}.run());
    ListOptions options;
    options.path = dir.path();
    options.sort = SortBy::size;
    options.kinds = 1U << static_cast<unsigned>(Kind::file);
    auto by_size = List{options}.run();
    ASSERT_EQ(by_size->entries.size(), 2U);
    EXPECT_EQ(by_size->entries[0].name, "small");
    options.descending = true;
    EXPECT_EQ(List{options}.run()->entries[0].name, "big");
    options.sort = SortBy::type;
    options.kinds = 0xF;
    options.descending = false;
    EXPECT_EQ(List{options}.run()->entries[0].name, "dir");
    options.max_entries = 2;
    auto const capped = List{options}.run();
    EXPECT_EQ(capped->entries.size(), 2U);
    EXPECT_TRUE(capped->truncated);
}

TEST(List, TheRootMustBeADirectoryItself) {
    TempDir dir;
    put(dir / "file", "");
    ASSERT_TRUE(Symlink(dir / "link", dir.path()).run());
    ListOptions options;
    options.path = dir / "file";
    EXPECT_EQ(List{options}.run().error().code, Code::not_a_directory);
    options.path = dir / "link";
    EXPECT_EQ(List{options}.run().error().where, "list.symlink");
    options.follow_root = true;
    EXPECT_EQ(List{options}.run()->entries.size(), 2U);
    options.path = dir / "none";
    EXPECT_EQ(List{options}.run().error().code, Code::not_found);
}

TEST(List, BatchesAreTheWhole) {
    TempDir dir;
    for (int i = 0; i < 50; ++i) {
        ASSERT_TRUE(MakeDirectory{dir / ("d" + std::to_string(i))}.run());
        put(dir / ("d" + std::to_string(i) + "/f"), "");
    }
    ListOptions options;
    options.path = dir.path();
    options.depth = 9;
    auto const whole = List{options}.run();
    Lister lister(options);
    std::vector<std::string> paths;
    while (!lister.done()) {
        auto batch = lister.next(7);
        ASSERT_TRUE(batch);
        EXPECT_LE(batch->size(), 7U);
        for (auto const& entry : *batch) paths.push_back(entry.path);
    }
    ASSERT_EQ(paths.size(), 100U);
    for (std::size_t i = 0; i < paths.size(); ++i) EXPECT_EQ(paths[i], whole->entries[i].path);
}

TEST(MakeDirectory, ParentsModeAndExisting) {
    TempDir dir;
    MakeDirectory make{dir / "a/b/c", 0751};
    EXPECT_TRUE(make.run()->created);
    EXPECT_EQ(mode_of(dir / "a/b/c"), 0751U);
    EXPECT_NE(mode_of(dir / "a/b"), 0751U);
    make.mode = 0700;
    EXPECT_FALSE(make.run()->created);
    EXPECT_EQ(mode_of(dir / "a/b/c"), 0751U);
    make.exist_ok = false;
    EXPECT_EQ(make.run().error().code, Code::already_exists);
    put(dir / "file", "");
    EXPECT_EQ(MakeDirectory{dir / "file"}.run().error().code, Code::not_a_directory);
    EXPECT_EQ(MakeDirectory{dir / "file/x/y"}.run().error().code, Code::not_a_directory);
    MakeDirectory alone{dir / "x/y"};
    alone.parents = false;
    EXPECT_EQ(alone.run().error().code, Code::not_found);
}

TEST(Move, RefusesToOverwriteUnlessTold) {
    TempDir dir;
    put(dir / "a", "A");
    put(dir / "b", "B");
    auto const refused = Move{dir / "a", dir / "b"}.run();
    EXPECT_EQ(refused.error().code, Code::already_exists);
    EXPECT_EQ(refused.error().detail, dir / "b");
    EXPECT_TRUE((Move{dir / "a", dir / "b", true}.run()));
    EXPECT_EQ(get(dir / "b"), "A");
    EXPECT_TRUE((Move{dir / "b", dir / "new/deep/b"}.run()));
    EXPECT_EQ(get(dir / "new/deep/b"), "A");
    EXPECT_EQ((Move{dir / "gone", dir / "x"}.run().error().where), "stat");
    EXPECT_EQ((Move{dir / "new", dir / "new/deep/into"}.run().error().code), Code::invalid_argument);
}

TEST(Move, CrossesDevices) {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    TempDir here;
    TempDir there;
    ASSERT_EQ(::mount("none", there.path().c_str(), "tmpfs", 0, "size=1m"), 0);
    ASSERT_TRUE(MakeDirectory{here / "tree/sub"}.run());
    put(here / "tree/sub/file", "content");
    ASSERT_TRUE(SetPermissions(here / "tree/sub/file", 0711).run());
    ASSERT_TRUE(Symlink(here / "tree/link", "sub/file").run());
    auto const moved = Move{here / "tree", there / "moved"}.run();
    EXPECT_TRUE(moved) << moved.error().message();
    EXPECT_EQ(get(there / "moved/link"), "content");
    EXPECT_EQ(mode_of(there / "moved/sub/file"), 0711U);
    EXPECT_FALSE(Stat{here / "tree"}.run());

    // Too large for there: the source stays, nothing half is left.
    put(here / "large", std::string(2 << 20, 'x'));
    EXPECT_EQ((Move{here / "large", there / "large"}.run().error().code), Code::no_space);
    EXPECT_TRUE(Stat{here / "large"}.run());
    EXPECT_EQ(there.entries(), 1U);
    ::umount2(there.path().c_str(), MNT_DETACH);
}

TEST(Copy, FilesTreesAndIntoItself) {
    TempDir dir;
    put(dir / "file", "x");
    EXPECT_TRUE((Copy{dir / "file", dir / "copy"}.run()));
    EXPECT_EQ(get(dir / "copy"), "x");
    EXPECT_EQ((Copy{dir / "file", dir / "copy"}.run().error().code), Code::already_exists);
    ASSERT_TRUE(MakeDirectory{dir / "tree/sub"}.run());
    put(dir / "tree/sub/f", "y");
    EXPECT_EQ((Copy{dir / "tree", dir / "t2"}.run().error().code), Code::is_a_directory);
    EXPECT_TRUE((Copy{dir / "tree", dir / "tree/inside", true}.run()));
    EXPECT_EQ(get(dir / "tree/inside/sub/f"), "y");
    EXPECT_FALSE(Stat{dir / "tree/inside/inside"}.run());
}

TEST(Remove, LinksDirectoriesAndTrees) {
    TempDir dir;
    ASSERT_TRUE(MakeDirectory{dir / "keep"}.run());
    put(dir / "keep/file", "");
    ASSERT_TRUE(MakeDirectory{dir / "tree/a/b/c"}.run());
    put(dir / "tree/a/f", "");
    ASSERT_TRUE(Symlink(dir / "tree/a/link", dir / "keep").run());
    EXPECT_EQ(Remove{dir / "tree"}.run().error().code, Code::is_a_directory);
    auto const gone = Remove{dir / "tree", true}.run();
    ASSERT_TRUE(gone) << gone.error().message();
    EXPECT_EQ(gone->count, 6U);
    EXPECT_TRUE(Stat{dir / "keep/file"}.run());
    EXPECT_EQ(Remove{dir / "tree"}.run().error().code, Code::not_found);
    EXPECT_EQ((Remove{dir / "tree", true, true}.run()->count), 0U);
    ASSERT_TRUE(Symlink(dir / "dangling", "nowhere").run());
    EXPECT_EQ(Remove{dir / "dangling"}.run()->count, 1U);
    ASSERT_TRUE(MakeDirectory{dir / "empty"}.run());
    EXPECT_EQ((Remove{dir / "empty", true}.run()->count), 1U);
}

TEST(Remove, RefusesTheRootHoweverItIsSpelled) {
    for (std::string const path : {"/", "//", "/..", "/tmp/..", "/proc/self/root", ".", ".."})
        EXPECT_FALSE((Remove{path, true}.run())) << path;
}

TEST(Remove, ATreeDeeperThanDescriptorsAndPathsAllow) {
    TempDir dir;
    std::string const start = std::filesystem::current_path();
    ASSERT_EQ(::chdir(dir.path().c_str()), 0);
    ASSERT_EQ(::mkdir("deep", 0755), 0);
    // More levels than descriptors, and longer in all than a path may be.
    std::size_t const levels = std::getenv("EXECD_SLOW_TESTS") == nullptr ? 1100 : 3000;
    for (std::size_t i = 0; i < levels; ++i) {
        ASSERT_EQ(::chdir(i == 0 ? "deep" : "dddd"), 0);
        ASSERT_EQ(::mkdir("dddd", 0755), 0);
    }
    ASSERT_EQ(::chdir(start.c_str()), 0);
    auto const gone = Remove{dir / "deep", true}.run();
    ASSERT_TRUE(gone) << gone.error().message();
    EXPECT_EQ(gone->count, levels + 1);
}

TEST(Remove, WhatCannotGoStaysAndIsNamed) {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    TempDir dir;
    ASSERT_TRUE(MakeDirectory{dir / "tree/busy"}.run());
    put(dir / "tree/file", "");
    ASSERT_EQ(::mount("none", (dir / "tree/busy").c_str(), "tmpfs", 0, ""), 0);
    auto const result = Remove{dir / "tree", true}.run();
    EXPECT_EQ(result.error().sys, EBUSY);
    EXPECT_EQ(result.error().detail, dir / "tree/busy");
    EXPECT_FALSE(Stat{dir / "tree/file"}.run());
    ::umount2((dir / "tree/busy").c_str(), MNT_DETACH);
}

TEST(SetPermissions, NamesIdsAndSpecialBits) {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    TempDir dir;
    put(dir / "file", "");
    EXPECT_TRUE(SetPermissions(dir / "file", 04711, {"12345", "54321"}).run());
    auto const entry = Stat{dir / "file"}.run();
    EXPECT_EQ(entry->uid, 12345U);
    EXPECT_EQ(entry->gid, 54321U);
    EXPECT_EQ(entry->owner, "12345");
    EXPECT_EQ(entry->mode, 04711U);
    EXPECT_TRUE(SetPermissions(dir / "file", std::nullopt, {"root", "root"}).run());
    EXPECT_EQ(Stat{dir / "file"}.run()->owner, "root");
    auto const unknown = SetPermissions{dir / "file", std::nullopt, {"12345", "", true}}.run();
    EXPECT_EQ(unknown.error().code, Code::invalid_argument);
    EXPECT_EQ(unknown.error().detail, "unknown user 12345");
    EXPECT_EQ(SetPermissions(dir / "none", 0600).run().error().code, Code::not_found);
}

TEST(Touch, CreatesAndSetsTimes) {
    TempDir dir;
    EXPECT_TRUE(Touch{dir / "a/new"}.run());
    EXPECT_TRUE(Touch(dir / "a/new", 1'500'000'000'123'456'789).run());
    EXPECT_EQ(Stat{dir / "a/new"}.run()->mtime_ns, 1'500'000'000'123'456'789);
    Touch missing{dir / "none"};
    missing.create = false;
    EXPECT_EQ(missing.run().error().code, Code::not_found);
}

TEST(DiskSpace, SaysWhatIsThere) {
    auto const space = DiskSpace{"/proc/.."}.run();
    ASSERT_TRUE(space);
    EXPECT_GT(space->total, 0U);
    EXPECT_LE(space->free, space->total);
}

}  // namespace
}  // namespace execd::fs
