#include "fs/watch.hpp"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fs/ops.hpp"
#include "fs/watch_tree.hpp"
#include "support.hpp"

namespace execd::fs {
namespace {

using testing::put;
using testing::Reactor;
using testing::TempDir;

TEST(Coalescer, WhatBecameOfEachPath) {
    Coalescer all;
    all.add({Change::create, "/a", "", false});
    all.add({Change::write, "/a", "", false});
    all.add({Change::write, "/b", "", false});
    all.add({Change::write, "/b", "", false});
    all.add({Change::create, "/gone", "", false});
    all.add({Change::remove, "/gone", "", false});
    all.add({Change::remove, "/c", "", false});
    all.add({Change::create, "/c", "", false});
    all.moved_from(7, "/old", false);
    EXPECT_EQ(all.moved_to(7, "/new", false), "/old");
    all.add({Change::write, "/new", "", false});
    all.moved_from(8, "/away", false);
    EXPECT_EQ(all.moved_to(9, "/in", false), "");
    all.add({Change::create, "/tmp.x", "", false});
    all.moved_from(10, "/tmp.x", false);
    EXPECT_EQ(all.moved_to(10, "/saved", false), "/tmp.x");
    std::string text;
    for (auto const& event : all.take())
        text += std::string(to_string(event.what)) + event.old_path + event.path + " ";
    EXPECT_EQ(text, "create/a write/b write/c rename/old/new write/new create/in create/saved remove/away ");
    EXPECT_TRUE(all.empty());
}

std::string told(Coalescer& all) {
    std::string text;
    for (auto const& event : all.take())
        text += std::string(to_string(event.what)) + event.old_path + event.path + " ";
    return text;
}

TEST(Coalescer, ADirectoryKeepsItsFirstNameForWhatWasMadeInIt) {
    Coalescer all;
    all.add({Change::create, "/tmp", "", true});
    all.add({Change::create, "/tmp/x", "", false});
    all.moved_from(1, "/tmp", true);
    EXPECT_EQ(all.moved_to(1, "/final", true), "/tmp");
    EXPECT_EQ(told(all), "create/tmp create/tmp/x rename/tmp/final ");
}

TEST(Coalescer, WhatTakesThePlaceOfSomethingElse) {
    Coalescer all;
    all.add({Change::remove, "/k", "", false});
    all.add({Change::create, "/k", "", true});
    EXPECT_EQ(told(all), "remove/k create/k ");
    all.moved_from(1, "/f", false);  // away, and another one there
    all.add({Change::create, "/f", "", false});
    EXPECT_EQ(told(all), "write/f ");
    all.moved_from(2, "/f", false);
    all.moved_from(3, "/g", false);
    EXPECT_EQ(all.moved_to(3, "/f", false), "/g");
    EXPECT_EQ(told(all), "remove/f rename/g/f ");
}

TEST(Compare, HardLinksAndOtherKinds) {
    Photo file;
    file.inode = 7;
    file.mtime_ns = 1;
    Photo directory = file;
    directory.inode = 8;
    directory.directory = true;
    Coalescer all;
    compare({{"/a", file}, {"/b", file}, {"/k", file}}, {{"/k", directory}}, all);
    EXPECT_EQ(told(all), "remove/k create/k remove/a remove/b ");
    compare({{"/a", file}, {"/b", file}}, {{"/b", file}, {"/c", file}}, all);
    EXPECT_EQ(told(all), "rename/a/c ");
}

class WatchTest : public ::testing::Test {
  protected:
    std::shared_ptr<Watch> start(WatchOptions options) {
        options.debounce = std::chrono::milliseconds(20);
        options.scan_every = std::chrono::milliseconds(20);
        auto watch = reactor.run(Watch::start(reactor.files, options));
        EXPECT_TRUE(watch) << watch.error().message();
        return *watch;
    }
    /// "create x, rename a>b" of what comes until `last` is among it.
    std::string until(Watch& watch, std::string const& last) {
        std::string out;
        while (out.find(last) == std::string::npos) {
            auto const batch =
                reactor.run(watch.after(cursor, 100, Deadline::in(reactor.clock, std::chrono::seconds(10))));
            if (batch.events.empty()) return out + "(nothing more)";
            cursor = batch.cursor;
            for (auto const& event : batch.events) {
                auto const name = [&](std::string const& path) {
                    return path.size() > dir.path().size() ? path.substr(dir.path().size() + 1)
                                                           : std::string(".");
                };
                out += std::string(to_string(event.what)) + " ";
                if (!event.old_path.empty()) out += name(event.old_path) + ">";
                out += name(event.path) + ", ";
            }
        }
        return out;
    }
    void close(Watch& watch) { reactor.run(finish(watch)); }
    static Task<bool> finish(Watch& watch) {
        co_await watch.close();
        co_return true;
    }
    TempDir dir;
    Reactor reactor;
    std::uint64_t cursor = 0;
};

TEST_F(WatchTest, FilesDirectoriesAndRenames) {
    ASSERT_TRUE(MakeDirectory(dir / "sub").run());
    auto const watch = start(WatchOptions(dir.path()));
    EXPECT_FALSE(watch->scanning());
    EXPECT_EQ(watch->directories(), 2U);
    put(dir / "sub/a", "x");
    EXPECT_EQ(until(*watch, "sub/a"), "create sub/a, ");
    put(dir / "sub/a", "y");
    EXPECT_EQ(until(*watch, "sub/a"), "write sub/a, ");
    ::chmod((dir / "sub/a").c_str(), 0600);
    EXPECT_EQ(until(*watch, "sub/a"), "chmod sub/a, ");
    ::rename((dir / "sub").c_str(), (dir / "moved").c_str());
    EXPECT_EQ(until(*watch, ">moved"), "rename sub>moved, ");
    put(dir / "moved/b", "x");
    EXPECT_EQ(until(*watch, "moved/b"), "create moved/b, ");
    ASSERT_TRUE(MakeDirectory(dir / "new/deep/er").run());
    put(dir / "new/deep/er/file", "x");
    auto const made = until(*watch, "new/deep/er/file");
    EXPECT_NE(made.find("create new, "), std::string::npos);
    put(dir / "new/deep/er/file", "again");
    EXPECT_EQ(until(*watch, "new/deep/er/file"), "write new/deep/er/file, ");
    ASSERT_TRUE(Remove(dir / "new", true).run());
    EXPECT_NE(until(*watch, "remove new, ").find("remove new/deep/er/file"), std::string::npos);
    close(*watch);
}

TEST_F(WatchTest, ADirectoryThatLeftIsNotWatchedAnyMore) {
    TempDir const out;
    for (auto const* name : {"d", "d/sub", "skip"}) ASSERT_TRUE(MakeDirectory(dir / name).run());
    WatchOptions options(dir.path());
    options.exclude = {"skip"};
    auto const watch = start(options);
    EXPECT_EQ(watch->directories(), 3U);
    ::rename((dir / "d").c_str(), (out / "d").c_str());
    EXPECT_EQ(until(*watch, "remove d"), "remove d, ");
    EXPECT_EQ(watch->directories(), 1U);
    put(out / "d/x", "");
    put(out / "d/sub/y", "");
    ASSERT_TRUE(MakeDirectory(dir / "d").run());
    put(out / "d/x2", "");
    EXPECT_EQ(until(*watch, "create d"), "create d, ");
    ::rename((dir / "d").c_str(), (dir / "skip/d").c_str());
    EXPECT_EQ(until(*watch, "remove d"), "remove d, ");
    put(dir / "skip/d/z", "");
    // And back: what is in it is told, and watched again.
    ::rename((out / "d").c_str(), (dir / "d").c_str());
    EXPECT_NE(until(*watch, "create d/sub/y").find("create d, "), std::string::npos);
    put(dir / "d/sub/y", "again");
    EXPECT_EQ(until(*watch, "sub/y"), "write d/sub/y, ");
    close(*watch);
}

TEST_F(WatchTest, ADirectoryMadeElsewhereAndMovedIntoPlace) {
    auto const watch = start(WatchOptions(dir.path()));
    ASSERT_TRUE(MakeDirectory(dir / "tmp").run());
    put(dir / "tmp/x", "");
    ::rename((dir / "tmp").c_str(), (dir / "final").c_str());
    auto const text = until(*watch, "rename tmp>final");
    EXPECT_TRUE(text.starts_with("create tmp, ")) << text;
    put(dir / "final/y", "");
    EXPECT_NE(until(*watch, "final/y").find("create final/y, "), std::string::npos);
    close(*watch);
}

TEST_F(WatchTest, ARootThatIsALink) {
    ASSERT_TRUE(MakeDirectory(dir / "real/sub").run());
    ASSERT_TRUE(Symlink(dir / "link", "real").run());
    ASSERT_TRUE(Symlink(dir / "real/up", "..").run());
    auto const watch = start(WatchOptions(dir / "link"));
    EXPECT_EQ(watch->directories(), 2U);
    put(dir / "real/sub/new", "");
    EXPECT_EQ(until(*watch, "sub/new"), "create link/sub/new, ");
    close(*watch);
}

TEST_F(WatchTest, OurOwnUploadsAreOneEvent) {
    auto const watch = start(WatchOptions(dir.path()));
    ASSERT_TRUE(PutFile(WriteOptions(dir / "up"), "x").run());
    EXPECT_EQ(until(*watch, "up"), "create up, ");
    ASSERT_TRUE(PutFile(WriteOptions(dir / "up"), "y").run());
    auto const second = until(*watch, "up");
    EXPECT_EQ(second.find(".execd"), std::string::npos) << second;
    close(*watch);
}

TEST_F(WatchTest, ExcludesAndIncludes) {
    ASSERT_TRUE(MakeDirectory(dir / "node_modules/x").run());
    WatchOptions options(dir.path());
    options.exclude = {"node_modules", "*.swp"};
    options.include = {"*.py"};
    auto const watch = start(options);
    EXPECT_EQ(watch->directories(), 1U);
    put(dir / "node_modules/x/a.py", "");
    put(dir / "b.swp", "");
    put(dir / "c.txt", "");
    put(dir / "d.py", "");
    EXPECT_EQ(until(*watch, "d.py"), "create d.py, ");
    close(*watch);
}

TEST_F(WatchTest, OnePathThatIsNotThereYet) {
    auto const watch = start(WatchOptions(dir / "wanted"));
    put(dir / "other", "");
    put(dir / "wanted", "");
    EXPECT_EQ(until(*watch, "wanted"), "create wanted, ");
    put(dir / "temporary", "z");
    ::rename((dir / "temporary").c_str(), (dir / "wanted").c_str());
    auto const replaced = until(*watch, "wanted");
    EXPECT_EQ(replaced.find("other"), std::string::npos);
    close(*watch);
    EXPECT_EQ(reactor.run(Watch::start(reactor.files, WatchOptions(dir / "no/such"))).error().code,
              Code::not_found);
}

TEST_F(WatchTest, TheRootGoesAway) {
    ASSERT_TRUE(MakeDirectory(dir / "root").run());
    auto const watch = start(WatchOptions(dir / "root"));
    ASSERT_TRUE(Remove(dir / "root", true).run());
    EXPECT_EQ(until(*watch, "remove root"), "remove root, ");
    auto const end = reactor.run(watch->after(cursor, 10, Deadline::never()));
    EXPECT_TRUE(end.ended);
    close(*watch);
}

TEST_F(WatchTest, LateReadersAreToldWhatTheyMissed) {
    WatchOptions options(dir.path());
    options.keep = 2;
    auto const watch = start(options);
    for (auto const* name : {"a", "b", "c", "d"}) {
        put(dir / name, "");
        until(*watch, name);
    }
    auto const batch = reactor.run(watch->after(0, 10, Deadline::never()));
    EXPECT_EQ(batch.lost, 2U);
    ASSERT_EQ(batch.events.size(), 2U);
    EXPECT_EQ(batch.events[0].number, 3U);
    EXPECT_EQ(batch.cursor, 4U);
    close(*watch);
}

TEST_F(WatchTest, ScanningFindsTheSame) {
    put(dir / "old", "x");
    WatchOptions options(dir.path());
    options.scan_only = true;
    auto const watch = start(options);
    EXPECT_TRUE(watch->scanning());
    // Each change is one step on the disk: a scan may see a file between its creation and its first byte.
    TempDir const other;
    put(other / "new", "x");
    ::rename((other / "new").c_str(), (dir / "new").c_str());
    EXPECT_EQ(until(*watch, "new"), "create new, ");
    ::rename((dir / "old").c_str(), (dir / "older").c_str());
    EXPECT_EQ(until(*watch, "older"), "rename old>older, ");
    ASSERT_EQ(::truncate((dir / "new").c_str(), 100), 0);
    EXPECT_EQ(until(*watch, "new"), "write new, ");
    ::unlink((dir / "new").c_str());
    EXPECT_EQ(until(*watch, "new"), "remove new, ");
    close(*watch);
}

}  // namespace
}  // namespace execd::fs
