#include "shell/lines.hpp"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace execd::shell {
namespace {

std::vector<std::string> split(std::string_view bytes, std::size_t step, std::size_t limit = 1 << 20) {
    LineSplitter splitter(limit);
    std::vector<std::string> out;
    auto const emit = [&out](Line const& line) {
        EXPECT_LE(line.terminator, line.text.size());
        EXPECT_EQ(line.content().find_first_of("\n"), std::string_view::npos);
        out.emplace_back(line.text);
    };
    for (std::size_t at = 0; at < bytes.size(); at += step) splitter.push(bytes.substr(at, step), emit);
    splitter.flush(emit);
    EXPECT_EQ(splitter.pending(), 0U);
    return out;
}

TEST(LineSplitter, KeepsTerminators) {  // PEERS 6.1, OSB command_common
    std::vector<std::string> const expected{"a\n",  "\n",  "b\r\n", "50%\r", "100%\r",
                                            "\r\n", "c\r", "\r",    "tail"};
    std::string const text = "a\n\nb\r\n50%\r100%\r\r\nc\r\rtail";
    for (std::size_t step = 1; step <= text.size(); ++step) EXPECT_EQ(split(text, step), expected) << step;
}

TEST(LineSplitter, ACrAtTheEndIsATerminator) {
    LineSplitter splitter;
    std::vector<std::size_t> terminators;
    auto const emit = [&](Line const& line) { terminators.push_back(line.terminator); };
    splitter.push("x\r", emit);
    EXPECT_TRUE(terminators.empty());
    splitter.flush(emit);
    EXPECT_EQ(terminators, (std::vector<std::size_t>{1}));
}

TEST(LineSplitter, EveryChunkingGivesTheSameLinesAndAllBytes) {
    std::mt19937 random(3);
    for (int round = 0; round < 300; ++round) {
        std::string text(random() % 60, '\0');
        for (char& c : text) c = "ab\r\n\0\xff"[random() % 6];
        auto const whole = split(text, text.size() + 1);
        std::string joined;
        for (auto const& line : whole) joined += line;
        EXPECT_EQ(joined, text);
        for (std::size_t step = 1; step < 8; ++step) EXPECT_EQ(split(text, step), whole);
        std::string limited;
        for (auto const& piece : split(text, 3, 5)) limited += piece;
        EXPECT_EQ(limited, text);
    }
}

TEST(LineSplitter, LongLinesComeInPieces) {
    auto const pieces = split(std::string(1000, 'x') + "\n", 64, 100);
    for (auto const& piece : pieces) EXPECT_LE(piece.size(), 200U);
    EXPECT_GT(pieces.size(), 4U);
}

}  // namespace
}  // namespace execd::shell
