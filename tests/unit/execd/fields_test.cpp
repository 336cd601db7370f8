#include "execd/http/fields.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace execd::http {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;

TEST(Fields, Tokens) {
    EXPECT_TRUE(iequals("Content-Length", "content-LENGTH"));
    EXPECT_FALSE(iequals("a", "ab"));
    EXPECT_FALSE(iequals("[", "{"));
    EXPECT_TRUE(is_token("M-SEARCH"));
    EXPECT_FALSE(is_token(""));
    EXPECT_FALSE(is_token("a b"));
    EXPECT_EQ(trim(" \ta b\t "), "a b");
    EXPECT_TRUE(is_field_value("a\tb \xC3\xA9"));
    EXPECT_FALSE(is_field_value("a\r\nb"));
}

TEST(Fields, Lists) {
    EXPECT_THAT(split_list(" a , b,,\"c, d\" ,"), ElementsAre("a", "b", "\"c, d\""));
    EXPECT_THAT(split_list("\"a\\\", b\", c"), ElementsAre("\"a\\\", b\"", "c"));
    EXPECT_THAT(split_list("\"open, c"), ElementsAre("\"open, c"));
    EXPECT_TRUE(has_token("keep-alive, UPGRADE", "upgrade"));
    EXPECT_FALSE(has_token("keep-alive, upgraded", "upgrade"));
    EXPECT_FALSE(has_token("", "upgrade"));
}

TEST(Fields, Qualities) {
    auto const list =
        parse_qualities("text/html;level=1;q=0.5, */*;q=0.01, a;Q=1.000, b;q=2, c;q=, d;q=0.1234");
    std::vector<std::pair<std::string, int>> seen;
    for (auto const& element : list) seen.emplace_back(element.value, element.q);
    EXPECT_THAT(seen, ElementsAre(Pair("text/html", 500), Pair("*/*", 10), Pair("a", 1000), Pair("b", 0),
                                  Pair("c", 0), Pair("d", 0)));
    EXPECT_EQ(list[0].params, "level=1");
}

TEST(Fields, Accept) {
    std::string_view const accept =
        "text/*;q=0.3, text/html;q=0.7, text/event-stream, */*;q=0.5, image/png;q=0";
    EXPECT_EQ(accept_quality(accept, "text/html"), 700);
    EXPECT_EQ(accept_quality(accept, "text/plain"), 300);
    EXPECT_EQ(accept_quality(accept, "Text/Event-Stream"), 1000);
    EXPECT_EQ(accept_quality(accept, "application/json"), 500);
    EXPECT_EQ(accept_quality(accept, "image/png"), 0);
    EXPECT_EQ(accept_quality("", "image/png"), 1000);
    EXPECT_EQ(accept_quality("text/html", "image/png"), 0);
    std::string_view const offers[] = {"application/json", "text/event-stream"};
    EXPECT_EQ(best_media("text/event-stream, */*;q=0.1", offers), 1U);
    EXPECT_EQ(best_media("*/*", offers), 0U);
    EXPECT_EQ(best_media("image/png", offers), std::nullopt);
}

TEST(Fields, AcceptEncoding) {
    EXPECT_EQ(encoding_quality("gzip;q=0.5, br", "gzip"), 500);
    EXPECT_EQ(encoding_quality("gzip", "br"), 0);
    EXPECT_EQ(encoding_quality("gzip", "identity"), 1000);
    EXPECT_EQ(encoding_quality("*;q=0", "identity"), 0);
    EXPECT_EQ(encoding_quality("*", "br"), 1000);
    EXPECT_EQ(encoding_quality("", "gzip"), 0);
}

TEST(Fields, Cookies) {
    EXPECT_THAT(parse_cookies("a=1; b=\"x y\";c; =d; e=f=g ; "),
                ElementsAre(Pair("a", "1"), Pair("b", "x y"), Pair("e", "f=g")));
    EXPECT_EQ(find_cookie("a=1; a=2", "a"), "1");
    EXPECT_EQ(find_cookie("a=1", "A"), std::nullopt);
}

TEST(Fields, Parameters) {
    auto const value = parse_params(
        "Form-Data; name=\"a;\\\"b\\\\\" ; Filename = x.txt;; filename*=UTF-8'en'%e2%82%ac.txt;");
    ASSERT_TRUE(value);
    EXPECT_EQ(value->value, "form-data");
    EXPECT_EQ(*value->find("name"), "a;\"b\\");
    EXPECT_EQ(*value->find("filename"), "x.txt");
    EXPECT_EQ(value->extended("filename"), "\xE2\x82\xAC.txt");
    EXPECT_EQ(value->extended("name"), "a;\"b\\");
    EXPECT_EQ(value->extended("nothing"), std::nullopt);
    EXPECT_EQ(*parse_params("x; f=\"C:\\dir\\n.txt\"")->find("f"), "C:\\dir\\n.txt");
    EXPECT_EQ(*parse_params("x; f=\"\"")->find("f"), "");
    for (char const* const bad :
         {"", ";a=b", "x; a", "x; a=\"b", "x; a=\"b\\\"", "x; a=\"b\"c", "x; =b", "x; a b=c"})
        EXPECT_FALSE(parse_params(bad)) << bad;
}

