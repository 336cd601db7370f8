#include "fs/text.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <random>

#include "fs/diff.hpp"
#include "fs/edit.hpp"
#include "fs/executor.hpp"
#include "fs/whole_file.hpp"
#include "support.hpp"

namespace execd::fs {
namespace {

using testing::get;
using testing::put;
using testing::TempDir;

TEST(Text, EncodingsThereAndBack) {
    std::string const text = "h\xC3\xA9llo \xF0\x9F\x98\x80\n";
    for (auto const encoding : {Encoding::utf8, Encoding::utf8_bom, Encoding::utf16_le, Encoding::utf16_be}) {
        auto const bytes = encode_text(text, encoding);
        ASSERT_TRUE(bytes);
        EXPECT_EQ(detect_encoding(*bytes), encoding);
        EXPECT_EQ(*decode_text(*bytes, Encoding::detect), text);
    }
    EXPECT_EQ(*encode_text("h\xC3\xA9", Encoding::latin1), "h\xE9");
    EXPECT_EQ(*decode_text("h\xE9", Encoding::latin1), "h\xC3\xA9");
    EXPECT_EQ(encode_text(text, Encoding::latin1).error().code, Code::decode);
    EXPECT_EQ(decode_text("\xFF\xFE\x41", Encoding::detect).error().code, Code::decode);
    EXPECT_EQ(decode_text(std::string("\xFF\xFE\x00\xD8", 4), Encoding::detect).error().code, Code::decode);
    EXPECT_EQ(decode_text("ok\xFF", Encoding::detect).error().detail, "not UTF-8 at byte 2");
    EXPECT_TRUE(looks_binary(std::string("a\0b", 3)));
}

TEST(Text, Base64OfBytes) {
    EXPECT_EQ(decode_text("Ma\xFF", Encoding::base64), "TWH/");
    EXPECT_EQ(encode_text(" TWH\r\n/ ", Encoding::base64), "Ma\xFF");
    EXPECT_EQ(encode_text("TW!u", Encoding::base64).error().code, Code::decode);
}

/// Applies a unified diff; fails the test where it does not fit.
std::string patch(std::string const& before, std::string const& diff) {
    std::vector<std::string> old;
    for (std::size_t at = 0; at < before.size();) {
        auto const end = std::min(before.find('\n', at), before.size() - 1);
        old.push_back(before.substr(at, end + 1 - at));
        at = end + 1;
    }
    std::string out;
    std::size_t line = 0;
    std::size_t at = diff.find("@@ -");
    while (at < diff.size()) {
        auto const end = diff.find('\n', at);
        auto const row = diff.substr(at, end - at);
        at = end + 1;
        if (row.starts_with("@@")) {
            std::size_t first = std::stoul(row.substr(4));
            bool const empty = row.substr(4, row.find(' ', 4) - 4).ends_with(",0");
            if (!empty) --first;
            for (; line < first; ++line) out += old.at(line);
            continue;
        }
        if (row.starts_with('\\')) continue;
        bool const unended = diff.substr(at).starts_with("\\ No newline");
        auto const text = row.substr(1) + (unended ? "" : "\n");
        if (row[0] != '+') {
            EXPECT_EQ(old.at(line), text);
            ++line;
        }
        if (row[0] != '-') out += text;
    }
    for (; line < old.size(); ++line) out += old[line];
    return out;
}

TEST(Diff, PropertyPatchingGivesTheNewText) {
    std::mt19937 random(11);
    for (int i = 0; i < 3000; ++i) {
        std::string before;
        std::string after;
        for (auto n = random() % 12; n > 0; --n) before += std::string(1, "abc"[random() % 3]) + "\n";
        for (auto n = random() % 12; n > 0; --n) after += std::string(1, "abc"[random() % 3]) + "\n";
        if (random() % 3 == 0 && !before.empty()) before.pop_back();
        if (random() % 3 == 0 && !after.empty()) after.pop_back();
        auto const diff = unified_diff(before, after, "a", "b", random() % 4);
        ASSERT_EQ(patch(before, diff), after) << diff;
    }
}

TEST(Diff, LooksAsPatchExpects) {
    EXPECT_EQ(unified_diff("x\n", "x\n", "a", "b"), "");
    EXPECT_EQ(unified_diff("1\n2\n3\n4\n5\n", "1\n2\nX\n4\n5", "a", "b", 1),
              "--- a\n+++ b\n@@ -2,4 +2,4 @@\n 2\n-3\n+X\n 4\n-5\n+5\n\\ No newline at end of file\n");
    EXPECT_EQ(unified_diff("", "new\n", "a", "b"), "--- a\n+++ b\n@@ -0,0 +1 @@\n+new\n");
    std::string large;
    std::string other;
    for (int i = 0; i < 5000; ++i) {
        large += std::to_string(i) + "\n";
        other += std::to_string(i * 7 + 1) + "\n";
    }
    EXPECT_EQ(patch(large, unified_diff(large, other, "a", "b")), other);
}

TEST(ReadText, LinesEncodingsAndBinaries) {
    TempDir dir;
    put(dir / "f", "zero\none\ntwo");
    ReadText read(dir / "f");
    EXPECT_EQ(read.run()->text, "zero\none\ntwo");
    EXPECT_EQ(read.run()->lines, 3U);
    read.begin = 1;
    read.end = 2;
    EXPECT_EQ(read.run()->text, "one\n");
    read.end.reset();
    EXPECT_EQ(read.run()->text, "one\ntwo");
    read.begin = 9;
    EXPECT_EQ(read.run()->text, "");
    put(dir / "b", std::string("\x01\x00\xFF", 3));
    ReadText binary(dir / "b");
    EXPECT_EQ(binary.run().error().code, Code::decode);
    binary.base64_if_binary = true;
    EXPECT_EQ(binary.run()->text, "AQD/");
    EXPECT_EQ(binary.run()->encoding, Encoding::base64);
    binary.max_size = 2;
    EXPECT_EQ(binary.run().error().code, Code::too_large);
}

/// The window of a file in blocks is what the whole file's lines say.
TEST(ReadText, LinesOfALargeFileAreThoseOfTheWhole) {
    TempDir dir;
    std::string text = "\xEF\xBB\xBF";
    for (int i = 0; text.size() < 700'000; ++i)
        text += std::to_string(i) + std::string(static_cast<std::size_t>(i * 7 % 90), 'x') +
                "\xC3\xA9\xE2\x82\xAC\n";
    text += "the last";
    put(dir / "f", text);
    ReadText whole(dir / "f");
    auto const all = whole.run();
    ASSERT_TRUE(all);
    std::vector<std::string> lines;
    for (std::size_t at = 0; at < all->text.size();) {
        auto const end = std::min(all->text.find('\n', at), all->text.size() - 1) + 1;
        lines.push_back(all->text.substr(at, end - at));
        at = end;
    }
    ASSERT_EQ(all->lines, lines.size());
    for (std::size_t begin :
         {std::size_t{0}, std::size_t{1}, lines.size() / 2, lines.size() - 1, lines.size()}) {
        ReadText read(dir / "f");
        read.begin = begin;
        read.end = begin + 3;
        auto const some = read.run();
        ASSERT_TRUE(some);
        std::string expected;
        for (auto i = begin; i < std::min(begin + 3, lines.size()); ++i) expected += lines[i];
        EXPECT_EQ(some->text, expected) << begin;
        EXPECT_EQ(some->lines, all->lines);
        EXPECT_EQ(some->sha256, all->sha256);
        EXPECT_EQ(some->encoding, Encoding::utf8_bom);
    }
    put(dir / "bad", std::string(300'000, 'a') + "\n\xFF\n");
    ReadText bad(dir / "bad");
    bad.begin = 0;
    bad.end = 1;
    EXPECT_EQ(bad.run().error().code, Code::decode);
    bad.encoding = Encoding::latin1;
    bad.begin = 1;
    bad.end = 2;
    EXPECT_EQ(bad.run()->text, "\xC3\xBF\n");
}

TEST(ReadText, BytesAsTextWhereTheyAreThat) {
    TempDir dir;
    put(dir / "f", "0123\xC3\xA9");
    ReadText read(dir / "f");
    read.offset = 2;
    read.length = 3;
    EXPECT_EQ(read.run()->encoding, Encoding::base64);  // half a character
    read.length = 2;
    EXPECT_EQ(read.run()->text, "23");
    read.length.reset();
    EXPECT_EQ(read.run()->text, "23\xC3\xA9");
    read.offset = 99;
    EXPECT_EQ(read.run()->text, "");
}

/// Large files that are held whole share a bound; one alone always goes.
TEST(WholeFile, ManyLargeOnesAreRefusedRatherThanHeld) {
    auto one = MemoryShare::take(300U << 20U);
    ASSERT_TRUE(one);
    EXPECT_EQ(MemoryShare::take(2U << 20U).error().where, "fs.memory");
    EXPECT_TRUE(MemoryShare::take(1000));
    { auto const gone = std::move(*one); }
    EXPECT_TRUE(MemoryShare::take(2U << 20U));
}

TEST(EditText, InTheEncodingAsked) {
    TempDir dir;
    put(dir / "f",
        "gr\xF6\xDF"
        "e");
    EditText edit(dir / "f", {TextEdit("\xC3\xB6\xC3\x9F"
                                       "e",
                                       "\xC3\xB6\xC3\x9F"
                                       "er")});
    EXPECT_EQ(edit.run().error().where, "edit.text");
    edit.encoding = Encoding::latin1;
    ASSERT_TRUE(edit.run());
    EXPECT_EQ(get(dir / "f"),
              "gr\xF6\xDF"
              "er");
}

template <class Op>
Task<void> counted(Executor& files, Op op, int* done) {
    auto const answer = co_await files.run(std::move(op));
    if (answer)
        ++*done;
    else
        EXPECT_EQ(answer.error().where, "edit.changed");
}

class AtTheSameTime : public ::testing::Test {
  protected:
    template <class Op>
    void start(Op op) {
        reactor.scope.spawn("edit", counted(reactor.files, std::move(op), &done));
    }
    int finish() {
        reactor.io.restart();
        while (reactor.scope.running() > 0 && reactor.io.run_one() > 0) {
        }
        return std::exchange(done, 0);
    }
    TempDir dir;
    testing::Reactor reactor;
    int done = 0;
};

/// Whoever was told that the file was as expected is the only one.
TEST_F(AtTheSameTime, OneOfManyWithTheSameExpectationWins) {
    ASSERT_EQ(::symlink("f", (dir / "link").c_str()), 0);
    for (int round = 0; round < 20; ++round) {
        put(dir / "f", "start");
        for (int i = 0; i < 16; ++i) {
            // By another name it is the same file.
            EditText edit(dir / (i % 2 == 0 ? "f" : "link"), {TextEdit("start", "by " + std::to_string(i))});
            edit.expected_sha256 = sha256_hex("start");
            start(std::move(edit));
        }
        EXPECT_EQ(finish(), 1);
    }
}

TEST_F(AtTheSameTime, EveryEditReplacementAndUploadIsKept) {
    for (int round = 0; round < 5; ++round) {
        std::string text;
        for (int i = 0; i < 16; ++i) text += "<" + std::to_string(i) + ">\n";
        put(dir / "f", text);
        for (int i = 0; i < 16; ++i) {
            auto const from = "<" + std::to_string(i) + ">";
            auto const to = "[" + std::to_string(i) + "]";
            if (i % 2 == 0)
                start(EditText(dir / "f", {TextEdit(from, to)}));
            else
                start(Replace(dir / "f", from, to));
        }
        EXPECT_EQ(finish(), 16);
        EXPECT_EQ(get(dir / "f").find('<'), std::string::npos) << get(dir / "f");
    }
    EXPECT_FALSE(reactor.files.any_held());
}

/// Someone without our locks: what he wrote in between is not overwritten.
TEST(EditText, AChangeMeanwhileIsSeenBeforeTheRename) {
    TempDir dir;
    put(dir / "f", "one");
    WriteOptions options(dir / "f");
    auto const before = OpenRead(dir / "f").run();
    options.seen = Seen(before->device, before->inode, before->size, before->mtime_ns);
    std::filesystem::remove(dir / "f");
    put(dir / "f", "two");
    EXPECT_EQ(PutFile(options, "three").run().error().where, kChangedMeanwhile);
    EXPECT_EQ(get(dir / "f"), "two");
    std::filesystem::remove(dir / "f");
    EXPECT_EQ(PutFile(options, "three").run().error().where, kChangedMeanwhile);
    EXPECT_EQ(dir.entries(), 0U);
}

TEST(EditText, TheByteOrderMarkStaysAsItWas) {
    TempDir dir;
    struct Row {
        Encoding encoding;
        std::string before, after;
    };
    using namespace std::string_literals;
    for (auto const& row : std::vector<Row>{{Encoding::utf8,
                                             "\xEF\xBB\xBF"
                                             "a",
                                             "\xEF\xBB\xBF"
                                             "b"},
                                            {Encoding::utf8, "a", "b"},
                                            {Encoding::utf8_bom, "a", "b"},
                                            {Encoding::utf8_bom,
                                             "\xEF\xBB\xBF"
                                             "a",
                                             "\xEF\xBB\xBF"
                                             "b"},
                                            {Encoding::utf16_le, "a\0"s, "b\0"s},
                                            {Encoding::utf16_le,
                                             "\xFF\xFE"
                                             "a\0"s,
                                             "\xFF\xFE"
                                             "b\0"s},
                                            {Encoding::utf16_be, "\0a"s, "\0b"s},
                                            {Encoding::utf16_be, "\xFE\xFF\0a"s, "\xFE\xFF\0b"s},
                                            {Encoding::latin1,
                                             "\xFF\xFE"
                                             "a",
                                             "\xFF\xFE"
                                             "b"},
                                            {Encoding::detect,
                                             "\xFF\xFE"
                                             "a\0"s,
                                             "\xFF\xFE"
                                             "b\0"s}}) {
        put(dir / "f", row.before);
        EditText edit(dir / "f", {TextEdit("a", "b")});
        edit.encoding = row.encoding;
        auto const done = edit.run();
        ASSERT_TRUE(done) << done.error().message();
        EXPECT_EQ(get(dir / "f"), row.after) << to_string(row.encoding);
        EXPECT_EQ(done->size, row.after.size());
    }
}

TEST(EditText, AllOrNothingAndOnlyWhatWasSeen) {
    TempDir dir;
    put(dir / "f", "a\nb\nc\n");
    EditText edit(dir / "f", {TextEdit("a", "A"), TextEdit("nope", "x")});
    EXPECT_EQ(edit.run().error().where, "edit.text");
    EXPECT_EQ(get(dir / "f"), "a\nb\nc\n");
    edit.edits = {TextEdit("a", "A"), TextEdit("c", "C")};
    edit.expected_sha256 = std::string(64, '0');
    EXPECT_EQ(edit.run().error().where, "edit.changed");
    edit.expected_sha256 = sha256_hex("a\nb\nc\n");
    edit.dry = true;
    auto const dry = edit.run();
    ASSERT_TRUE(dry);
    EXPECT_EQ(get(dir / "f"), "a\nb\nc\n");
    edit.dry = false;
    auto const done = edit.run();
    ASSERT_TRUE(done);
    EXPECT_EQ(done->replaced, 2U);
    EXPECT_EQ(get(dir / "f"), "A\nb\nC\n");
    EXPECT_EQ(done->sha256, dry->sha256);
    EXPECT_EQ(done->sha256, sha256_hex("A\nb\nC\n"));
    EXPECT_NE(done->diff.find("-a\n+A\n"), std::string::npos);
    edit = EditText(dir / "f", {TextEdit("\n", "")});
    edit.edits[0].unique = true;
    EXPECT_EQ(edit.run().error().where, "edit.ambiguous");
    put(dir / "u", *encode_text("x\xC3\xA9y", Encoding::utf16_le));
    ASSERT_TRUE(EditText(dir / "u", {TextEdit("\xC3\xA9", "\xE2\x82\xAC")}).run());
    EXPECT_EQ(*decode_text(get(dir / "u"), Encoding::detect), "x\xE2\x82\xACy");
}

}  // namespace
}  // namespace execd::fs
