// Whichever open fails: the operation says so or does without, nothing half-made stays, no descriptor leaks,
// and the next one works.
#include <gtest/gtest.h>

#include <cerrno>

#include "base/fault.hpp"
#include "fs/list.hpp"
#include "fs/ops.hpp"
#include "fs/reader.hpp"
#include "fs/writer.hpp"
#include "support.hpp"

namespace execd::fs {
namespace {

using testing::get;
using testing::put;
using testing::Reactor;
using testing::TempDir;

std::size_t open_descriptors() {
    std::size_t n = 0;
    for ([[maybe_unused]] auto const& e : std::filesystem::directory_iterator("/proc/self/fd")) ++n;
    return n;
}

Task<Result<Done>> write_file(Executor& files, std::string path, std::string content) {
    Writer writer(files, WriteOptions(std::move(path)));
    auto ok = co_await writer.write(content);
    if (!ok) co_return Failure(ok.error());
    auto const done = co_await writer.commit();
    if (!done) co_return Failure(done.error());
    co_return Done{};
}

Task<Result<Done>> read_file(Executor& files, std::string path, std::string& out) {
    auto file = co_await open_for_read(files, std::move(path));
    if (!file) co_return Failure(file.error());
    auto whole = co_await read_whole(files, *file, 1U << 20);
    if (!whole) co_return Failure(whole.error());
    out = std::move(*whole);
    co_return Done{};
}

void expect_told(Result<Done> const& result, std::uint64_t nth) {
    if (result) return;
    EXPECT_EQ(result.error().sys, EMFILE) << nth << ": " << result.error().message();
}

// True when the fault struck in it.
bool scenario(Reactor& reactor, TempDir const& dir, std::uint64_t nth) {
    std::string const path = dir / "file";
    put(path, "old");
    fault::arm("open", nth, EMFILE);
    auto const written = reactor.run(write_file(reactor.files, path, "new content"));
    std::string content;
    auto const read = reactor.run(read_file(reactor.files, path, content));
    ListOptions list;
    list.path = dir.path();
    auto const listed = reactor.run(reactor.files.run(List{list}));
    bool const struck = fault::struck();
    fault::disarm();
    reactor.settle();
    expect_told(written, nth);
    expect_told(read, nth);
    EXPECT_EQ(get(path), written ? "new content" : "old") << nth;
    EXPECT_TRUE(!read || content == get(path)) << nth;
    EXPECT_TRUE(listed ? listed->entries.size() == 1 : listed.error().sys == EMFILE) << nth;
    EXPECT_EQ(dir.entries(), 1U) << nth << ": a temporary stayed";
    return struck;
}

TEST(FsFaults, TheNthOpenFailsAndNothingIsLeft) {
    TempDir dir;
    Reactor reactor;
    EXPECT_FALSE(scenario(reactor, dir, 1'000)) << "starts what is started once";
    std::size_t const before = open_descriptors();
    std::uint64_t points = 0;
    for (std::uint64_t nth = 1; nth < 50; ++nth) {
        if (!scenario(reactor, dir, nth)) break;
        points = nth;
        EXPECT_EQ(open_descriptors(), before) << nth;
        ASSERT_TRUE(reactor.run(write_file(reactor.files, dir / "file", "next")));
    }
    EXPECT_GE(points, 3U);
    EXPECT_LT(points, 49U);
}

}  // namespace
}  // namespace execd::fs
