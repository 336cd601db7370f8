#include "fs/path.hpp"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace execd::fs {
namespace {

TEST(Path, CleaningIsLexical) {
    std::map<std::string, std::string> const cases = {
        {"", "."},         {"/", "/"},       {"//", "/"},           {"/..", "/"},           {"/a/../..", "/"},
        {"a/./b/", "a/b"}, {"../x", "../x"}, {"a/../../b", "../b"}, {"/a//b/../c", "/a/c"}, {".", "."}};
    for (auto const& [in, out] : cases) EXPECT_EQ(clean_path(in), out) << in;
}

TEST(Path, CleaningTwiceChangesNothing) {
    std::mt19937 random(1);
    for (int i = 0; i < 2000; ++i) {
        std::string text;
        for (int n = static_cast<int>(random() % 12); n > 0; --n) text += "/./..ab"[random() % 7];
        auto const once = clean_path(text);
        EXPECT_EQ(clean_path(once), once) << text;
        EXPECT_EQ(text.starts_with('/'), once.starts_with('/')) << text;
    }
}

TEST(Path, PartsOfANameAreItsOwn) {
    EXPECT_EQ(base_name("/"), "/");
    EXPECT_EQ(base_name("/a/b.tar.gz"), "b.tar.gz");
    EXPECT_EQ(parent_of("/a"), "/");
    EXPECT_EQ(parent_of("a"), ".");
    EXPECT_EQ(extension_of("/x.d/.bashrc"), "");
    EXPECT_EQ(extension_of("/x/b.tar.gz"), ".gz");
    EXPECT_EQ(join_path("/", "a"), "/a");
}

Expansion with_variables() {
    Expansion how;
    how.home = "/root";
    how.base = "/work";
    how.user_home = [](std::string_view user) -> std::optional<std::string> {
        if (user == "bob") return "/home/bob";
        return std::nullopt;
    };
    how.variable = [](std::string_view name) -> std::optional<std::string> {
        if (name == "A") return "/a";
        if (name == "EMPTY") return "";
        return std::nullopt;
    };
    return how;
}

TEST(ExpandPath, HomeVariablesAndBase) {
    auto const how = with_variables();
    EXPECT_EQ(*expand_path("~", how), "/root");
    EXPECT_EQ(*expand_path("~/x", how), "/root/x");
    EXPECT_EQ(*expand_path("~bob/x", how), "/home/bob/x");
    EXPECT_EQ(*expand_path("~eve/x", how), "/work/~eve/x");
    EXPECT_EQ(*expand_path("$A/${A}x", how), "/a/ax");
    EXPECT_EQ(*expand_path("x/../y", how), "/work/y");
    EXPECT_EQ(*expand_path("/cost$5/$", how), "/cost$5/$");
    EXPECT_EQ(*expand_path("/a\\$A", how), "/a$A");
    EXPECT_EQ(*expand_path("/${A/b", how), "/${A/b");
}

TEST(ExpandPath, UndefinedVariablesAreNamed) {
    auto const path = expand_path("/$NOPE/$A/${GONE}", with_variables());
    ASSERT_FALSE(path);
    EXPECT_EQ(path.error().code, Code::invalid_argument);
    EXPECT_EQ(path.error().detail, "undefined variable: NOPE, GONE");
}

TEST(ExpandPath, WithoutLookupADollarIsAByte) {
    Expansion how;
    EXPECT_EQ(*expand_path("/tmp/$HOME", how), "/tmp/$HOME");
    EXPECT_EQ(*expand_path("~/x", how), "/~/x");
}

TEST(ExpandPath, EmptyAndNulAreRefused) {
    EXPECT_EQ(expand_path("", {}).error().code, Code::invalid_argument);
    EXPECT_EQ(expand_path(std::string_view("/a\0b", 4), {}).error().code, Code::invalid_argument);
    EXPECT_EQ(expand_path("$EMPTY", with_variables()).error().code, Code::invalid_argument);
}

}  // namespace
}  // namespace execd::fs
