#include "execd/http/target.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace execd::http {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;

TEST(Target, PathsAreSplitBeforeTheyAreDecoded) {
    std::string const text = "/a/b%2Fc/%2e%2E/+/%C3%A9?x=1%2";
    auto const target = parse_target(text);
    ASSERT_TRUE(target);
    EXPECT_EQ(target->form, TargetForm::origin);
    EXPECT_EQ(target->raw_path, "/a/b%2Fc/%2e%2E/+/%C3%A9");
    EXPECT_EQ(target->raw_query, "x=1%2");
    EXPECT_THAT(target->segments, ElementsAre("a", "b/c", "..", "+", "\xC3\xA9"));
    EXPECT_TRUE(target->encoded_slash);
    EXPECT_TRUE(target->dot_segments);
    EXPECT_FALSE(target->trailing_slash);
    EXPECT_FALSE(target->empty_segments);
}

TEST(Target, SlashesAreReported) {
    auto const root = parse_target("/");
    EXPECT_THAT(root->segments, IsEmpty());
    EXPECT_FALSE(root->trailing_slash);
    EXPECT_FALSE(root->has_query);
    auto const trailing = parse_target("/a/?");
    EXPECT_THAT(trailing->segments, ElementsAre("a"));
    EXPECT_TRUE(trailing->trailing_slash);
    EXPECT_TRUE(trailing->has_query);
    EXPECT_EQ(trailing->raw_query, "");
    auto const doubled = parse_target("//a//b");
    EXPECT_THAT(doubled->segments, ElementsAre("", "a", "", "b"));
    EXPECT_TRUE(doubled->empty_segments);
    EXPECT_FALSE(doubled->dot_segments);
}

TEST(Target, AbsoluteAndAsteriskForms) {
    auto const absolute = parse_target("HTTP://example.org:8080?q");
    ASSERT_TRUE(absolute);
    EXPECT_EQ(absolute->form, TargetForm::absolute);
    EXPECT_EQ(absolute->authority, "example.org:8080");
    EXPECT_EQ(absolute->raw_path, "/");
    EXPECT_EQ(absolute->raw_query, "q");
    EXPECT_THAT(parse_target("ws://[::1]/a/b")->segments, ElementsAre("a", "b"));
    auto const asterisk = parse_target("*");
    EXPECT_EQ(asterisk->form, TargetForm::asterisk);
    EXPECT_THAT(asterisk->segments, IsEmpty());
}

TEST(Target, Refusals) {
    for (std::string const bad :
         {"", "a", "example.org:443", "ftp://a/b", "http://", "http://u:p@a/", "http:///x", "/%", "/%4",
          "/%zz", "/%00", "/a#b", "/a b", "**", "http://a:99999/"}) {
        auto const target = parse_target(bad);
        ASSERT_FALSE(target) << bad;
        EXPECT_EQ(target.error().code, Code::invalid_argument) << bad;
    }
}

TEST(Authority, HostsAndPorts) {
    auto const v6 = parse_authority("[fe80::1%25eth0]:80");
    ASSERT_TRUE(v6);
    EXPECT_EQ(v6->host, "fe80::1%25eth0");
    EXPECT_TRUE(v6->ipv6);
    EXPECT_EQ(v6->port, 80);
    EXPECT_EQ(parse_authority("a.b")->port, std::nullopt);
    EXPECT_EQ(parse_authority("a.b:0")->port, 0);
    EXPECT_EQ(parse_authority("::1"), std::nullopt);
    EXPECT_EQ(parse_authority("[]"), std::nullopt);
}

TEST(Query, PlusIsASpaceAndOrderIsKept) {
    auto const pairs = parse_query("a=1&b&&a=%20+x&=v&c=d=e&%C3%A9=%26");
    ASSERT_TRUE(pairs);
    EXPECT_THAT(*pairs, ElementsAre(Pair("a", "1"), Pair("b", ""), Pair("a", "  x"), Pair("", "v"),
                                    Pair("c", "d=e"), Pair("\xC3\xA9", "&")));
    EXPECT_THAT(*parse_query(""), IsEmpty());
    EXPECT_THAT(*parse_query("&&"), IsEmpty());
}

TEST(Query, BrokenEscapesByPolicy) {
    std::string const text = "a=1%2&b=%zz%41+%&c=%%41";
    EXPECT_THAT(*parse_query(text), ElementsAre(Pair("a", "1%2"), Pair("b", "%zzA %"), Pair("c", "%A")));
    EXPECT_THAT(*parse_query("x=1&" + text, {.bad_escape = BadEscape::drop}), ElementsAre(Pair("x", "1")));
    auto const refused = parse_query(text, {.bad_escape = BadEscape::refuse});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Code::invalid_argument);
}

TEST(Query, HowManyIsLimited) {
    EXPECT_TRUE(parse_query("a&b&c", {.max_pairs = 3}));
    auto const over = parse_query("a&b&c&d", {.max_pairs = 3});
    ASSERT_FALSE(over);
    EXPECT_EQ(over.error().code, Code::too_large);
}

TEST(PercentEncoding, EachPlaceHasItsOwnSet) {
    EXPECT_EQ(percent_encode("a b/\xC3\xA9~'*", Encode::unreserved), "a%20b%2F%C3%A9~%27%2A");
    EXPECT_EQ(percent_encode("a:b@c/d+%", Encode::segment), "a:b@c%2Fd+%25");
    EXPECT_EQ(percent_encode("/a b/c?#", Encode::path), "/a%20b/c%3F%23");
    EXPECT_EQ(percent_encode("a'(b)*.txt", Encode::attribute), "a%27%28b%29%2A.txt");
}

TEST(PercentEncoding, EveryByteSurvives) {
    std::string all;
    for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
    for (Encode const set : {Encode::unreserved, Encode::segment, Encode::path, Encode::attribute})
        EXPECT_EQ(percent_decode(percent_encode(all, set)), all);
    auto const back = parse_query("v=" + percent_encode(all, Encode::unreserved));
    EXPECT_EQ(back->at(0).second, all);
}

}  // namespace
}  // namespace execd::http
