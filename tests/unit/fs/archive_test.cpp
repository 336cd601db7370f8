#include "fs/archive.hpp"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <random>

#include "fs/spool.hpp"
#include "support.hpp"

namespace execd::fs {
namespace {

using testing::get;
using testing::mode_of;
using testing::put;
using testing::TempDir;

std::string pack(std::string const& path, ArchiveFormat format) {
    PackOptions options(path);
    options.format = format;
    Packer packer(options);
    std::string out;
    while (!packer.done()) {
        auto ok = packer.next(out, 1000);
        EXPECT_TRUE(ok) << ok.error().message();
        if (!ok) break;
    }
    return out;
}

UniqueFd file_of(std::string const& bytes) {
    auto fd = open_unnamed("/tmp");
    EXPECT_TRUE(fd);
    EXPECT_EQ(::write(fd->get(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
    return std::move(*fd);
}

Result<Unpacked> unpack(std::string const& bytes, UnpackOptions options) {
    return Unpack(std::move(options), file_of(bytes)).run();
}

/// An archive with whatever heads a test wants, in pax: the format of the other tools.
class Maker {
  public:
    Maker() : archive_(::archive_write_new()) {
        ::archive_write_set_format_pax_restricted(archive_);
        out_.resize(1 << 20);
        ::archive_write_open_memory(archive_, out_.data(), out_.size(), &used_);
    }
    Maker& add(std::string const& name, unsigned type, std::string const& content,
               std::string const& link = "", bool hard = false) {
        ::archive_entry* const entry = ::archive_entry_new();
        ::archive_entry_set_pathname(entry, name.c_str());
        ::archive_entry_set_filetype(entry, type);
        ::archive_entry_set_perm(entry, 06755);
        ::archive_entry_set_size(entry, static_cast<la_int64_t>(content.size()));
        if (!link.empty() && !hard) ::archive_entry_set_symlink(entry, link.c_str());
        if (hard) ::archive_entry_set_hardlink(entry, link.c_str());
        EXPECT_GE(::archive_write_header(archive_, entry), ARCHIVE_WARN) << ::archive_error_string(archive_);
        ::archive_write_data(archive_, content.data(), content.size());
        ::archive_entry_free(entry);
        return *this;
    }
    std::string take() {
        ::archive_write_free(archive_);
        return out_.substr(0, used_);
    }

  private:
    ::archive* archive_;
    std::string out_;
    std::size_t used_ = 0;
};

void fill(TempDir const& dir) {
    std::mt19937 random(7);
    std::string noise(300'000, '\0');
    for (auto& c : noise) c = static_cast<char>(random());
    ::mkdir((dir / "src").c_str(), 0755);
    ::mkdir((dir / "src/empty").c_str(), 0750);
    ::mkdir((dir / "src/deep").c_str(), 0755);
    put(dir / "src/a.txt", "hello\n");
    put(dir / "src/deep/noise", noise);
    put(dir / "src/deep/nothing", "");
    put(dir / ("src/deep/" + std::string("na\nme $x \xff\xfe")), "odd");
    put(dir / "src/d\xc3\xb6rt", "utf8");
    put(dir / ("src/" + std::string(200, 'n')), "long");
    ::chmod((dir / "src/a.txt").c_str(), 0640);
    EXPECT_EQ(::symlink("a.txt", (dir / "src/link").c_str()), 0);
    EXPECT_EQ(::symlink("/nowhere/at/all", (dir / "src/out").c_str()), 0);
    EXPECT_EQ(::mkfifo((dir / "src/pipe").c_str(), 0600), 0);
}

TEST(Archive, ThereAndBackInEveryFormat) {
    TempDir dir;
    fill(dir);
    for (auto const format : {ArchiveFormat::tar, ArchiveFormat::tar_gz, ArchiveFormat::tar_zst}) {
        auto const bytes = pack(dir / "src", format);
        TempDir to;
        auto const done = unpack(bytes, UnpackOptions(to / "new/place"));
        ASSERT_TRUE(done) << done.error().message();
        EXPECT_EQ(done->files, 6U);
        EXPECT_EQ(done->directories, 2U);
        EXPECT_EQ(done->links, 2U);
        EXPECT_EQ(done->bytes, 6 + 300'000 + 3 + 4 + 4U);
        auto const at = [&](std::string const& name) { return to / ("new/place/" + name); };
        EXPECT_EQ(get(at("a.txt")), "hello\n");
        EXPECT_EQ(mode_of(at("a.txt")), 0640U);
        EXPECT_EQ(mode_of(at("empty")), 0750U);
        EXPECT_EQ(get(at("deep/noise")), get(dir / "src/deep/noise"));
        EXPECT_EQ(get(at("deep/" + std::string("na\nme $x \xff\xfe"))), "odd");
        EXPECT_EQ(get(at("d\xc3\xb6rt")), "utf8");
        EXPECT_EQ(get(at(std::string(200, 'n'))), "long");
        char target[64] = {};
        EXPECT_EQ(::readlink(at("out").c_str(), target, sizeof target - 1), 15);
        EXPECT_STREQ(target, "/nowhere/at/all");
    }
}

TEST(Archive, NamesOfPaxHeadersAreBytesToo) {
    auto const bytes = Maker().add("d\xc3\xb6rt/\xe6\x97\xa5", AE_IFREG, "x").take();
    TempDir to;
    auto const done = unpack(bytes, UnpackOptions(to.path()));
    ASSERT_TRUE(done) << done.error().message();
    EXPECT_EQ(get(to / "d\xc3\xb6rt/\xe6\x97\xa5"), "x");
}

TEST(Archive, WhatWouldLeaveTheDirectoryIsRefusedBeforeAnythingIsWritten) {
    TempDir dir;
    for (std::string const name : {"../evil", "a/../../evil", "/etc/evil", ".."}) {
        auto const bytes = Maker().add("good", AE_IFREG, "x").add(name, AE_IFREG, "evil").take();
        auto const done = unpack(bytes, UnpackOptions(dir / "to"));
        ASSERT_FALSE(done) << name;
        EXPECT_EQ(done.error().where, "archive.name");
    }
    auto const linked = Maker().add("x", AE_IFREG, "", "../../etc/passwd", true).take();
    EXPECT_EQ(unpack(linked, UnpackOptions(dir / "to")).error().where, "archive.name");
    EXPECT_EQ(dir.entries(), 0U);
}

TEST(Archive, NothingIsWrittenThroughALink) {
    TempDir dir;
    ::mkdir((dir / "outside").c_str(), 0755);
    ::mkdir((dir / "to").c_str(), 0755);
    // In the archive: the link is made after everything else, so the file makes a real directory of its name.
    auto bytes = Maker().add("way", AE_IFLNK, "", dir / "outside").add("way/evil", AE_IFREG, "evil").take();
    EXPECT_FALSE(unpack(bytes, UnpackOptions(dir / "to")));
    EXPECT_FALSE(std::filesystem::exists(dir / "outside/evil"));
    // On the disk already.
    std::filesystem::remove_all(dir / "to");
    ::mkdir((dir / "to").c_str(), 0755);
    ASSERT_EQ(::symlink((dir / "outside").c_str(), (dir / "to/way").c_str()), 0);
    bytes = Maker().add("way/evil", AE_IFREG, "evil").take();
    auto const done = unpack(bytes, UnpackOptions(dir / "to"));
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, Code::not_a_directory);
    EXPECT_TRUE(std::filesystem::is_empty(dir / "outside"));
    // A link where a file comes: replaced itself, not what it points to.
    put(dir / "outside/kept", "kept");
    ASSERT_EQ(::symlink((dir / "outside/kept").c_str(), (dir / "to/file").c_str()), 0);
    ASSERT_TRUE(unpack(Maker().add("file", AE_IFREG, "new").take(), UnpackOptions(dir / "to")));
    EXPECT_EQ(get(dir / "outside/kept"), "kept");
    EXPECT_EQ(get(dir / "to/file"), "new");
    // A hard link to a link would be a way out as well.
    ASSERT_EQ(::symlink("/etc/passwd", (dir / "to/l").c_str()), 0);
    EXPECT_FALSE(unpack(Maker().add("x", AE_IFREG, "", "l", true).take(), UnpackOptions(dir / "to")));
}

TEST(Archive, HardLinksSpecialFilesAndModes) {
    auto const bytes = Maker()
                           .add("a", AE_IFREG, "same")
                           .add("b", AE_IFREG, "", "a", true)
                           .add("null", AE_IFCHR, "")
                           .add("pipe", AE_IFIFO, "")
                           .take();
    TempDir to;
    auto const done = unpack(bytes, UnpackOptions(to.path()));
    ASSERT_TRUE(done) << done.error().message();
    EXPECT_EQ(done->skipped, 2U);
    EXPECT_EQ(mode_of(to / "a"), 0755U) << "setuid and setgid are not taken over";
    struct ::stat a {};
    struct ::stat b {};
    ASSERT_EQ(::stat((to / "a").c_str(), &a), 0);
    ASSERT_EQ(::stat((to / "b").c_str(), &b), 0);
    EXPECT_EQ(a.st_ino, b.st_ino);
    EXPECT_EQ(to.entries(), 2U);
}

TEST(Archive, ExistingNames) {
    TempDir to;
    put(to / "a", "old");
    auto const bytes = Maker().add("a", AE_IFREG, "new").take();
    UnpackOptions keep(to.path());
    keep.overwrite = false;
    EXPECT_EQ(unpack(bytes, keep).error().code, Code::already_exists);
    EXPECT_EQ(get(to / "a"), "old");
    EXPECT_EQ(to.entries(), 1U);
    ASSERT_TRUE(unpack(bytes, UnpackOptions(to.path())));
    EXPECT_EQ(get(to / "a"), "new");
    ::mkdir((to / "dir").c_str(), 0755);
    EXPECT_FALSE(unpack(Maker().add("dir", AE_IFREG, "x").take(), UnpackOptions(to.path())));
    EXPECT_FALSE(unpack(Maker().add("a/b", AE_IFREG, "x").take(), UnpackOptions(to.path())));
    EXPECT_EQ(to.entries(), 2U) << "no temporaries stay";
}

TEST(Archive, BombsAreCountedBeforeTheyAreWritten) {
    TempDir dir;
    put(dir / "zeros", std::string(20 << 20, '\0'));
    auto const bomb = pack(dir / "zeros", ArchiveFormat::tar_zst);
    ASSERT_LT(bomb.size(), 100'000U);
    UnpackOptions options(dir / "to");
    options.max_bytes = 10 << 20;
    EXPECT_EQ(unpack(bomb, options).error().where, "archive.limit");
    EXPECT_FALSE(std::filesystem::exists(dir / "to"));
    Maker many;
    for (int i = 0; i < 50; ++i) many.add("f" + std::to_string(i), AE_IFREG, "");
    options.max_entries = 49;
    EXPECT_EQ(unpack(many.take(), options).error().code, Code::too_large);
    EXPECT_FALSE(std::filesystem::exists(dir / "to"));
}

TEST(Archive, BrokenAndCutOffOnesWriteNothing) {
    TempDir dir;
    fill(dir);
    for (auto const format : {ArchiveFormat::tar, ArchiveFormat::tar_gz, ArchiveFormat::tar_zst}) {
        auto const whole = pack(dir / "src", format);
        // Within the last two blocks of zeros a plain tar has ended already.
        for (std::size_t const size :
             {std::size_t{1}, std::size_t{700}, whole.size() / 2, whole.size() * 9 / 10}) {
            auto const done = unpack(whole.substr(0, size), UnpackOptions(dir / "to"));
            ASSERT_FALSE(done) << size;
            EXPECT_EQ(done.error().code, Code::decode) << done.error().message();
        }
    }
    EXPECT_EQ(unpack("this is no archive at all", UnpackOptions(dir / "to")).error().code, Code::decode);
    EXPECT_FALSE(std::filesystem::exists(dir / "to"));
}

TEST(Archive, ItsOwnFaultsAreSaid) {
    TempDir dir;
    std::string out;
    EXPECT_EQ(Packer(PackOptions(dir / "gone")).next(out, 1).error().code, Code::not_found);
    put(dir / "file", "alone");
    auto const one = pack(dir / "file", ArchiveFormat::tar);
    auto const done = unpack(one, UnpackOptions(dir / "to"));
    ASSERT_TRUE(done);
    EXPECT_EQ(get(dir / "to/file"), "alone");
    // A file that becomes shorter under our hands: the head has promised what is no longer there.
    put(dir / "log", std::string(1 << 20, 'x'));
    PackOptions options(dir / "log");
    options.format = ArchiveFormat::tar;
    Packer packer(options);
    ASSERT_TRUE(packer.next(out, 1));
    ASSERT_EQ(::truncate((dir / "log").c_str(), 1000), 0);
    auto const cut = packer.next(out, 2 << 20);
    ASSERT_FALSE(cut);
    EXPECT_EQ(cut.error().where, "pack.changed");
    auto const cancel = std::make_shared<std::atomic<bool>>(true);
    Unpack stopped(UnpackOptions(dir / "never"), file_of(one));
    stopped.cancel = cancel;
    EXPECT_EQ(stopped.run().error().code, Code::cancelled);
}

TEST(Archive, MemberNames) {
    EXPECT_EQ(member_name("./a//b/"), "a/b");
    EXPECT_EQ(member_name("."), "");
    EXPECT_EQ(member_name("..a/b.."), "..a/b..");
    EXPECT_FALSE(member_name("a/../b"));
    EXPECT_FALSE(member_name("/a"));
    EXPECT_FALSE(member_name(std::string_view("a\0b", 3)));
}

TEST(Spool, KeepsALittleInMemoryAndTheRestInAFile) {
    testing::Reactor reactor;
    TempDir dir;
    for (std::size_t const size : {0, 5, 262'144, 262'145, 3'000'000}) {
        std::string bytes(size, '\0');
        for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(i * 7 + i / 251);
        Spool spool(reactor.loop, dir.path());
        for (std::size_t at = 0; at < size; at += 100'001)
            ASSERT_TRUE(reactor.run(spool.append(std::string_view(bytes).substr(at, 100'001))));
        EXPECT_EQ(spool.size(), size);
        std::string back;
        for (;;) {
            auto const piece = reactor.run(spool.next());
            ASSERT_TRUE(piece);
            if (piece->empty()) break;
            back += *piece;
        }
        EXPECT_EQ(back, bytes);
        EXPECT_EQ(dir.entries(), 0U) << "it has no name";
    }
    Spool nowhere(reactor.loop, dir / "missing");
    EXPECT_FALSE(reactor.run(nowhere.append(std::string(300'000, 'x'))));
}

}  // namespace
}  // namespace execd::fs
