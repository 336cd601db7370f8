// The wire format against messages that jupyter_client 8.10 signed.
#include "kernels/message.hpp"

#include <gtest/gtest.h>

namespace execd::kernels {
namespace {

constexpr char kKey[] = "a0436f6c-1916-498b";

std::vector<std::string> recorded() {
    return {
        "kernel.9.stream.stdout",
        "<IDS|MSG>",
        "2827a00121b8f3ee81e234f4ab8eb45e9c3d07221c3db211a80e2219523dd92d",
        R"({"msg_id": "2d0ee1b5_7_1", "msg_type": "stream", "username": "kernel", "session": "2d0ee1b5", )"
        R"("date": "2026-11-21T04:10:00.5Z", "version": "5.4"})",
        R"({"msg_id": "c1d2", "msg_type": "execute_request", "username": "execd", "session": "5f", )"
        R"("date": "2026-11-21T04:10:00.000001Z", "version": "5.3"})",
        "{}",
        R"({"name": "stdout", "text": "grüße 🎉\n"})",
    };
}

tl::expected<Message, Rejection> parse(std::vector<std::string> const& frames, MessageLimits limits = {}) {
    std::vector<std::string_view> const parts(frames.begin(), frames.end());
    return parse_message(parts, Signer(kKey), limits);
}

std::vector<std::string> signed_frames(std::array<std::string, 4> const& parts) {
    std::array<std::string_view, 4> const views{parts[0], parts[1], parts[2], parts[3]};
    return {"<IDS|MSG>", Signer(kKey).sign(views), parts[0], parts[1], parts[2], parts[3]};
}

TEST(Message, RecordedStreamIsRead) {
    auto const message = parse(recorded());
    ASSERT_TRUE(message);
    EXPECT_EQ(message->identities, std::vector<std::string>{"kernel.9.stream.stdout"});
    EXPECT_EQ(message->type, "stream");
    EXPECT_EQ(message->id, "2d0ee1b5_7_1");
    EXPECT_EQ(message->parent_id, "c1d2");
    EXPECT_EQ(text_of(message->content, "text"), "grüße 🎉\n");
}

TEST(Message, AnyChangedByteIsRefusedBeforeJson) {
    auto const good = recorded();
    for (std::size_t frame = 2; frame < good.size(); ++frame)
        for (std::size_t at = 0; at < good[frame].size(); ++at) {
            auto bad = good;
            bad[frame][at] = static_cast<char>(bad[frame][at] ^ 1);
            auto const message = parse(bad);
            ASSERT_FALSE(message);
            EXPECT_EQ(message.error(), Rejection::signature);
        }
    auto empty = good;
    empty[2].clear();
    EXPECT_EQ(parse(empty).error(), Rejection::signature);
}

TEST(Message, FramingIsChecked) {
    auto const good = recorded();
    for (std::size_t keep = 0; keep < good.size(); ++keep) {
        auto const message = parse({good.begin(), good.begin() + static_cast<std::ptrdiff_t>(keep)});
        ASSERT_FALSE(message);
        EXPECT_EQ(message.error(), Rejection::framing);
    }
    EXPECT_EQ(parse(std::vector<std::string>(40, "x")).error(), Rejection::framing);
    auto many = good;
    many.insert(many.begin(), 20, "identity");
    EXPECT_EQ(parse(many).error(), Rejection::framing);
}

TEST(Message, WhatWeBuildWeRead) {
    auto sent = make_message("execute_request", "s", iso_time(1'763'698'200'123'456), {{"code", "1+1"}});
    sent.identities = {"a", std::string("b\0c", 3)};
    sent.parent = {{"msg_id", "p"}};
    sent.buffers = {"one", std::string(100, '\0')};
    auto const message = parse(build_message(sent, Signer(kKey)));
    ASSERT_TRUE(message);
    EXPECT_EQ(message->identities, sent.identities);
    EXPECT_EQ(message->id, sent.id);
    EXPECT_EQ(message->parent_id, "p");
    EXPECT_EQ(message->content, sent.content);
    EXPECT_EQ(message->buffers, sent.buffers);
    EXPECT_EQ(text_of(message->header, "date"), "2025-11-21T04:10:00.123456Z");
}

TEST(Message, HeadersThatSayTooLittleAreRefused) {
    EXPECT_EQ(parse(signed_frames({"{}", "{}", "{}", "{}"})).error(), Rejection::header);
    EXPECT_EQ(
        parse(signed_frames({R"({"msg_id":"a","msg_type":"b","version":"4.1"})", "{}", "{}", "{}"})).error(),
        Rejection::header);
    EXPECT_TRUE(parse(signed_frames({R"({"msg_id":"a","msg_type":"b"})", "{}", "{}", "{}"})));
    for (auto const* broken : {"", "[]", "{", "nul", "{\"a\":1}x"})
        EXPECT_GT(parse(signed_frames({R"({"msg_id":"a","msg_type":"b"})", "{}", "{}", broken}))->unreadable,
                  0U)
            << broken;
    EXPECT_EQ(parse(signed_frames({R"({"msg_id":"a","msg_type":"b"})", "{", "{}", "{}"})).error(),
              Rejection::json);
}

TEST(Message, DepthAndSizeAreBounded) {
    std::string const deep = R"({"a":)" + std::string(100'000, '[') + std::string(100'000, ']') + "}";
    auto const unread = parse(signed_frames({R"({"msg_id":"a","msg_type":"b"})", "{}", "{}", deep}));
    ASSERT_TRUE(unread);
    EXPECT_EQ(unread->unreadable, deep.size());
    EXPECT_TRUE(unread->content.empty());
    auto const large = signed_frames({R"({"msg_id":"a","msg_type":"error"})", "{}", "{}",
                                      R"({"text":")" + std::string(5000, 'x') + "\"}"});
    auto const kept = parse(large, {.content_bytes = 4000});
    ASSERT_TRUE(kept);
    EXPECT_GT(kept->oversized, 5000U);
    EXPECT_TRUE(kept->content.empty());
    EXPECT_EQ(parse(large, {.header_bytes = 10}).error(), Rejection::too_large);
}

TEST(JsonText, DepthLooksPastStrings) {
    EXPECT_EQ(json_depth(R"({"a":"[[[\"[[","b":[{}]})"), 3U);
    EXPECT_EQ(json_depth("]]]]"), 0U);
    EXPECT_EQ(json_depth(R"("unfinished \)"), 0U);
}

TEST(JsonText, BrokenTextIsMended) {
    auto const bytes = parse_json("{\"a\":\"x\xFFy\"}");
    ASSERT_TRUE(bytes);
    EXPECT_EQ(text_of(*bytes, "a"), "x\xEF\xBF\xBDy");
    auto const lone = parse_json(R"({"a":"\ud800 \\ud800 \udc00\ud83c\udf89\ud800"})");
    ASSERT_TRUE(lone);
    EXPECT_EQ(text_of(*lone, "a"), "\xEF\xBF\xBD \\ud800 \xEF\xBF\xBD🎉\xEF\xBF\xBD");
    EXPECT_FALSE(parse_json("{\"a\":\"\xFF"));
    EXPECT_FALSE(parse_json(R"({"a":"\ud8)"));
}

}  // namespace
}  // namespace execd::kernels
