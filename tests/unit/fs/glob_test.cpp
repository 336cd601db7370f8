#include "fs/glob.hpp"

#include <gtest/gtest.h>

#include <random>

#include "fs/ignore.hpp"

namespace execd::fs {
namespace {

bool match(std::string_view pattern, std::string_view text, GlobOptions options = {}) {
    auto const glob = Glob::compile(pattern, options);
    EXPECT_TRUE(glob) << pattern;
    return glob && glob->match(text);
}

TEST(Glob, WhatEachSignMeans) {
    EXPECT_TRUE(match("*.py", "a.py"));
    EXPECT_TRUE(match("*", ".hidden"));
    EXPECT_FALSE(match("*.py", "src/a.py"));
    EXPECT_TRUE(match("**/*.py", "a.py"));
    EXPECT_TRUE(match("**/*.py", "x/y/a.py"));
    EXPECT_TRUE(match("**", "any"));
    EXPECT_TRUE(match("**", "any/thing"));
    EXPECT_TRUE(match("a/**", "a"));
    EXPECT_TRUE(match("a/**/b", "a/b"));
    EXPECT_TRUE(match("a/**/b", "a/x/y/b"));
    EXPECT_FALSE(match("a/**/b", "a/x/y/c"));
    EXPECT_TRUE(match("a**b", "axyb"));
    EXPECT_FALSE(match("a**b", "ax/yb"));
    EXPECT_TRUE(match("?", "\xC3\xA9"));
    EXPECT_FALSE(match("?", "/"));
    EXPECT_TRUE(match("?", "\xFF"));
    EXPECT_TRUE(match("[a-c]x", "bx"));
    EXPECT_TRUE(match("[!a-c]x", "dx"));
    EXPECT_TRUE(match("[^a-c]x", "dx"));
    EXPECT_TRUE(match("[]]", "]"));
    EXPECT_TRUE(match("[\\]a]", "]"));
    EXPECT_TRUE(match("[\xC3\xA0-\xC3\xBF]", "\xC3\xA9"));
    EXPECT_TRUE(match("{a,b{c,d}}.txt", "bd.txt"));
    EXPECT_TRUE(match("x{,y}", "x"));
    EXPECT_TRUE(match("{src,lib}/**/*.{c,h}", "lib/a/b.h"));
    EXPECT_TRUE(match("\\*", "*"));
    EXPECT_FALSE(match("\\*", "a"));
    EXPECT_FALSE(match("A", "a"));
    GlobOptions loose;
    loose.ignore_case = true;
    EXPECT_TRUE(match("READ*.[M]d", "readme.mD", loose));
}

TEST(Glob, NegationOfTheWhole) {
    GlobOptions options;
    options.negation = true;
    EXPECT_FALSE(match("!(*.py)", "a.py", options));
    EXPECT_TRUE(match("!(*.py)", "a.c", options));
    EXPECT_TRUE(match("!({a,b})", "c", options));
    EXPECT_EQ(Glob::compile("!a", options).error().where, "glob");
    EXPECT_TRUE(match("!a", "!a"));
}

TEST(Glob, BadPatternsAreRefused) {
    for (auto const* pattern : {"[a", "[", "{a", "{a,{b}", "a\\", "[z-a]"})
        EXPECT_FALSE(Glob::compile(pattern)) << pattern;
    std::string many;
    for (int i = 0; i < 12; ++i) many += "{a,b}";
    EXPECT_FALSE(Glob::compile(many));
    EXPECT_FALSE(Glob::compile(std::string(100'000, '*')));
}

TEST(Glob, NoPatternRunsAway) {
    std::string pattern;
    std::string path;
    for (int i = 0; i < 30; ++i) pattern += "*a";
    for (int i = 0; i < 30; ++i) path += "**/a/";
    auto const text = std::string(2000, 'a');
    EXPECT_FALSE(match(pattern + "b", text));
    std::string deep;
    for (int i = 0; i < 300; ++i) deep += "a/";
    EXPECT_FALSE(match(path + "b", deep + "c"));
}

/// The meaning of `*`, `?` and literals, the slow way.
bool reference(std::string_view pattern, std::string_view text) {
    if (pattern.empty()) return text.empty();
    if (pattern[0] == '*') {
        for (std::size_t n = 0; n <= text.size(); ++n) {
            if (reference(pattern.substr(1), text.substr(n))) return true;
            if (n < text.size() && text[n] == '/') return false;
        }
        return false;
    }
    if (text.empty()) return false;
    bool const one = pattern[0] == '?' ? text[0] != '/' : pattern[0] == text[0];
    return one && reference(pattern.substr(1), text.substr(1));
}

TEST(Glob, PropertyAgreesWithTheSlowWay) {
    std::mt19937 random(3);
    for (int i = 0; i < 20000; ++i) {
        std::string pattern;
        std::string text;
        for (auto n = random() % 7; n > 0; --n) pattern += "ab*?/"[random() % 5];
        for (auto n = random() % 7; n > 0; --n) text += "ab/"[random() % 3];
        if (pattern.find("**") != std::string::npos) continue;
        ASSERT_EQ(match(pattern, text), reference(pattern, text)) << pattern << " on " << text;
    }
}

TEST(Ignore, RulesOfOneFile) {
    auto const rules = IgnoreRules::parse(
        "# comment\n*.o\n!keep.o\nbuild/\n/top\nsrc/*.gen\ndocs/**\n**/cache\ntrailing  \n\\#real\n");
    auto const is = [&](std::string_view path, bool directory = false) {
        auto const slash = path.rfind('/');
        return rules.ignored(path, slash == std::string_view::npos ? path : path.substr(slash + 1), directory)
            .value_or(false);
    };
    EXPECT_TRUE(is("a.o"));
    EXPECT_TRUE(is("x/y/a.o"));
    EXPECT_FALSE(is("x/keep.o"));
    EXPECT_TRUE(is("build", true));
    EXPECT_FALSE(is("build"));
    EXPECT_TRUE(is("x/build", true));
    EXPECT_TRUE(is("top"));
    EXPECT_FALSE(is("x/top"));
    EXPECT_TRUE(is("src/a.gen"));
    EXPECT_FALSE(is("src/x/a.gen"));
    EXPECT_TRUE(is("docs/x/y"));
    EXPECT_FALSE(is("docs", true));
    EXPECT_TRUE(is("a/b/cache"));
    EXPECT_TRUE(is("trailing"));
    EXPECT_TRUE(is("#real"));
}

}  // namespace
}  // namespace execd::fs
