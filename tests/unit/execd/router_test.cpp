#include "http_harness.hpp"

namespace execd::http {
namespace {

Row row(std::string method, std::string path) {
    return sync_row(std::move(method), std::move(path),
                    [](Call&) -> Result<Answer> { return Answer::empty(); });
}

struct Table {
    TestDialect dialect;
    std::unique_ptr<Router> router;
    explicit Table(std::vector<Row> rows) {
        auto built = Router::build(std::move(rows), {{"", &dialect}});
        EXPECT_TRUE(built) << built.error().message();
        router = std::move(*built);
    }
    std::string match(std::string_view method, std::string_view path, Pairs* params = nullptr) {
        Head head;
        ListenerInfo listener;
        Pairs found;
        auto const m = router->match(method, path, head, listener, found);
        if (params != nullptr) *params = found;
        if (m.bad_encoding) return "bad encoding";
        if (m.row != nullptr) return m.row->path;
        return m.allowed.empty() ? "404" : "405";
    }
};

TEST(Router, LiteralsBeatParametersBeatTails) {
    Table t({row("GET", "/a/{x}"), row("GET", "/a/b"), row("*", "/a/{rest...}"), row("GET", "/a/{x}/c")});
    EXPECT_EQ(t.match("GET", "/a/b"), "/a/b");
    EXPECT_EQ(t.match("GET", "/a/z"), "/a/{x}");
    EXPECT_EQ(t.match("POST", "/a/b"), "/a/{rest...}");
    EXPECT_EQ(t.match("GET", "/a/z/c"), "/a/{x}/c");
    EXPECT_EQ(t.match("GET", "/a/z/d/e"), "/a/{rest...}");
    EXPECT_EQ(t.match("GET", "/b"), "404");
}

TEST(Router, SegmentsAreSplitBeforeTheyAreDecoded) {
    Table t({row("GET", "/f/{name}"), row("GET", "/t/{port}/{rest...}")});
    Pairs params;
    EXPECT_EQ(t.match("GET", "/f/a%2Fb+c%20d", &params), "/f/{name}");
    EXPECT_EQ(params, (Pairs{{"name", "a/b+c d"}}));
    EXPECT_EQ(t.match("GET", "/f/a%zz"), "bad encoding");
    EXPECT_EQ(t.match("GET", "/t/80/x/y/", &params), "/t/{port}/{rest...}");
    EXPECT_EQ(params, (Pairs{{"port", "80"}, {"rest", "x/y/"}}));
    EXPECT_EQ(t.match("GET", "/t/80", &params), "/t/{port}/{rest...}");
    EXPECT_EQ(params, (Pairs{{"port", "80"}, {"rest", ""}}));
}

TEST(Router, EncodedLiteralsAreTheSameLiterals) {
    Table t({row("GET", "/ping")});
    EXPECT_EQ(t.match("GET", "/p%69ng"), "/ping");
    EXPECT_EQ(t.match("GET", "/ping/"), "/ping");
    EXPECT_EQ(t.match("GET", "/ping//"), "404");
    EXPECT_EQ(t.match("PUT", "/ping"), "405");
}

TEST(Router, AmbiguousTablesAreRefusedAtStart) {
    TestDialect dialect;
    auto const refused = [&dialect](std::vector<Row> rows) {
        return !Router::build(std::move(rows), {{"", &dialect}});
    };
    EXPECT_TRUE(refused({row("GET", "/a/{x}"), row("GET", "/a/{y}")}));
    EXPECT_TRUE(refused({row("GET", "/a"), row("GET", "/a")}));
    EXPECT_TRUE(refused({row("GET", "a")}));
    EXPECT_TRUE(refused({row("GET", "/a/{x...}/b")}));
    EXPECT_TRUE(refused({row("GET", "/{x}/{x}")}));
    EXPECT_FALSE(refused({row("GET", "/a/{x}"), row("POST", "/a/{y}")}));
    Row guarded = row("GET", "/a");
    guarded.guard = {"marked",
                     [](Head const& head, ListenerInfo const&) { return head.find("X-Mark").has_value(); }};
    EXPECT_FALSE(refused({row("GET", "/a"), guarded}));
    EXPECT_TRUE(refused({guarded, guarded}));
}

TEST(Router, TheLongestPrefixOwnsAnUnknownPath) {
    TestDialect all;
    TestDialect v1;
    auto built = Router::build({}, {{"", &all}, {"/v1", &v1}});
    ASSERT_TRUE(built);
    EXPECT_EQ((*built)->owner("/v1/x"), &v1);
    EXPECT_EQ((*built)->owner("/v1"), &v1);
    EXPECT_EQ((*built)->owner("/v12"), &all);
    EXPECT_EQ((*built)->owner("/"), &all);
}

}  // namespace
}  // namespace execd::http
