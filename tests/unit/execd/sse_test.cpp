#include "execd/http/sse.hpp"

#include <gtest/gtest.h>

namespace execd::http {
namespace {

using namespace std::string_literals;

std::string framed(Framing framing, EventText const& event) {
    std::string out;
    append_event(out, framing, event);
    return out;
}

TEST(EventFraming, BareJsonEndsInTwoLineFeeds) {
    EXPECT_EQ(framed(Framing::bare_json, {.data = "{\"a\":1}", .event = "x", .id = "7"}), "{\"a\":1}\n\n");
}

TEST(EventFraming, LineSeparatorsAreEscapedWherePythonWouldSplit) {
    EXPECT_EQ(framed(Framing::bare_json, {.data = "\"12345678a\xC2\x85"
                                                  "b\xE2\x80\xA8\xE2\x80\xA9\xE2\x80\xA6\xC3\xA9\xC2\x86\""}),
              "\"12345678a\\u0085b\\u2028\\u2029\xE2\x80\xA6\xC3\xA9\xC2\x86\"\n\n");
    EXPECT_EQ(framed(Framing::ndjson, {.data = "\"\xE2\x80\xA8\""}), "\"\\u2028\"\n");
    EXPECT_EQ(framed(Framing::ndjson, {.data = "\"\xE2\x80"}), "\"\xE2\x80\n");
}

TEST(EventFraming, Sse) {
    EXPECT_EQ(framed(Framing::sse, {.data = "a\nb\r\nc\rd", .event = "out", .id = "7"}),
              "id: 7\nevent: out\ndata: a\ndata: b\ndata: c\ndata: d\n\n");
    EXPECT_EQ(framed(Framing::sse, {.data = ""}), "data: \n\n");
    EXPECT_EQ(framed(Framing::sse, {.data = "a\n"}), "data: a\ndata: \n\n");
    EXPECT_EQ(framed(Framing::sse, {.data = "a", .event = "x\ndata: evil", .id = "1\r2"}), "data: a\n\n");
    EXPECT_EQ(framed(Framing::sse, {.data = "a", .id = "1\0002"s}), "data: a\n\n");
}

TEST(EventFraming, SseCommentsAndRetry) {
    std::string out;
    append_sse_comment(out, "ping");
    append_sse_comment(out);
    append_sse_comment(out, "a\nb");
    append_sse_retry(out, 1500);
    EXPECT_EQ(out, ": ping\n\n:\n\n: a\n: b\n\nretry: 1500\n\n");
}

TEST(EventFraming, NdjsonIsOneLineForEachEvent) {
    EXPECT_EQ(framed(Framing::ndjson, {.data = "{\"a\":\"b c\"}"}), "{\"a\":\"b c\"}\n");
    EXPECT_EQ(framed(Framing::ndjson, {.data = "{}", .event = "x", .id = "7", .last = true}), "{}\n")
        << "it has neither names nor an end mark";
    EXPECT_EQ(framed(Framing::ndjson, {.data = "[1]"}) + framed(Framing::ndjson, {.data = "[2]"}),
              "[1]\n[2]\n");
    EXPECT_EQ(media_type(Framing::ndjson), "application/x-ndjson");
}

TEST(EventFraming, ConnectEnvelopes) {
    EXPECT_EQ(framed(Framing::connect, {.data = "{}"}), "\0\0\0\0\x02{}"s);
    EXPECT_EQ(framed(Framing::connect, {.data = "{}", .last = true}), "\x02\0\0\0\x02{}"s);
    auto const prefix = connect_prefix(0, 0x01020384);
    EXPECT_EQ(std::string(prefix.data(), 5), "\0\x01\x02\x03\x84"s);
    EXPECT_EQ(media_type(Framing::sse), "text/event-stream");
}

}  // namespace
}  // namespace execd::http
