#include "execd/http/ranges.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace execd::http {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

TEST(ParseRange, Syntax) {
    EXPECT_EQ(parse_range("").syntax, RangeSyntax::absent);
    EXPECT_EQ(parse_range("lines=1-2").syntax, RangeSyntax::other_unit);
    EXPECT_EQ(parse_range(" Bytes=0-, 5-6 ,,-7").syntax, RangeSyntax::ok);
    for (char const* const bad :
         {"bytes", "bytes=", "bytes=,", "bytes=-", "bytes=5-4", "bytes=a-b", "bytes=1-2-3", "bytes=1", "0-1",
          "bytes 0-1", "bytes=1.0-2", "bytes=0x1-2", "bytes=--1", "bytes=0-1,x"})
        EXPECT_EQ(parse_range(bad).syntax, RangeSyntax::malformed) << bad;
    EXPECT_EQ(parse_range("bytes=0-1,2-3", 1).syntax, RangeSyntax::too_many);
}

TEST(PlanRanges, OneRange) {
    struct Row {
        char const* field;
        std::uint64_t size;
        RangeOutcome outcome;
        ByteRange range;
    };
    Row const rows[] = {
        {"bytes=0-9", 100, RangeOutcome::partial, {0, 10}},
        {"bytes=90-", 100, RangeOutcome::partial, {90, 10}},
        {"bytes=90-1000", 100, RangeOutcome::partial, {90, 10}},
        {"bytes=-10", 100, RangeOutcome::partial, {90, 10}},
        {"bytes=-1000", 100, RangeOutcome::partial, {0, 100}},
        {"bytes=99-99", 100, RangeOutcome::partial, {99, 1}},
        {"bytes=0-99999999999999999999999", 100, RangeOutcome::partial, {0, 100}},
        {"bytes=100-", 100, RangeOutcome::unsatisfiable, {}},
        {"bytes=99999999999999999999999-", 100, RangeOutcome::unsatisfiable, {}},
        {"bytes=-0", 100, RangeOutcome::unsatisfiable, {}},
        {"bytes=0-0", 0, RangeOutcome::full, {}},
        {"bytes=-5", 0, RangeOutcome::full, {}},
        {"", 100, RangeOutcome::full, {}},
        {"lines=0-1", 100, RangeOutcome::full, {}},
        {"bytes=x", 100, RangeOutcome::full, {}},
        {"bytes=18446744073709551614-18446744073709551615",
         18446744073709551615ULL,
         RangeOutcome::partial,
         {18446744073709551614ULL, 1}},
    };
    for (auto const& row : rows) {
        RangePlan const plan = plan_ranges(row.field, row.size);
        EXPECT_EQ(plan.outcome, row.outcome) << row.field;
        if (row.outcome == RangeOutcome::partial) {
            EXPECT_THAT(plan.ranges, ElementsAre(row.range)) << row.field;
        }
        if (row.outcome != RangeOutcome::partial) {
            EXPECT_THAT(plan.ranges, IsEmpty()) << row.field;
        }
    }
}

TEST(PlanRanges, Policies) {
    RangePolicy const strict{.refuse_malformed = true, .empty_is_full = false};
    EXPECT_EQ(plan_ranges("bytes=x", 100, strict).outcome, RangeOutcome::malformed);
    EXPECT_EQ(plan_ranges("bytes=0-0", 0, strict).outcome, RangeOutcome::unsatisfiable);
    RangePolicy const first{.multi = MultiRange::first_satisfiable};
    EXPECT_THAT(plan_ranges("bytes=200-300, 5-6, 8-9", 100, first).ranges, ElementsAre(ByteRange{5, 2}));
    EXPECT_EQ(plan_ranges("bytes=200-300, 400-", 100, first).outcome, RangeOutcome::unsatisfiable);
    EXPECT_EQ(plan_ranges("bytes=0-1,5-6", 100, {}).outcome, RangeOutcome::full);
}

TEST(PlanRanges, SeveralRanges) {
    RangePolicy const all{.multi = MultiRange::all};
    EXPECT_THAT(plan_ranges("bytes=50-59, 0-9, 500-", 100, all).ranges,
                ElementsAre(ByteRange{50, 10}, ByteRange{0, 10}));
    EXPECT_THAT(plan_ranges("bytes=5-14, 0-9, 15-19", 100, all).ranges, ElementsAre(ByteRange{0, 20}));
    EXPECT_THAT(plan_ranges("bytes=0-9, 0-9", 100, all).ranges, ElementsAre(ByteRange{0, 10}));
    EXPECT_EQ(plan_ranges("bytes=0-, 0-, 0-", 100, all).outcome, RangeOutcome::full);
    EXPECT_EQ(plan_ranges("bytes=0-99", 100, all).outcome, RangeOutcome::partial);
}

