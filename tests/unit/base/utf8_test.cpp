#include "base/utf8.hpp"

#include <gtest/gtest.h>

namespace execd {
namespace {

// Any chunking of any bytes must give the same text as decoding them at once.
TEST(Utf8Decoder, EveryChunkingGivesTheSameText) {
    std::string const samples[] = {"plain ascii",
                                   "h\xC3\xA9llo \xE2\x82\xAC \xF0\x9F\x98\x80",
                                   "\xC3",
                                   "a\xE2\x82",
                                   "\xF0\x9F\x98",
                                   "\xED\xA0\x80 surrogate",
                                   "\xC0\xAF overlong",
                                   "\xFF\xFE",
                                   "\xE2\x28\xA1",
                                   std::string("a\0b", 3)};
    for (auto const& sample : samples) {
        std::string const whole = to_utf8(sample);
        EXPECT_TRUE(is_utf8(whole));
        for (std::size_t step = 1; step <= sample.size(); ++step) {
            Utf8Decoder decoder;
            std::string out;
            for (std::size_t at = 0; at < sample.size(); at += step)
                decoder.push(std::string_view(sample).substr(at, step), out);
            decoder.finish(out);
            EXPECT_EQ(out, whole) << "step " << step;
        }
    }
}

TEST(Utf8Decoder, OneReplacementForEachBrokenSubpart) {
    EXPECT_EQ(to_utf8("\xE2\x82"), "\xEF\xBF\xBD");
    EXPECT_EQ(to_utf8("\xED\xA0\x80"), "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
    EXPECT_EQ(to_utf8("\xE2\x28"), "\xEF\xBF\xBD(");
}

TEST(Utf8Decoder, KeepsAnUnfinishedCharacter) {
    Utf8Decoder decoder;
    std::string out;
    decoder.push("a\xE2\x82", out);
    EXPECT_EQ(out, "a");
    EXPECT_TRUE(decoder.has_partial());
    decoder.push("\xAC", out);
    EXPECT_EQ(out, "a\xE2\x82\xAC");
}

// The check must agree with the decoder at every chunking, and at the first byte that cannot be UTF-8 any
// more.
TEST(Utf8Check, EveryChunkingGivesTheSameVerdict) {
    std::string const samples[] = {"",
                                   "plain ascii",
                                   "h\xC3\xA9llo \xE2\x82\xAC \xF0\x9F\x98\x80",
                                   "\xC3",
                                   "a\xE2\x82",
                                   "\xF0\x9F\x98",
                                   "\xED\xA0\x80 surrogate",
                                   "\xC0\xAF overlong",
                                   "\xFF\xFE",
                                   "\xE2\x28\xA1",
                                   "\xF4\x90\x80\x80",
                                   "0123456789\xE2\x82x"};
    for (auto const& sample : samples) {
        for (std::size_t step = 1; step <= sample.size() + 1; ++step) {
            Utf8Check check;
            bool good = true;
            for (std::size_t at = 0; at < sample.size(); at += step)
                good = check.push(std::string_view(sample).substr(at, step));
            EXPECT_EQ(check.complete(), is_utf8(sample)) << sample << " step " << step;
            EXPECT_TRUE(good || !is_utf8(sample));
        }
    }
}

TEST(Utf8Check, FailsEarly) {
    Utf8Check check;
    EXPECT_TRUE(check.push("a\xED"));
    EXPECT_FALSE(check.push("\xA0"));
    EXPECT_FALSE(check.push("fine"));
    check.reset();
    EXPECT_TRUE(check.push("fine"));
}

}  // namespace
}  // namespace execd
