// JSON text both ways: the writer's escapes and numbers, the parser's limits and positions, base64 and time.
#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>
#include <random>

#include "base/utf8.hpp"
#include "execd/http/wire/formats.hpp"
#include "execd/http/wire/json_parse.hpp"
#include "execd/http/wire/json_text.hpp"
#include "execd/http/wire/pattern.hpp"

namespace execd::wire {
namespace {

std::string text_of(std::string_view raw, Escape set = Escape::minimal) {
    std::string out;
    append_json_string(out, raw, set);
    return out;
}

TEST(JsonString, EscapesWhatJsonNeeds) {
    EXPECT_EQ(text_of(""), R"("")");
    EXPECT_EQ(text_of("plain <b>&\x7f"), "\"plain <b>&\x7f\"");
    EXPECT_EQ(text_of("\"\\\n\r\t\b\f\x01\x1f"), R"("\"\\\n\r\t\b\f\u0001\u001f")");
    EXPECT_EQ(text_of(std::string_view("\0", 1)), R"("\u0000")");
    EXPECT_EQ(text_of("h\xC3\xA9 \xF0\x9F\x98\x80"), "\"h\xC3\xA9 \xF0\x9F\x98\x80\"");
}

TEST(JsonString, PoliciesEscapeMore) {
    EXPECT_EQ(text_of("<a>&", Escape::html), R"("\u003ca\u003e\u0026")");
    std::string_view const separators = "a\xC2\x85\xE2\x80\xA8\xE2\x80\xA9\xC3\xA9";
    EXPECT_EQ(text_of(separators, Escape::line_separators), "\"a\\u0085\\u2028\\u2029\xC3\xA9\"");
    EXPECT_EQ(text_of(separators), "\"" + std::string(separators) + "\"");
    EXPECT_EQ(text_of("\xC3\xA9\xF0\x9F\x98\x80\xFF", Escape::non_ascii), R"("\u00e9\ud83d\ude00\ufffd")");
}

TEST(JsonString, BrokenUtf8IsReplaced) {
    for (std::string const raw : {"\xC3", "a\xE2\x82z", "\xED\xA0\x80", "\xC0\xAF", "\xF5", "ok\x80\x80"}) {
        EXPECT_EQ(text_of(raw), "\"" + to_utf8(raw) + "\"");
    }
}

// Whatever the bytes and wherever a special one falls in a block: the text reads back as their UTF-8 form.
TEST(JsonString, EveryPositionReadsBack) {
    std::mt19937 random(7);
    std::string_view const pieces[] = {
        "\"", "\\", "\n", "<", "\xC2\x85", "\xE2\x80\xA8", "\xF0\x9F\x98\x80", "\xFF", "\xE2\x82"};
    for (std::size_t length = 0; length < 70; ++length) {
        for (std::size_t at = 0; at <= length; ++at) {
            std::string raw(length, 'x');
            raw.insert(at, pieces[random() % std::size(pieces)]);
            for (int set = 0; set < 8; ++set) {
                auto const text = text_of(raw, static_cast<Escape>(set));
                auto const back = parse_json(text, {.bad_text = BadText::reject});
                ASSERT_TRUE(back) << text;
                ASSERT_EQ(back->get<std::string>(), to_utf8(raw));
            }
        }
    }
}

TEST(JsonNumbers, ShortestAndNeverInvalid) {
    auto const text = [](double d, bool fraction = false) {
        std::string out;
        append_json_double(out, d, fraction);
        return out;
    };
    EXPECT_EQ(text(0.1), "0.1");
    EXPECT_EQ(text(1), "1");
    EXPECT_EQ(text(1, true), "1.0");
    EXPECT_EQ(text(1e300, true), "1e+300");
    EXPECT_EQ(text(std::numeric_limits<double>::quiet_NaN()), "null");
    EXPECT_EQ(text(-std::numeric_limits<double>::infinity()), "null");
    std::string out;
    append_json_float(out, 0.1F);
    EXPECT_EQ(out, "0.1");
}

TEST(JsonTree, WritesAndBounds) {
    auto const tree = Json::parse(R"({"a":[1,-2,0.5,true,null,"x<"],"b":{}})");
    std::string out;
    append_json(out, tree, Escape::html);
    EXPECT_EQ(out, R"({"a":[1,-2,0.5,true,null,"x\u003c"],"b":{}})");
    for (std::size_t const limit : {0, 5, 40, 200}) {
        Json big = Json::array();
        for (int i = 0; i < 50; ++i) big.push_back({{"key\xC3\xA9", std::string(300, 'y') + "\xC3\xA9"}});
        std::string bounded;
        append_json_bounded(bounded, big, limit);
        EXPECT_LT(bounded.size(), limit + 64);
        EXPECT_TRUE(parse_json(bounded, {.bad_text = BadText::reject})) << bounded;
    }
}

JsonError error_of(std::string_view text, ParsePolicy const& policy = {}) {
    auto const result = parse_json(text, policy);
    EXPECT_FALSE(result) << text;
    return result ? JsonError{} : result.error();
}

TEST(JsonParse, AgreesWithTheLibrary) {
    for (std::string_view const text :
         {"null", " [ ] ", "{}", "[1,2,{\"a\":[true,false]}]", "-0", "0.5e-3", "18446744073709551615",
          "-9223372036854775808", "\"\\u00e9\\ud83d\\ude00\\/\"", "{\"a\":1,\"a\":2}", "[[],{},[{}]]",
          "123456789012345678901234567890", "1E2"}) {
        auto const ours = parse_json(text);
        ASSERT_TRUE(ours) << text;
        EXPECT_EQ(*ours, Json::parse(text)) << text;
    }
}

TEST(JsonParse, SaysWhatAndWhere) {
    using Code = JsonError::Code;
    struct {
        std::string_view text;
        Code code;
        std::size_t offset;
    } const cases[] = {
        {"", Code::empty, 0},
        {" \n", Code::empty, 2},
        {"{", Code::unexpected_end, 1},
        {"[1", Code::unexpected_end, 2},
        {"[1,]", Code::expected_value, 3},
        {"{\"a\":1,}", Code::expected_key, 7},
        {"{a:1}", Code::expected_key, 1},
        {"{\"a\" 1}", Code::expected_colon, 5},
        {"[1 2]", Code::expected_comma, 3},
        {"[\"abc", Code::unterminated_string, 1},
        {"[\"a\nb\"]", Code::control_character, 3},
        {"\"\\x\"", Code::bad_escape, 1},
        {"\"\\u12g4\"", Code::bad_unicode_escape, 1},
        {"01", Code::bad_number, 1},
        {"1.", Code::unexpected_end, 2},
        {"-x", Code::bad_number, 1},
        {"1e999", Code::number_range, 0},
        {"tru", Code::unexpected_end, 0},
        {"trux", Code::expected_value, 0},
        {"{} x", Code::trailing_data, 3},
        {"[,1]", Code::expected_value, 1},
        {"{,}", Code::expected_key, 1},
        {"[1,,2]", Code::expected_value, 3},
        {"]", Code::expected_value, 0},
    };
    for (auto const& c : cases) {
        auto const error = error_of(c.text);
        EXPECT_EQ(static_cast<int>(error.code), static_cast<int>(c.code)) << c.text;
        EXPECT_EQ(error.offset, c.offset) << c.text;
    }
    auto const error = error_of("{\"\xC3\xA9\":\n x}");
    EXPECT_EQ(error.offset, 8U);
    EXPECT_EQ(error.position, 7U);
    EXPECT_EQ(error.line, 2U);
    EXPECT_EQ(error.column, 2U);
    EXPECT_EQ(error.found, 'x');
    EXPECT_EQ(error.message(), "Expecting value");
}

TEST(JsonParse, LimitsHoldWhileParsing) {
    std::string const deep(100'000, '[');
    EXPECT_EQ(error_of(deep).code, JsonError::Code::too_deep);
    EXPECT_EQ(error_of(deep).offset, kMaxJsonDepth);
    std::string maps;
    for (int i = 0; i < 100'000; ++i) maps += "{\"a\":";
    EXPECT_EQ(error_of(maps).code, JsonError::Code::too_deep);
    std::string const fits = std::string(128, '[') + std::string(128, ']');
    EXPECT_TRUE(parse_json(fits));
    EXPECT_EQ(error_of("[" + fits + "]").code, JsonError::Code::too_deep);
    EXPECT_EQ(error_of("[1,2,3]", {.max_bytes = 6}).code, JsonError::Code::too_large);
    EXPECT_EQ(error_of("[1,2,3]", {.max_values = 3}).code, JsonError::Code::too_large);
    EXPECT_TRUE(parse_json("[1,2,3]", {.max_values = 4}));
}

TEST(JsonParse, Leniency) {
    EXPECT_TRUE(parse_json("{\"a\":1} trailing", {.trailing = Trailing::ignore}));
    EXPECT_EQ(parse_json("\"a\xFF\"")->get<std::string>(), "a\xEF\xBF\xBD");
    EXPECT_EQ(parse_json("\"\\ud800x\"")->get<std::string>(), "\xEF\xBF\xBDx");
    EXPECT_EQ(parse_json("\"\\ud800\\ud83d\\ude00\"")->get<std::string>(), "\xEF\xBF\xBD\xF0\x9F\x98\x80");
    EXPECT_EQ(error_of("\"a\xFF\"", {.bad_text = BadText::reject}).code, JsonError::Code::bad_utf8);
    EXPECT_EQ(error_of("\"\\udc00\"", {.bad_text = BadText::reject}).code,
              JsonError::Code::bad_unicode_escape);
    EXPECT_EQ(parse_json("1e-999")->get<double>(), 0);
}

// What we refuse and accept is what the library refuses and accepts; random damage never crashes.
TEST(JsonParse, DamagedDocumentsAgreeWithTheLibrary) {
    std::mt19937 random(11);
    std::string const good = R"({"a":[1,-2.5e3,"x\u00e9\n",true,null,{"b":{}}],"c":"d"})";
    for (int round = 0; round < 4000; ++round) {
        std::string text = good;
        for (unsigned n = random() % 3 + 1; n > 0; --n) {
            auto const at = random() % text.size();
            if (random() % 2 == 0) {
                text.erase(at, 1);
            } else {
                text[at] = "{}[]\",:0e.-\\u\x01 t"[random() % 16];
            }
        }
        auto const ours = parse_json(text, {.bad_text = BadText::reject});
        auto const theirs = Json::parse(text, nullptr, false);
        ASSERT_EQ(ours.has_value(), !theirs.is_discarded()) << text;
        if (ours) {
            ASSERT_EQ(*ours, theirs) << text;
        }
    }
}

TEST(Time, TextForms) {
    auto const text = [](Timestamp t, TimeFormat f) {
        std::string out;
        append_time(out, t, f);
        return out;
    };
    auto const t = parse_time("2026-02-28T23:59:59.012300+02:00");
    ASSERT_TRUE(t);
    EXPECT_EQ(text(*t, TimeFormat::rfc3339), "2026-02-28T21:59:59.0123Z");
    EXPECT_EQ(text(*t, TimeFormat::rfc3339_millis), "2026-02-28T21:59:59.012Z");
    EXPECT_EQ(text(*t, TimeFormat::rfc3339_offset), "2026-02-28T21:59:59.012300+00:00");
    EXPECT_EQ(text(Timestamp{}, TimeFormat::rfc3339), "1970-01-01T00:00:00Z");
    EXPECT_EQ(text(*parse_time("1969-12-31T23:59:59.999999999Z"), TimeFormat::rfc3339),
              "1969-12-31T23:59:59.999999999Z");
    for (auto const* bad :
         {"", "2026-02-30T00:00:00Z", "2026-02-28", "2026-02-28T24:00:00Z", "2026-02-28T00:00:00+2",
          "0001-01-01T00:00:00Z", "2026-02-28T00:00:00.Z", "2026-02-28T00:00:00Zx"}) {
        EXPECT_FALSE(parse_time(bad)) << bad;
    }
}

TEST(Pattern, SearchesAndIsLinear) {
    EXPECT_TRUE(matches("^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "a-b-c"));
    EXPECT_FALSE(matches("^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "a-"));
    EXPECT_TRUE(matches("b+", "abbc"));
    EXPECT_FALSE(matches("^(a+)+$", std::string(50'000, 'a') + "!"));
}

}  // namespace
}  // namespace execd::wire
