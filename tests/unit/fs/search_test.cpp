#include "fs/search.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <random>
#include <thread>

#include "fs/ops.hpp"
#include "fs/pattern.hpp"
#include "fs/text.hpp"
#include "fs/through_link.hpp"
#include "support.hpp"

namespace execd::fs {
namespace {

using testing::put;
using testing::TempDir;

std::vector<std::string> names(std::vector<Entry> const& entries, std::string const& root) {
    std::vector<std::string> out;
    for (auto const& entry : entries)
        out.push_back(entry.path.substr(std::min(entry.path.size(), root.size() + 1)));
    return out;
}

class Tree : public ::testing::Test {
  protected:
    void SetUp() override {
        for (auto const* path : {"src/deep", "node_modules/x", ".git", "build"})
            ASSERT_TRUE(MakeDirectory(dir / path).run());
        put(dir / "a.py", "import os\nprint('x')\n");
        put(dir / "src/b.py", "import sys\n# TODO: b\nlast TODO");
        put(dir / "src/deep/c.txt", "one\ntwo\nthree\nfour\nfive\n");
        put(dir / "node_modules/x/d.py", "import os\n");
        put(dir / ".git/config", "import\n");
        put(dir / "build/e.py", "import os\n");
        put(dir / ".gitignore", "build/\n");
        put(dir / "binary", std::string("import\0x", 8));
    }
    TempDir dir;
};

TEST_F(Tree, FindByBaseName) {
    auto const found = Find(FindOptions(dir.path(), "*.py")).run();
    ASSERT_TRUE(found);
    EXPECT_EQ(names(found->entries, dir.path()),
              (std::vector<std::string>{"a.py", "build/e.py", "node_modules/x/d.py", "src/b.py"}));
    EXPECT_EQ(found->entries[0].size, 21U);
    EXPECT_EQ(found->entries[0].name, "a.py");
    EXPECT_TRUE(Find(FindOptions(dir.path(), "src/*.py")).run()->entries.empty());
    EXPECT_EQ(Find(FindOptions(dir.path())).run()->entries.size(), 8U);
}

TEST_F(Tree, FindByPathWithExcludesAndKinds) {
    FindOptions options(dir.path(), "src/**/*.{py,txt}");
    options.whole_path = true;
    EXPECT_EQ(names(Find(options).run()->entries, dir.path()),
              (std::vector<std::string>{"src/b.py", "src/deep/c.txt"}));
    options.pattern = "**/*.py";
    options.exclude = {"node_modules"};
    options.gitignore = true;
    EXPECT_EQ(names(Find(options).run()->entries, dir.path()),
              (std::vector<std::string>{"a.py", "src/b.py"}));
    options = FindOptions(dir.path(), "*e*");
    options.kinds = 1U << static_cast<unsigned>(Kind::directory);
    EXPECT_EQ(names(Find(options).run()->entries, dir.path()),
              (std::vector<std::string>{"node_modules", "src/deep"}));
    options = FindOptions(dir.path(), "*.py");
    options.max_results = 2;
    options.hidden = false;
    auto const capped = Find(options).run();
    EXPECT_EQ(capped->entries.size(), 2U);
    EXPECT_TRUE(capped->truncated);
    options.max_depth = 1;
    EXPECT_EQ(Find(options).run()->entries.size(), 1U);
}

TEST_F(Tree, FindsTheRootWhenItIsAFileAndTypesErrors) {
    EXPECT_EQ(Find(FindOptions(dir / "a.py", "*.py")).run()->entries.size(), 1U);
    EXPECT_TRUE(Find(FindOptions(dir / "a.py", "*.c")).run()->entries.empty());
    ASSERT_TRUE(Symlink(dir / "link", dir / "src").run());
    auto const link = Find(FindOptions(dir / "link", "*")).run();
    ASSERT_EQ(link->entries.size(), 1U);
    EXPECT_EQ(link->entries[0].kind, Kind::symlink);
    EXPECT_EQ(Find(FindOptions(dir / "none")).run().error().code, Code::not_found);
    EXPECT_EQ(Find(FindOptions(dir.path(), "[")).run().error().where, "glob");
    auto flag = std::make_shared<std::atomic<bool>>(true);
    EXPECT_EQ(Find(FindOptions(dir.path()), flag).run().error().code, Code::cancelled);
}

TEST_F(Tree, ARootThatIsALinkIsFollowedWhereASlashSaysSo) {
    TempDir other;
    put(other / "f.txt", "needle\n");
    ASSERT_EQ(::symlink(other.path().c_str(), (dir / "to-tree").c_str()), 0);
    ASSERT_EQ(::symlink((other / "f.txt").c_str(), (dir / "to-file").c_str()), 0);
    ASSERT_EQ(::symlink("f.txt", (other / "inner").c_str()), 0);
    auto const searched = [&](std::string const& path) {
        auto done = Grep(GrepOptions(path, "needle")).run();
        EXPECT_TRUE(done) << done.error().message();
        return done ? std::move(done->matches) : std::vector<GrepMatch>();
    };
    EXPECT_TRUE(searched(dir / "to-tree").empty());
    auto hits = searched(through_link(dir / "to-tree"));
    ASSERT_EQ(hits.size(), 1U);
    EXPECT_EQ(hits[0].file, dir / "to-tree/f.txt");
    hits = searched(through_link(dir / "to-file"));
    ASSERT_EQ(hits.size(), 1U);
    EXPECT_EQ(hits[0].file, dir / "to-file");
    auto const found = Find(FindOptions(through_link(dir / "to-tree"), "*.txt")).run();
    ASSERT_TRUE(found);
    ASSERT_EQ(found->entries.size(), 1U);
    EXPECT_EQ(found->entries[0].path, dir / "to-tree/f.txt");
    auto const gone = Grep(GrepOptions(through_link(dir / "gone"), "x")).run();
    ASSERT_FALSE(gone);
    EXPECT_EQ(gone.error().code, Code::not_found);
    EXPECT_EQ(gone.error().detail, dir / "gone");
}

TEST_F(Tree, GrepLinesWithContext) {
    GrepOptions options(dir.path(), "T[OD]+");
    auto const found = Grep(options).run();
    ASSERT_TRUE(found) << found.error().message();
    ASSERT_EQ(found->matches.size(), 2U);
    EXPECT_EQ(found->matches[0].file, dir / "src/b.py");
    EXPECT_EQ(found->matches[0].line, 2U);
    EXPECT_EQ(found->matches[0].text, "# TODO: b");
    EXPECT_EQ(found->matches[0].column, 2U);
    EXPECT_EQ(found->matches[1].line, 3U);
    EXPECT_EQ(found->files_matched, 1U);
    EXPECT_EQ(found->files_skipped, 1U);  // the binary one
    options.pattern = "three";
    options.before = 5;
    options.after = 1;
    options.fixed = true;
    auto const context = Grep(options).run();
    ASSERT_EQ(context->matches.size(), 1U);
    EXPECT_EQ(context->matches[0].before, (std::vector<std::string>{"one", "two"}));
    EXPECT_EQ(context->matches[0].after, (std::vector<std::string>{"four"}));
}

TEST_F(Tree, GrepOptionsAndCaps) {
    GrepOptions options(dir.path(), "IMPORT OS");
    options.ignore_case = true;
    options.exclude = {"node_modules"};
    options.gitignore = true;
    options.include = {"*.py"};
    EXPECT_EQ(Grep(options).run()->matches.size(), 1U);
    options.fixed = true;
    EXPECT_EQ(Grep(options).run()->matches.size(), 1U);
    options = GrepOptions(dir.path(), "o");
    options.max_matches = 2;
    auto const capped = Grep(options).run();
    EXPECT_EQ(capped->matches.size(), 2U);
    EXPECT_TRUE(capped->truncated);
    EXPECT_EQ(capped->limit, "matches");
    options.max_matches = 100;
    options.max_bytes = 10;
    EXPECT_EQ(Grep(options).run()->limit, "bytes");
    options = GrepOptions(dir / "src/deep/c.txt", "two.*four");
    EXPECT_TRUE(Grep(options).run()->matches.empty());
    options.multiline = true;
    auto const spanning = Grep(options).run();
    ASSERT_EQ(spanning->matches.size(), 1U);
    EXPECT_EQ(spanning->matches[0].text, "two\nthree\nfour");
    EXPECT_EQ(spanning->matches[0].line, 2U);
    options.pattern = "(";
    EXPECT_EQ(Grep(options).run().error().where, "regex");
    options.pattern = "";
    EXPECT_EQ(Grep(options).run().error().where, "regex");
}

/// One long line on which every place to begin is much work: the limit is looked at within it.
TEST_F(Tree, GrepLooksAtItsLimitsWithinOneFile) {
    std::string const line(2'000, 'a');
    std::string text;
    for (int i = 0; i < 500; ++i) text += line + "\n";
    put(dir / "large", text);
    for (bool const multiline : {false, true}) {
        GrepOptions options(dir / "large", "(.)(.).*\\2\\1x");
        options.max_ms = 1;
        options.multiline = multiline;
        auto const late = Grep(options).run();
        ASSERT_TRUE(late);
        if (late->too_hard > 0) continue;  // given up for another reason
        EXPECT_EQ(late->limit, "time");
        EXPECT_TRUE(late->truncated);
    }
    GrepOptions options(dir / "large", "(.)(.).*\\2\\1x");
    options.max_ms = 600'000;
    Grep cancelled(options, std::make_shared<std::atomic<bool>>(true));
    EXPECT_EQ(cancelled.run().error().code, Code::cancelled);
}

TEST(Pattern, AStopEndsALongSearchWithinOneText) {
    auto pattern = Pattern::compile("[a-z]+[0-9]", {});
    ASSERT_TRUE(pattern);
    int asked = 0;
    pattern->set_stop([&asked] { return ++asked == 3; });
    std::string text;
    for (int i = 0; i < 40'000; ++i) text += "abcdefgh 12 hij klm\n";
    EXPECT_FALSE(pattern->find(text, 0));
    EXPECT_TRUE(pattern->stopped());
    EXPECT_EQ(asked, 3);
}

TEST_F(Tree, GrepSaysWhatItPassedOverAndReadsUtf16) {
    put(dir / "large.txt", std::string(2'000'000, 'x') + "\nneedle\n");
    put(dir / "wide.txt", *encode_text("one\nneedle two\n", Encoding::utf16_le));
    GrepOptions options(dir.path(), "needle");
    EXPECT_EQ(Grep(options).run()->matches.size(), 2U);
    options.max_file_size = 1'000'000;
    auto const found = Grep(options).run();
    EXPECT_EQ(found->skipped_large, 1U);
    ASSERT_EQ(found->matches.size(), 1U);
    EXPECT_EQ(found->matches[0].text, "needle two");
    EXPECT_EQ(found->matches[0].line, 2U);
    options.include = {"!(*.txt)"};
    EXPECT_TRUE(Grep(options).run()->matches.empty());
    options.include = {"!(*.py)"};
    EXPECT_EQ(Grep(options).run()->matches.size(), 1U);
    options.include = {};
    options.exclude = {"!(*.py)"};
    EXPECT_TRUE(Grep(options).run()->matches.empty());
    options.exclude = {"!bad"};
    EXPECT_EQ(Grep(options).run().error().where, "glob");
}

TEST(Pattern, TheRequiredLiteral) {
    EXPECT_EQ(required_literal("foo.*barbaz"), "barbaz");
    EXPECT_EQ(required_literal("ab+cd"), "ab");
    EXPECT_EQ(required_literal("abc?d"), "ab");
    EXPECT_EQ(required_literal("a{2}bc"), "bc");
    EXPECT_EQ(required_literal("foo|bar"), "");
    EXPECT_EQ(required_literal("(foo|bar)xyz"), "xyz");
    EXPECT_EQ(required_literal("\\.py$"), ".py");
    EXPECT_EQ(required_literal("(?i)foo"), "");
    EXPECT_EQ(required_literal("[abc]de"), "de");
    EXPECT_EQ(required_literal("\\x41bcd"), "");
    EXPECT_EQ(required_literal("x\\d+yz"), "yz");
    EXPECT_EQ(required_literal("\\d{3,5}"), "");
    EXPECT_EQ(required_literal("[a-z]{12}_(ab){34,}.{5}x"), "_");
}

TEST(Pattern, TheLiteralNeverHidesALine) {
    std::mt19937 random(11);
    auto const any = [&](auto const& list) { return std::string(list[random() % std::size(list)]); };
    constexpr char const* kAtoms[] = {"a",   "b",   "3",      "12",    "ab", "[ab]", "[^a]",
                                      "\\d", "\\w", "(a|b3)", "(?:b)", ".",  "\\{",  "\\."};
    constexpr char const* kTimes[] = {"",    "",      "",      "",    "*",  "+", "?",
                                      "{2}", "{1,2}", "{0,1}", "{0}", "+?", "*?"};
    constexpr char const* kText[] = {"a", "b", "3", "12", "{", ".", ",", "1", "2", "\n"};
    for (int round = 0; round < 1000; ++round) {
        std::string expression;
        std::string text;
        for (auto n = 1 + random() % 4; n > 0; --n) {
            expression += any(kAtoms);
            expression += any(kTimes);
        }
        for (auto n = random() % 30; n > 0; --n) text += any(kText);
        auto filtered = Pattern::compile(expression, {});
        auto plain = Pattern::compile("(?:" + expression + ")", {});  // no literal is taken out of groups
        ASSERT_TRUE(filtered && plain) << expression;
        for (std::size_t at = 0; at < text.size();) {
            auto const ours = filtered->find_line(text, at);
            auto const all = plain->find_line(text, at);
            ASSERT_EQ(ours.has_value(), all.has_value()) << expression << " in " << text;
            if (!ours) break;
            ASSERT_EQ(ours->line.begin, all->line.begin) << expression << " in " << text;
            ASSERT_EQ(ours->match.end, all->match.end) << expression << " in " << text;
            at = ours->line.end + 1;
        }
    }
}

TEST(Pattern, LinesAreMatchedAlone) {
    std::string const text = "alpha\nbeta \n gamma\nend";
    auto lines = [&](char const* expression) {
        auto pattern = Pattern::compile(expression, {});
        EXPECT_TRUE(pattern) << expression;
        std::vector<std::string> out;
        std::size_t at = 0;
        while (auto hit = pattern->find_line(text, at)) {
            out.push_back(text.substr(hit->line.begin, hit->line.end - hit->line.begin));
            at = hit->line.end + 1;
        }
        return out;
    };
    using Lines = std::vector<std::string>;
    EXPECT_EQ(lines("a\\s+g"), Lines{});
    EXPECT_EQ(lines("a$"), (Lines{"alpha", " gamma"}));
    EXPECT_EQ(lines("^.e"), (Lines{"beta "}));
    EXPECT_EQ(lines("\\s"), (Lines{"beta ", " gamma"}));
    EXPECT_EQ(lines("a(?!\\s)"), (Lines{"alpha", " gamma"}));
    EXPECT_EQ(lines("\\Aend\\z"), (Lines{"end"}));
    EXPECT_EQ(lines("x*"), (Lines{"alpha", "beta ", " gamma", "end"}));
}

TEST(Pattern, ABombIsGivenUp) {
    auto pattern = Pattern::compile("(x+x+)+[0-9]", {});
    ASSERT_TRUE(pattern);
    auto const begin = std::chrono::steady_clock::now();
    std::string const text(5000, 'x');
    EXPECT_FALSE(pattern->find_line(text, 0));
    EXPECT_GT(pattern->too_hard(), 0U);
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(20));
}

}  // namespace
}  // namespace execd::fs
