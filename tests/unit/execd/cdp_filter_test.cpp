// What a client sends to Chromium passes bit by bit, at any chunking; what would end the browser stays here.
#include "execd/browser/cdp_filter.hpp"

#include <gtest/gtest.h>

#include <random>

namespace execd::browser {
namespace {

using http::WsFrame;
using http::WsOpcode;

std::string frame(WsOpcode opcode, std::string payload, bool fin = true, bool masked = true) {
    WsFrame head;
    head.opcode = opcode;
    head.fin = fin;
    head.masked = masked;
    head.mask = {7, 33, 129, 254};
    head.length = payload.size();
    if (masked) http::ws_mask(payload, head.mask);
    return std::string(http::ws_frame_head(head).view()) + payload;
}

struct Taken {
    std::string up, replies;
    bool closed = false, broken = false;
};

Taken feed(std::string bytes, std::size_t step) {
    CdpFilter filter;
    Taken out;
    for (std::size_t at = 0; at < bytes.size() && !out.closed && !out.broken; at += step) {
        auto const one = filter.take(std::span(bytes).subspan(at, std::min(step, bytes.size() - at)), out.up);
        out.replies += one.replies;
        out.closed = out.closed || one.closed;
        out.broken = out.broken || one.broken;
    }
    return out;
}

TEST(cdp_filter, messages_pass_unchanged_at_any_chunking) {
    std::mt19937 random(3);
    std::string all;
    for (int i = 0; i < 60; ++i) {
        std::string text(random() % 300, 'a');
        if (i == 30) text.resize(70'000 + random() % 1000, 'b');  // more than is looked at
        if (i % 7 == 0) {
            all += frame(WsOpcode::text, text, false);
            all += frame(WsOpcode::continuation, R"({"method":"Page.enable"})", false);
            all += frame(WsOpcode::continuation, "");
        } else {
            all += frame(i % 5 == 0 ? WsOpcode::binary : WsOpcode::text, text);
        }
    }
    for (std::size_t const step : {1UL, 3UL, 100UL, 16384UL, all.size()}) {
        auto const taken = feed(all, step);
        EXPECT_EQ(taken.up, all) << step;
        EXPECT_TRUE(taken.replies.empty());
        EXPECT_FALSE(taken.broken);
    }
}

TEST(cdp_filter, the_end_of_the_browser_is_answered_here) {
    std::string const close = R"({"id":41,"method":"Browser.close","sessionId":"S1","params":{}})";
    std::string const other = frame(WsOpcode::text, R"({"id":42,"method":"Browser.getVersion"})");
    for (std::size_t const step : {1UL, 7UL, 4096UL}) {
        auto const taken = feed(frame(WsOpcode::text, close) + other, step);
        EXPECT_EQ(taken.up, other);
        EXPECT_NE(taken.replies.find(R"({"id":41,"result":{},"sessionId":"S1"})"), std::string::npos);
        EXPECT_EQ(static_cast<unsigned char>(taken.replies[0]), 0x81);
    }
}

TEST(cdp_filter, it_is_found_in_pieces_and_behind_escapes) {
    std::string const pieces = frame(WsOpcode::text, R"({"id":1,"method":"Browser.cl)", false) +
                               frame(WsOpcode::ping, "hi") + frame(WsOpcode::continuation, R"(ose"})");
    auto const taken = feed(pieces, 5);
    EXPECT_EQ(taken.up.find("Browser"), std::string::npos);
    EXPECT_NE(taken.up.find("hi"), std::string::npos);
    EXPECT_NE(taken.replies.find(R"("result":{})"), std::string::npos);
    EXPECT_FALSE(reply_instead(R"({"id":1,"method":"Browser\u002eclose"})").empty());
    EXPECT_FALSE(reply_instead(R"({"id":1,"method":"Browser.crash"})").empty());
    // The same words elsewhere are none of our business.
    EXPECT_TRUE(
        reply_instead(R"({"id":1,"method":"Runtime.evaluate","params":{"e":"Browser.close"}})").empty());
    EXPECT_TRUE(reply_instead("Browser.close").empty());
    EXPECT_TRUE(reply_instead(std::string(40'000, '[') + "Browser.close").empty());
}

TEST(cdp_filter, close_frames_pass_and_broken_ones_are_found) {
    auto const closed = feed(frame(WsOpcode::close, http::ws_close_payload(1000, "bye")), 2);
    EXPECT_TRUE(closed.closed);
    EXPECT_NE(closed.up.find("bye"), std::string::npos);
    EXPECT_TRUE(feed(frame(WsOpcode::text, "x", true, false), 64).broken) << "without a mask";
    EXPECT_TRUE(feed("\xf1\x80zzzz", 64).broken) << "reserved bits";
}

}  // namespace
}  // namespace execd::browser
