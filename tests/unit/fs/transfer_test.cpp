#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <random>

#include "fs/reader.hpp"
#include "fs/replace.hpp"
#include "fs/writer.hpp"
#include "support.hpp"

namespace execd::fs {
namespace {

using testing::get;
using testing::mode_of;
using testing::put;
using testing::Reactor;
using testing::TempDir;

Task<Result<Written>> upload(Executor& files, WriteOptions options, std::string content, std::size_t chunk) {
    Writer writer(files, std::move(options));
    for (std::size_t at = 0; at < content.size(); at += chunk) {
        auto ok = co_await writer.write(std::span(content).subspan(at, std::min(chunk, content.size() - at)));
        if (!ok) co_return Failure(ok.error());
    }
    co_return co_await writer.commit();
}

/// Writes and goes away without a commit.
Task<Result<Done>> give_up(Executor& files, WriteOptions options, std::string content) {
    Writer writer(files, std::move(options));
    auto ok = co_await writer.write(content);
    if (!ok) co_return Failure(ok.error());
    co_return Done{};
}

Task<void> count_end(Executor& files, WriteOptions options, int* ended) {
    auto const done = co_await upload(files, std::move(options), std::string(100'000, 'z'), 100'000);
    EXPECT_TRUE(done);
    ++*ended;
}

std::string noise(std::size_t size) {
    std::mt19937 random(static_cast<unsigned>(size));
    std::string out(size, '\0');
    for (auto& c : out) c = static_cast<char>(random());
    return out;
}

WriteOptions to(std::string path) { return WriteOptions(std::move(path)); }

TEST(Writer, AnySizeAtAnyChunkingArrivesWhole) {
    TempDir dir;
    Reactor reactor;
    for (std::size_t const size : {0, 1, 1000, 65536, 65537, 262144, 300000, 1048576, 1500000}) {
        auto const content = noise(size);
        for (std::size_t const chunk : {1000, 65536, 262144, 700000}) {
            // Small pieces of what is large say no more than small pieces of what is just too large.
            if (chunk == 1000 && size > 300000 && std::getenv("EXECD_SLOW_TESTS") == nullptr) continue;
            auto options = to(dir / "sub/file");
            options.length = size;
            auto const done = reactor.run(upload(reactor.files, options, content, chunk));
            ASSERT_TRUE(done) << done.error().message();
            EXPECT_EQ(done->size, size);
            EXPECT_TRUE(get(dir / "sub/file") == content) << size << " " << chunk;
        }
    }
    EXPECT_EQ(std::filesystem::file_size(dir / "sub/file"), 1500000U);
    std::size_t names = 0;
    for ([[maybe_unused]] auto const& e : std::filesystem::directory_iterator(dir / "sub")) ++names;
    EXPECT_EQ(names, 1U);
}

TEST(Writer, KeepsModeOwnerAndAttributesOfAReplacedFile) {
    TempDir dir;
    Reactor reactor;
    for (std::size_t const size : {10, 600000}) {
        put(dir / "file", "old");
        ASSERT_EQ(::chmod((dir / "file").c_str(), 0751), 0);
        bool const root = ::geteuid() == 0 && ::chown((dir / "file").c_str(), 1234, 4321) == 0;
        bool const attribute = ::setxattr((dir / "file").c_str(), "user.note", "hi", 2, 0) == 0;
        auto const done = reactor.run(upload(reactor.files, to(dir / "file"), noise(size), 100000));
        ASSERT_TRUE(done) << done.error().message();
        EXPECT_FALSE(done->created);
        EXPECT_EQ(mode_of(dir / "file"), 0751U);
        struct ::stat stat {};
        ASSERT_EQ(::stat((dir / "file").c_str(), &stat), 0);
        if (root) {
            EXPECT_EQ(stat.st_uid, 1234U);
            EXPECT_EQ(stat.st_gid, 4321U);
        }
        char value[8] = {};
        if (attribute) {
            EXPECT_EQ(::getxattr((dir / "file").c_str(), "user.note", value, sizeof value), 2);
        }
    }
}

TEST(Writer, ModeAndOwnerAsToldAndUmaskOtherwise) {
    TempDir dir;
    Reactor reactor;
    for (std::size_t const size : {10, 600000}) {
        auto options = to(dir / ("m" + std::to_string(size)));
        options.mode = 0604;
        ASSERT_TRUE(reactor.run(upload(reactor.files, options, noise(size), 100000)));
        EXPECT_EQ(mode_of(options.path), 0604U);
        auto const old = ::umask(0027);
        options = to(dir / ("u" + std::to_string(size)));
        options.create_mode = 0777;
        ASSERT_TRUE(reactor.run(upload(reactor.files, options, noise(size), 100000)));
        ::umask(old);
        EXPECT_EQ(mode_of(options.path), 0750U);
    }
    auto options = to(dir / "x");
    options.owner.owner = "no-such-user";
    EXPECT_EQ(reactor.run(upload(reactor.files, options, "x", 1)).error().code, Code::invalid_argument);
    EXPECT_FALSE(Stat{dir / "x"}.run());
}

TEST(Writer, ResolvesLinksAndMakesWhatADanglingOneNames) {
    TempDir dir;
    Reactor reactor;
    put(dir / "real", "old");
    ASSERT_TRUE(Symlink(dir / "one", "two").run());
    ASSERT_TRUE(Symlink(dir / "two", dir / "real").run());
    auto const done = reactor.run(upload(reactor.files, to(dir / "one"), "new", 10));
    ASSERT_TRUE(done);
    EXPECT_EQ(done->path, dir / "real");
    EXPECT_EQ(get(dir / "real"), "new");
    EXPECT_EQ(Stat{dir / "one"}.run()->kind, Kind::symlink);
    ASSERT_TRUE(Symlink(dir / "dangling", "made").run());
    ASSERT_TRUE(reactor.run(upload(reactor.files, to(dir / "dangling"), "x", 10)));
    EXPECT_EQ(get(dir / "made"), "x");
    ASSERT_TRUE(Symlink(dir / "round", "round").run());
    EXPECT_EQ(reactor.run(upload(reactor.files, to(dir / "round"), "x", 10)).error().code,
              Code::invalid_argument);
}

TEST(Writer, AbandonedLeavesTheOldFileAndNothingElse) {
    TempDir dir;
    Reactor reactor;
    put(dir / "file", "old");
    for (std::size_t const size : {0, 10, 70000, 262144, 600000, 3000000}) {
        ASSERT_TRUE(reactor.run(give_up(reactor.files, to(dir / "file"), noise(size))));
        reactor.settle();
    }
    EXPECT_EQ(get(dir / "file"), "old");
    EXPECT_EQ(dir.entries(), 1U);
}

TEST(Writer, LengthAndDigestAreChecked) {
    TempDir dir;
    Reactor reactor;
    put(dir / "file", "old");
    auto options = to(dir / "file");
    options.length = 5;
    EXPECT_EQ(reactor.run(upload(reactor.files, options, "1234", 10)).error().where, "size");
    EXPECT_EQ(reactor.run(upload(reactor.files, options, "123456", 10)).error().where, "size");
    options.length.reset();
    options.sha256 = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    EXPECT_EQ(reactor.run(upload(reactor.files, options, "hullo", 10)).error().where, "sha256");
    EXPECT_EQ(get(dir / "file"), "old");
    EXPECT_TRUE(reactor.run(upload(reactor.files, options, "hello", 2)));
    EXPECT_EQ(get(dir / "file"), "hello");
    auto large = to(dir / "large");
    large.sha256 = std::string(64, '0');
    EXPECT_EQ(reactor.run(upload(reactor.files, large, noise(500000), 9999)).error().where, "sha256");
    large.sha256.reset();
    large.max_size = 300000;
    EXPECT_EQ(reactor.run(upload(reactor.files, large, noise(500000), 9999)).error().code, Code::too_large);
    reactor.settle();
    EXPECT_EQ(dir.entries(), 1U);
}

TEST(Writer, ErrorsBeforeTheFirstByte) {
    TempDir dir;
    Reactor reactor;
    put(dir / "file", "");
    EXPECT_EQ(reactor.run(upload(reactor.files, to(dir.path()), "x", 1)).error().code, Code::is_a_directory);
    EXPECT_EQ(reactor.run(upload(reactor.files, to(dir / "file/x"), "x", 1)).error().code,
              Code::not_a_directory);
    EXPECT_EQ(reactor.run(upload(reactor.files, to(dir / "new/"), "x", 1)).error().code,
              Code::is_a_directory);
    auto refuse = to(dir / "file");
    refuse.existing = Existing::refuse;
    EXPECT_EQ(reactor.run(upload(reactor.files, refuse, "x", 1)).error().code, Code::already_exists);
    auto alone = to(dir / "no/such");
    alone.make_parents = false;
    EXPECT_EQ(reactor.run(upload(reactor.files, alone, "x", 1)).error().code, Code::not_found);
}

class Mounted : public ::testing::Test {
  protected:
    void SetUp() override {
        if (::geteuid() != 0) GTEST_SKIP() << "needs root";
        ASSERT_EQ(::mount("none", dir.path().c_str(), "tmpfs", 0, "size=1m"), 0);
    }
    void TearDown() override { ::umount2(dir.path().c_str(), MNT_DETACH); }
    TempDir dir;
    Reactor reactor;
};

TEST_F(Mounted, AFullDiskIsSaidBeforeWritingWhenTheLengthIsKnown) {
    put(dir / "file", "old");
    auto options = to(dir / "file");
    options.length = 2 << 20;
    auto const failed = reactor.run(upload(reactor.files, options, noise(2 << 20), 100000));
    EXPECT_EQ(failed.error().code, Code::no_space);
    options.length.reset();
    EXPECT_EQ(reactor.run(upload(reactor.files, options, noise(2 << 20), 100000)).error().code,
              Code::no_space);
    reactor.settle();
    EXPECT_EQ(get(dir / "file"), "old");
    EXPECT_EQ(dir.entries(), 1U);
    EXPECT_TRUE(reactor.run(upload(reactor.files, options, noise(500000), 100000)));
}

TEST_F(Mounted, SmallFilesInMemoryNeedNoThread) {
    put(dir / "file", "old");
    auto const quick = [](std::string const& path) { return PutFile{to(path), "x"}.run_quick(); };
    ASSERT_TRUE(quick(dir / "file").value());
    EXPECT_EQ(get(dir / "file"), "x");
    EXPECT_TRUE(quick(dir / "new").value()->created);
    EXPECT_FALSE(quick(dir / "no/parent"));
    ASSERT_EQ(::mkfifo((dir / "fifo").c_str(), 0600), 0);
    EXPECT_FALSE(quick(dir / "fifo"));
    ASSERT_EQ(::symlink("file", (dir / "link").c_str()), 0);
    EXPECT_FALSE(quick(dir / "link"));
    auto refusing = to(dir / "file");
    refusing.existing = Existing::refuse;
    EXPECT_EQ((PutFile{refusing, "y"}.run_quick()->error().code), Code::already_exists);
    ASSERT_TRUE(reactor.run(upload(reactor.files, to(dir / "file"), "new", 3)));
    EXPECT_EQ(reactor.pool.busy(Lane::metadata), 0U);
    EXPECT_EQ(get(dir / "file"), "new");
}

TEST_F(Mounted, SmallReplacementsKeepModeOwnerAndAttributes) {
    put(dir / "file", "old");
    ASSERT_EQ(::chmod((dir / "file").c_str(), 06751), 0);
    ASSERT_EQ(::chown((dir / "file").c_str(), 1234, 4321), 0);
    ASSERT_EQ(::chmod((dir / "file").c_str(), 06751), 0);
    ASSERT_EQ(::setxattr((dir / "file").c_str(), "trusted.note", "kept", 4, 0), 0);
    ASSERT_TRUE((PutFile{to(dir / "file"), "new"}.run_quick().value()));
    struct ::stat stat {};
    ASSERT_EQ(::stat((dir / "file").c_str(), &stat), 0);
    EXPECT_EQ(stat.st_mode & 07777U, 06751U);
    EXPECT_EQ(stat.st_uid, 1234U);
    EXPECT_EQ(stat.st_gid, 4321U);
    char note[8] = "";
    EXPECT_EQ(::getxattr((dir / "file").c_str(), "trusted.note", note, sizeof note), 4);
    auto wanted = to(dir / "file");
    wanted.mode = 0640;
    ASSERT_TRUE((PutFile{wanted, "newer"}.run_quick().value()));
    ASSERT_EQ(::stat((dir / "file").c_str(), &stat), 0);
    EXPECT_EQ(stat.st_mode & 07777U, 0640U);
    EXPECT_EQ(stat.st_uid, 1234U);
}

TEST_F(Mounted, ReadOnlyIsTyped) {
    put(dir / "file", "old");
    ASSERT_EQ(::mount("none", dir.path().c_str(), nullptr, MS_REMOUNT | MS_RDONLY, "size=1m"), 0);
    EXPECT_EQ(reactor.run(upload(reactor.files, to(dir / "file"), "x", 1)).error().code, Code::read_only);
    EXPECT_EQ(reactor.run(upload(reactor.files, to(dir / "new"), "x", 1)).error().code, Code::read_only);
    EXPECT_EQ(MakeDirectory{dir / "d"}.run().error().code, Code::read_only);
    EXPECT_FALSE(MakeDirectory{dir.path()}.run()->created);
}

TEST_F(Mounted, ABindMountedFileIsWrittenInPlace) {
    TempDir other;
    put(other / "source", "old and longer");
    put(dir / "target", "");
    ASSERT_EQ(::mount((other / "source").c_str(), (dir / "target").c_str(), nullptr, MS_BIND, nullptr), 0);
    for (std::size_t const size : {7, 500000}) {
        auto const done = reactor.run(upload(reactor.files, to(dir / "target"), noise(size), 100000));
        EXPECT_TRUE(done) << done.error().message();
        EXPECT_TRUE(get(other / "source") == noise(size));
    }
    ASSERT_EQ(::mount("none", dir.path().c_str(), nullptr, MS_REMOUNT | MS_RDONLY, "size=1m"), 0);
    auto const done = reactor.run(upload(reactor.files, to(dir / "target"), "in a read-only directory", 100));
    EXPECT_TRUE(done) << done.error().message();
    EXPECT_EQ(get(other / "source"), "in a read-only directory");
    ::umount2((dir / "target").c_str(), MNT_DETACH);
    EXPECT_EQ(other.entries(), 1U);
}

/// What cannot be replaced by name keeps its content when the new one does not fit beside it.
TEST_F(Mounted, ABindMountedFileKeepsItsContentWhereSpaceIsShort) {
    TempDir other;
    put(dir / "small", "old content");  // on a file system of 1 MiB
    put(other / "target", "");
    ASSERT_EQ(::mount((dir / "small").c_str(), (other / "target").c_str(), nullptr, MS_BIND, nullptr), 0);
    auto const done =
        reactor.run(upload(reactor.files, to(other / "target"), std::string(3U << 20U, 'n'), 100000));
    EXPECT_EQ(done.error().code, Code::no_space);
    EXPECT_EQ(get(dir / "small"), "old content");
    EXPECT_TRUE(reactor.run(upload(reactor.files, to(other / "target"), noise(300000), 100000)));
    EXPECT_TRUE(get(dir / "small") == noise(300000));
    ::umount2((other / "target").c_str(), MNT_DETACH);
}

TEST(Writer, DevicesAndFifosAreWrittenThrough) {
    TempDir dir;
    Reactor reactor;
    EXPECT_TRUE(reactor.run(upload(reactor.files, to("/dev/null"), noise(400000), 5000)));
    EXPECT_EQ(Stat{"/dev/null"}.run()->kind, Kind::other);
    ASSERT_EQ(::mkfifo((dir / "fifo").c_str(), 0600), 0);
    EXPECT_EQ(reactor.run(upload(reactor.files, to(dir / "fifo"), "x", 1)).error().sys,
              ENXIO);  // nobody reads
    UniqueFd const end(::open((dir / "fifo").c_str(), O_RDONLY | O_NONBLOCK));
    ASSERT_TRUE(reactor.run(upload(reactor.files, to(dir / "fifo"), "through", 3)));
    char buffer[16];
    EXPECT_EQ(::read(end.get(), buffer, sizeof buffer), 7);
}

TEST(Writer, AFifoWhoseReaderIsSilentHoldsFewThreads) {
    TempDir dir;
    Reactor reactor;
    ASSERT_EQ(::mkfifo((dir / "fifo").c_str(), 0600), 0);
    UniqueFd const end(::open((dir / "fifo").c_str(), O_RDONLY | O_NONBLOCK));
    UniqueFd const fill(::open((dir / "fifo").c_str(), O_WRONLY | O_NONBLOCK));
    ASSERT_GE(::fcntl(end.get(), F_SETPIPE_SZ, 256 * 1024), 256 * 1024);
    std::string const page(4096, 'x');
    while (::write(fill.get(), page.data(), page.size()) > 0) {
    }
    // Small ones are on everybody's lane: a moment, no more.
    auto const before = std::chrono::steady_clock::now();
    EXPECT_EQ((PutFile{to(dir / "fifo"), "y"}.run().error().sys), ETIMEDOUT);
    EXPECT_EQ((AppendFile{to(dir / "fifo"), "y"}.run().error().sys), ETIMEDOUT);
    EXPECT_LT(std::chrono::steady_clock::now() - before, std::chrono::seconds(5));
    // Large ones take one of the slots that what may hang shares.
    std::vector<Executor::Slot> slots;
    for (std::size_t i = 0; i < ExecutorOptions().remote_at_once; ++i) {
        auto slot = reactor.run(reactor.files.slot(Lane::bulk, Deadline::never()));
        ASSERT_TRUE(slot);
        slots.push_back(std::move(*slot));
    }
    int ended = 0;
    Scope waiting(reactor.loop, "waiting");
    waiting.spawn("fifo", count_end(reactor.files, to(dir / "fifo"), &ended));
    reactor.settle();
    EXPECT_EQ(ended, 0);
    EXPECT_EQ(reactor.pool.busy(Lane::bulk), 0U);  // it waits for a slot, not in a thread
    EXPECT_TRUE(reactor.run(upload(reactor.files, to(dir / "file"), noise(600000), 100000)));
    std::string drained(1U << 20U, '\0');
    EXPECT_GT(::read(end.get(), drained.data(), drained.size()), 0);
    slots.clear();
    reactor.io.restart();
    while (ended == 0 && reactor.io.run_one() > 0) {
    }
    reactor.settle();
    EXPECT_EQ(ended, 1);
}

TEST(AppendFile, AddsOrCreates) {
    TempDir dir;
    EXPECT_TRUE((AppendFile{to(dir / "a/log"), "one"}.run()));
    auto const more = AppendFile{to(dir / "a/log"), "two"}.run();
    ASSERT_TRUE(more);
    EXPECT_EQ(more->size, 6U);
    EXPECT_EQ(get(dir / "a/log"), "onetwo");
    EXPECT_EQ((AppendFile{to(dir.path()), "x"}.run().error().code), Code::is_a_directory);
}

TEST(Reader, OnlyRegularFilesAreOpened) {
    TempDir dir;
    Reactor reactor;
    ASSERT_EQ(::mkfifo((dir / "fifo").c_str(), 0600), 0);
    put(dir / "file", "content");
    EXPECT_EQ(reactor.run(open_for_read(reactor.files, dir / "fifo")).error().where, "open.special");
    EXPECT_EQ(reactor.run(open_for_read(reactor.files, "/dev/zero")).error().where, "open.special");
    EXPECT_EQ(reactor.run(open_for_read(reactor.files, dir.path())).error().code, Code::is_a_directory);
    EXPECT_EQ(reactor.run(open_for_read(reactor.files, dir / "none")).error().code, Code::not_found);
    auto file = reactor.run(open_for_read(reactor.files, dir / "file"));
    ASSERT_TRUE(file);
    EXPECT_EQ(file->size, 7U);
    EXPECT_TRUE(file->sized);
    EXPECT_EQ(*reactor.run(read_whole(reactor.files, *file, 100)), "content");
    EXPECT_EQ(reactor.run(read_whole(reactor.files, *file, 6)).error().code, Code::too_large);
    auto const tag = file->etag();
    EXPECT_FALSE(file->changed());
    put(dir / "file", "longer content");
    EXPECT_TRUE(file->changed());
    EXPECT_NE(OpenRead{dir / "file"}.run()->etag(), tag);
    char buffer[64];
    EXPECT_EQ(*reactor.run(read_some(reactor.files, *file, 7, buffer)), 7U);  // it has grown
    EXPECT_EQ(*reactor.run(read_some(reactor.files, *file, 14, buffer)), 0U);
    auto kernel = OpenRead{"/proc/self/status"}.run();
    ASSERT_TRUE(kernel);
    EXPECT_FALSE(kernel->sized);
    EXPECT_GT(reactor.run(read_whole(reactor.files, *kernel, 1 << 20))->size(), 100U);
}

std::string window(std::string const& text, std::uint64_t offset, std::optional<std::uint64_t> limit,
                   std::size_t chunk) {
    LineWindow lines(offset, limit);
    std::string out;
    for (std::size_t at = 0; at < text.size() && !lines.done(); at += chunk)
        lines.push(std::string_view(text).substr(at, chunk), out);
    return out;
}

/// What section 1.8 says, the slow way.
std::string expected_window(std::string const& text, std::uint64_t offset,
                            std::optional<std::uint64_t> limit) {
    std::vector<std::string> lines;
    std::string line;
    for (char const c : text) {
        if (c != '\n') {
            line += c;
            continue;
        }
        lines.push_back(line);
        line.clear();
    }
    if (!line.empty()) lines.push_back(line);
    std::string out;
    for (std::uint64_t i = offset - 1; i < lines.size() && (!limit || i < offset - 1 + *limit); ++i) {
        auto& chosen = lines[i];
        while (chosen.ends_with('\r')) chosen.pop_back();
        if (i != offset - 1) out += '\n';
        out += chosen;
    }
    return out;
}

TEST(LineWindow, PropertyAnyChunkingGivesTheSameLines) {
    std::mt19937 random(7);
    for (int i = 0; i < 3000; ++i) {
        std::string text;
        for (auto n = random() % 20; n > 0; --n) text += "ab\r\n\n"[random() % 5];
        std::uint64_t const offset = 1 + random() % 5;
        std::optional<std::uint64_t> limit;
        if (random() % 2 == 0) limit = 1 + random() % 4;
        auto const want = expected_window(text, offset, limit);
        for (std::size_t const chunk : {1, 2, 3, 100})
            ASSERT_EQ(window(text, offset, limit, chunk), want) << ::testing::PrintToString(text) << offset;
    }
}

TEST(Replace, FirstLastAllAndCount) {
    TempDir dir;
    put(dir / "f", "aXbXcX");
    ASSERT_EQ(::chmod((dir / "f").c_str(), 0755), 0);
    EXPECT_EQ((Replace{dir / "f", "X", "-", Which::first}.run()->replaced), 1U);
    EXPECT_EQ(get(dir / "f"), "a-bXcX");
    EXPECT_EQ((Replace{dir / "f", "X", "yy", Which::last}.run()->replaced), 1U);
    EXPECT_EQ(get(dir / "f"), "a-bXcyy");
    auto const dry = Replace{dir / "f", "y", "", Which::all, true}.run();
    EXPECT_EQ(dry->found, 2U);
    EXPECT_EQ(dry->replaced, 0U);
    EXPECT_EQ((Replace{dir / "f", "none", ""}.run()->replaced), 0U);
    EXPECT_EQ((Replace{dir / "f", "-", "--"}.run()->size), 8U);
    EXPECT_EQ(mode_of(dir / "f"), 0755U);
    EXPECT_EQ((Replace{dir / "f", "", "x"}.run().error().where), "replace.empty");
    EXPECT_EQ((Replace{dir / "none", "", "x"}.run().error().code), Code::not_found);
    EXPECT_EQ((Replace{dir.path(), "a", "x"}.run().error().code), Code::is_a_directory);
}

}  // namespace
}  // namespace execd::fs
