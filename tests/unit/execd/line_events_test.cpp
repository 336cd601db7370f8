#include "execd/dialects/opensandbox/line_events.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>
#include <vector>

namespace execd::opensandbox {
namespace {

using Json = nlohmann::json;

std::vector<std::string> texts(std::string const& out) {
    std::vector<std::string> list;
    for (std::size_t at = 0; at < out.size();) {
        std::size_t const end = out.find("\n\n", at);
        EXPECT_NE(end, std::string::npos) << "a frame without its end";
        if (end == std::string::npos) break;
        Json const frame = Json::parse(out.substr(at, end - at));
        EXPECT_EQ(frame.size(), 3U);
        EXPECT_EQ(frame["type"], "stdout");
        EXPECT_TRUE(frame["timestamp"].is_number_integer());
        list.push_back(frame["text"]);
        EXPECT_FALSE(list.back().empty());
        at = end + 2;
    }
    return list;
}

std::string frame(std::string_view text) {
    return R"({"type":"stdout","text":")" + std::string(text) + R"(","timestamp":7})" + "\n\n";
}

TEST(LineEvents, FramesAsTheContractSays) {
    LineEvents lines("stdout", false);
    std::string out;
    lines.push(out, "plain\n\n\"quoted\" \\ \t\nto the end", 7);
    lines.flush(out, 7, true);
    EXPECT_EQ(out, frame("plain\\n") + frame("\\n") + frame(R"(\"quoted\" \\ \t\n)") + frame("to the end"));
}

TEST(LineEvents, BareLinesLoseTheirTerminatorsAndEmptyOnesAreALineFeed) {
    LineEvents lines("stdout", true);
    std::string out;
    lines.push(out, "one\ntwo\r\n\n\r\n50%\r", 7);
    lines.push(out, "x\n", 7);
    EXPECT_EQ(texts(out), (std::vector<std::string>{"one", "two", "\n", "\n", "50%", "x"}));
}

TEST(LineEvents, LineSeparatorsThatClientsSplitAtAreEscaped) {
    LineEvents lines("stdout", false);
    std::string out;
    lines.push(out,
               "a\xC2\x85"
               "b\xE2\x80\xA8"
               "c\n",
               7);
    EXPECT_EQ(out, frame(R"(a\u0085b\u2028c\n)"));
}

TEST(LineEvents, AnUnfinishedLineShownEarlyKeepsItsCharactersWhole) {
    LineEvents lines("stdout", false);
    std::string out;
    lines.push(out, "name \xE2\x82", 7);
    lines.flush(out, 7, false);
    lines.push(out, "\xAC? \xF0\x9F", 7);
    lines.flush(out, 7, false);
    lines.flush(out, 7, true);
    EXPECT_EQ(texts(out), (std::vector<std::string>{"name ", "\xE2\x82\xAC? ", "\xEF\xBF\xBD"}));
}

TEST(LineEvents, AnyChunkingGivesAllBytes) {
    std::mt19937 random(5);
    std::vector<std::string> const parts{"a",       "line of text", "\n",           "\n",
                                         "\r",      "\r\n",         "\"",           "\\",
                                         "\x1b[0m", "\xC3\xA4",     "\xE2\x82\xAC", "\xF0\x9F\x98\x80",
                                         "\xC2\x85"};
    for (int round = 0; round < 400; ++round) {
        std::string input;
        for (std::size_t i = random() % 80; i > 0; --i) input += parts[random() % parts.size()];
        if (round % 50 == 0) input += std::string(600'000, 'x') + "\xE2\x82\xAC" + std::string(300'000, 'y');
        LineEvents lines("stdout", false);
        std::string out;
        for (std::size_t at = 0; at < input.size();) {
            std::size_t const step = 1 + random() % (input.size() > 10'000 ? 70'000 : 9);
            lines.push(out, std::string_view(input).substr(at, step), round);
            at += step;
            if (random() % 7 == 0) lines.flush(out, round, false);
        }
        lines.flush(out, round, true);
        std::string joined;
        for (auto const& text : texts(out)) {
            joined += text;
            EXPECT_LE(text.size(), (256U << 10) + 70'000);
        }
        EXPECT_EQ(joined, input);
    }
}

}  // namespace
}  // namespace execd::opensandbox