TEST(PlanRanges, EveryAnswerLiesInsideTheSize) {
    std::uint64_t state = 7;
    auto const draw = [&state](std::uint64_t below) {
        state = state * 6364136223846793005ULL + 1442695040888963407ULL;
        return (state >> 33) % below;
    };
    for (int i = 0; i < 20000; ++i) {
        std::string field = "bytes=";
        for (std::uint64_t n = draw(4); n + 1 > 0; --n) {
            if (draw(4) != 0) field += std::to_string(draw(12));
            field += '-';
            if (draw(4) != 0) field += std::to_string(draw(12));
            field += ',';
            if (n == 0) break;
        }
        std::uint64_t const size = draw(12);
        for (auto const multi : {MultiRange::ignore, MultiRange::first_satisfiable, MultiRange::all}) {
            RangePlan const plan = plan_ranges(field, size, {.multi = multi});
            EXPECT_EQ(plan.ranges.empty(), plan.outcome != RangeOutcome::partial);
            if (multi != MultiRange::all) {
                EXPECT_LE(plan.ranges.size(), 1U);
            }
            std::uint64_t total = 0;
            for (auto const& range : plan.ranges) {
                EXPECT_GT(range.length, 0U);
                EXPECT_LE(range.first + range.length, size) << field;
                total += range.length;
            }
            EXPECT_LE(total, size) << field;
        }
    }
}

TEST(ContentRange, Texts) {
    EXPECT_EQ(content_range({0, 10}, 100), "bytes 0-9/100");
    EXPECT_EQ(content_range_unsatisfied(100), "bytes */100");
}

TEST(Etags, StrongAndWeak) {
    EXPECT_TRUE(etag_strong_equal("\"a\"", " \"a\" "));
    EXPECT_FALSE(etag_strong_equal("W/\"a\"", "W/\"a\""));
    EXPECT_TRUE(etag_weak_equal("W/\"a\"", "\"a\""));
    EXPECT_FALSE(etag_weak_equal("\"a\"", "\"A\""));
    EXPECT_FALSE(etag_weak_equal("a", "a"));
    EXPECT_FALSE(etag_weak_equal("\"a", "\"a"));
    EXPECT_TRUE(etag_list_has("\"a,b\", W/\"c\"", "\"c\"", false));
    EXPECT_FALSE(etag_list_has("\"a,b\", W/\"c\"", "\"c\"", true));
    EXPECT_TRUE(etag_list_has("\"a,b\"", "\"a,b\"", true));
    EXPECT_FALSE(etag_list_has("x, \"a\"", "\"a\"", true));
    EXPECT_FALSE(etag_list_has("\"a\"", "", true));
}

constexpr std::string_view kDate = "Sun, 06 Nov 1994 08:49:37 GMT";
constexpr std::int64_t kTime = 784'111'777;

TEST(Conditions, IfMatchComesBeforeTheDates) {
    Validators const now{.etag = "\"a\"", .modified = kTime};
    EXPECT_EQ(evaluate({.if_match = "\"a\""}, now), Precondition::proceed);
    EXPECT_EQ(evaluate({.if_match = "\"b\""}, now), Precondition::failed);
    EXPECT_EQ(evaluate({.if_match = "W/\"a\""}, now), Precondition::failed);
    EXPECT_EQ(evaluate({.if_match = "*"}, now), Precondition::proceed);
    EXPECT_EQ(evaluate({.if_match = "*"}, {.exists = false}), Precondition::failed);
    EXPECT_EQ(evaluate({.if_match = "\"a\"", .if_unmodified_since = "Sun, 06 Nov 1994 08:49:36 GMT"}, now),
              Precondition::proceed);
    EXPECT_EQ(evaluate({.if_unmodified_since = "Sun, 06 Nov 1994 08:49:36 GMT"}, now), Precondition::failed);
    EXPECT_EQ(evaluate({.if_unmodified_since = kDate}, now), Precondition::proceed);
    EXPECT_EQ(evaluate({.if_unmodified_since = "yesterday"}, now), Precondition::proceed);
}

TEST(Conditions, IfNoneMatchComesBeforeIfModifiedSince) {
    Validators const now{.etag = "\"a\"", .modified = kTime};
    EXPECT_EQ(evaluate({.if_none_match = "W/\"a\""}, now), Precondition::not_modified);
    EXPECT_EQ(evaluate({.if_none_match = "*"}, now), Precondition::not_modified);
    EXPECT_EQ(evaluate({.if_none_match = "*", .get_or_head = false}, now), Precondition::failed);
    EXPECT_EQ(evaluate({.if_none_match = "*", .get_or_head = false}, {.exists = false}),
              Precondition::proceed);
    EXPECT_EQ(evaluate({.if_none_match = "\"b\"", .if_modified_since = kDate}, now), Precondition::proceed);
    EXPECT_EQ(evaluate({.if_modified_since = kDate}, now), Precondition::not_modified);
    EXPECT_EQ(evaluate({.if_modified_since = "Sun, 06 Nov 1994 08:49:36 GMT"}, now), Precondition::proceed);
    EXPECT_EQ(evaluate({.if_modified_since = kDate, .get_or_head = false}, now), Precondition::proceed);
    EXPECT_EQ(evaluate({.if_modified_since = kDate}, {}), Precondition::proceed);
    EXPECT_EQ(evaluate({}, now), Precondition::proceed);
}

TEST(Conditions, IfRangeWantsAStrongValidator) {
    Validators const now{.etag = "\"a\"", .modified = kTime};
    EXPECT_TRUE(range_applies("", now));
    EXPECT_TRUE(range_applies("\"a\"", now));
    EXPECT_FALSE(range_applies("\"b\"", now));
    EXPECT_FALSE(range_applies("W/\"a\"", {.etag = "W/\"a\"", .modified = {}}));
    EXPECT_TRUE(range_applies(kDate, now));
    EXPECT_FALSE(range_applies("Sun, 06 Nov 1994 08:49:38 GMT", now));
    EXPECT_FALSE(range_applies("tomorrow", now));
}

}  // namespace
}  // namespace execd::http