TEST(Fields, ExtendedValues) {
    EXPECT_EQ(decode_extended("iso-8859-1''caf%E9"), "caf\xC3\xA9");
    EXPECT_EQ(decode_extended("UTF-8''a%2Fb"), "a/b");
    EXPECT_EQ(decode_extended("UTF-8''%E9"), std::nullopt);
    EXPECT_EQ(decode_extended("koi8-r''a"), std::nullopt);
    EXPECT_EQ(decode_extended("UTF-8'a"), std::nullopt);
    EXPECT_EQ(decode_extended("UTF-8''%4"), std::nullopt);
    // A broken extended form falls back to the plain one.
    EXPECT_EQ(parse_params("a; filename=x; filename*=UTF-8''%E9")->extended("filename"), "x");
}

TEST(Fields, ContentTypes) {
    auto const form = parse_content_type("Multipart/Form-Data; boundary=\"a b\"; charset=UTF-8");
    ASSERT_TRUE(form);
    EXPECT_TRUE(form->is("multipart/form-data"));
    EXPECT_EQ(form->boundary, "a b");
    EXPECT_EQ(form->charset, "utf-8");
    EXPECT_TRUE(parse_content_type("application/problem+json")->is_json());
    EXPECT_TRUE(parse_content_type("application/JSON;")->is_json());
    EXPECT_FALSE(parse_content_type("text/plain")->is_json());
    for (char const* const bad : {"", "text", "text/", "/plain", "te xt/plain", "text/plain; charset"})
        EXPECT_FALSE(parse_content_type(bad)) << bad;
}

TEST(Fields, AuthorizationSchemes) {
    auto const bearer = split_authorization(" Bearer  abc== ");
    ASSERT_TRUE(bearer);
    EXPECT_EQ(bearer->scheme, "Bearer");
    EXPECT_EQ(bearer->credentials, "abc==");
    EXPECT_EQ(split_authorization("abc")->credentials, "");
    EXPECT_FALSE(split_authorization(""));
    EXPECT_FALSE(split_authorization("a:b c"));
}

TEST(Fields, ContentDispositions) {
    EXPECT_EQ(content_disposition("attachment", "a b.txt"), "attachment; filename=\"a b.txt\"");
    EXPECT_EQ(content_disposition("inline", "a\"\\.txt"), "inline; filename=\"a\\\"\\\\.txt\"");
    EXPECT_EQ(content_disposition("attachment", "\xE2\x82\xAC\r\n.txt"),
              "attachment; filename=\"___.txt\"; filename*=UTF-8''%E2%82%AC%0D%0A.txt");
    for (int c = 0; c < 256; ++c) {
        std::string const name(1, static_cast<char>(c));
        auto const text = content_disposition("attachment", name);
        EXPECT_TRUE(is_field_value(text)) << c;
        auto const back = parse_params(text);
        ASSERT_TRUE(back) << text;
        if (c < 0x80) {
            EXPECT_EQ(back->extended("filename"), name) << c;
        }
    }
}

TEST(HttpDate, ThreeFormsOneTime) {
    constexpr std::int64_t kTime = 784'111'777;
    EXPECT_EQ(format_http_date(kTime), "Sun, 06 Nov 1994 08:49:37 GMT");
    EXPECT_EQ(parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT"), kTime);
    EXPECT_EQ(parse_http_date("Sunday, 06-Nov-94 08:49:37 GMT"), kTime);
    EXPECT_EQ(parse_http_date("Sun Nov  6 08:49:37 1994"), kTime);
    EXPECT_EQ(parse_http_date("Tue Nov 16 08:49:37 2021"), 1'637'052'577);
    EXPECT_EQ(format_http_date(0), "Thu, 01 Jan 1970 00:00:00 GMT");
    EXPECT_EQ(format_http_date(951'782'400), "Tue, 29 Feb 2000 00:00:00 GMT");
    EXPECT_EQ(parse_http_date("Sunday, 06-Nov-30 00:00:00 GMT"),
              parse_http_date("Wed, 06 Nov 2030 00:00:00 GMT"));
}

TEST(HttpDate, RoundTrip) {
    std::uint64_t state = 1;
    for (int i = 0; i < 5000; ++i) {
        state = state * 6364136223846793005ULL + 1442695040888963407ULL;
        auto const time = static_cast<std::int64_t>(state >> 26) - 62'167'219'200;  // years 0 to 8710
        EXPECT_EQ(parse_http_date(format_http_date(time)), time);
    }
    EXPECT_EQ(format_http_date(INT64_MAX), "Fri, 31 Dec 9999 23:59:59 GMT");
    EXPECT_EQ(format_http_date(INT64_MIN).size(), 29U);
}

TEST(HttpDate, NoGuesses) {
    for (char const* const bad :
         {"", "Sun, 06 Nov 1994 08:49:37", "Sun, 6 Nov 1994 08:49:37 GMT", "Sun, 31 Feb 1994 08:49:37 GMT",
          "Sun, 06 Nov 1994 24:00:00 GMT", "Sun, 06 Nov 1994 08:49:37 UTC", "Xxx, 06 Nov 1994 08:49:37 GMT",
          "Sun, 06 nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 GMTx", "1994-11-06T08:49:37Z"})
        EXPECT_EQ(parse_http_date(bad), std::nullopt) << bad;
}

}  // namespace
}  // namespace execd::http
