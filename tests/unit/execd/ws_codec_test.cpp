#include "execd/http/ws_codec.hpp"

#include <gtest/gtest.h>

#include "tests/fuzz/event_log.hpp"

namespace execd::http {
namespace {

constexpr WsMask kMask{0x37, 0xFA, 0x21, 0x3D};

std::string log_of(std::string_view bytes, WsReaderOptions options = {}) {
    std::string const whole = ws_log(bytes, 0, options);
    for (std::uint32_t step = 1; step <= std::min<std::size_t>(bytes.size(), 20); ++step)
        EXPECT_EQ(ws_log(bytes, step, options), whole) << "step " << step;
    for (std::uint32_t seed = 1000; seed < 1010; ++seed) EXPECT_EQ(ws_log(bytes, seed, options), whole);
    return whole;
}

// A frame as a client sends it.
std::string frame(WsOpcode opcode, std::string payload, bool fin = true, bool masked = true) {
    WsFrame head;
    head.opcode = opcode;
    head.fin = fin;
    head.masked = masked;
    head.mask = kMask;
    head.length = payload.size();
    if (masked) ws_mask(payload, kMask);
    return std::string(ws_frame_head(head).view()) + payload;
}

std::string text(std::string payload, bool fin = true) {
    return frame(WsOpcode::text, std::move(payload), fin);
}
std::string more(std::string payload, bool fin = true) {
    return frame(WsOpcode::continuation, std::move(payload), fin);
}

TEST(WsCodec, TheExamplesOfTheRfc) {
    EXPECT_EQ(log_of("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"), "1.Hello\n");
    WsReaderOptions const client{.role = WsRole::client};
    EXPECT_EQ(log_of(std::string("\x01\x03Hel\x80\x02lo", 9), client), "1-Hel\n0.lo\n");
    EXPECT_EQ(log_of("\x89\x05Hello", client), "ping Hello\n");
    EXPECT_EQ(log_of(std::string("\x82\x7E\x01\x00", 4) + std::string(256, 'x'), client),
              "2." + std::string(256, 'x') + "\n");
    std::string const large(65536, 'y');
    std::string const bytes = std::string("\x82\x7F\0\0\0\0\0\x01\0\0", 10) + large;
    EXPECT_EQ(ws_log(bytes, 1000, client), "2." + large + "\n");
    EXPECT_EQ(ws_frame_head(WsOpcode::binary, 65536).view(), std::string_view(bytes).substr(0, 10));
    EXPECT_EQ(ws_accept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

TEST(WsCodec, ControlFramesBetweenFragments) {
    EXPECT_EQ(log_of(text("a", false) + frame(WsOpcode::ping, "p") + more("b", false) +
                     frame(WsOpcode::pong, "") + more("") + frame(WsOpcode::binary, "\xFF") +
                     frame(WsOpcode::close,
                           "\x03\xE8"
                           "bye") +
                     "garbage"),
              "1-a\nping p\n0-b\npong \n0.\n2.\xFF\nclose 1000 bye");
}

TEST(WsCodec, ProtocolFaults) {
    struct Row {
        std::string bytes;
        std::string log;
    };
    std::string const tail(10, '\0');
    Row const rows[] = {
        {"\xC1\x80" + tail, "fault 1002: a reserved bit is set"},
        {"\x91\x80" + tail, "fault 1002: a reserved bit is set"},
        {"\x83\x80" + tail, "fault 1002: a reserved opcode"},
        {"\x8B\x80" + tail, "fault 1002: a reserved opcode"},
        {frame(WsOpcode::text, "a", true, false), "fault 1002: a frame without mask"},
        {frame(WsOpcode::ping, "a", false), "fault 1002: a fragmented control frame"},
        {frame(WsOpcode::ping, std::string(126, 'a')), "fault 1002: a control frame over 125 bytes"},
        {more("a"), "fault 1002: a continuation of nothing"},
        {text("a") + more("b"), "1.a\nfault 1002: a continuation of nothing"},
        {text("a", false) + text("b"), "1-a\nfault 1002: a new message inside a fragmented one"},
        {std::string("\x81\xFE\x00\x7D", 4) + tail, "fault 1002: a length that is not in its shortest form"},
        {std::string("\x81\xFF\0\0\0\0\0\0\xFF\xFF", 10) + tail,
         "fault 1002: a length that is not in its shortest form"},
        {std::string("\x82\xFF\x80\0\0\0\0\0\0\0", 10) + tail, "fault 1002: a length out of range"},
        {frame(WsOpcode::close, "x"), "fault 1002: a close frame of one byte"},
        {frame(WsOpcode::close, "\x03\xE7"), "fault 1002: a close code that may not be sent"},
        {frame(WsOpcode::close, "\x03\xED"), "fault 1002: a close code that may not be sent"},
        {frame(WsOpcode::close, "\x03\xE8\xFF"), "fault 1007: a close reason that is not UTF-8"},
        {frame(WsOpcode::close, ""), "close 1005 "},
        {frame(WsOpcode::close, "\x0F\xA0"), "close 4000 "},
    };
    for (auto const& row : rows) EXPECT_EQ(log_of(row.bytes), row.log);
    EXPECT_EQ(log_of(text("a"), {.role = WsRole::client}), "fault 1002: a masked frame from the server");
}

TEST(WsCodec, TextIsCheckedAcrossFragments) {
    EXPECT_EQ(log_of(text("\xE2\x82", false) + more("\xAC")), "1-\xE2\x82\n0.\xAC\n");
    EXPECT_EQ(log_of(text("\xE2\x82", false) + more("x")), "1-\xE2\x82\nfault 1007: text that is not UTF-8");
    EXPECT_EQ(log_of(text("\xE2\x82")), "fault 1007: text that ends inside a character");
    EXPECT_EQ(log_of(text("ab\xFF" + std::string(100, 'x'))), "fault 1007: text that is not UTF-8");
    EXPECT_EQ(log_of(text("\xED\xA0\x80")), "fault 1007: text that is not UTF-8");
    EXPECT_EQ(log_of(text("\xFF"), {.check_utf8 = false}), "1.\xFF\n");
    // At once: the frame is far from over.
    std::string start = text("\xFF" + std::string(1000, 'x')).substr(0, 9);
    WsReader reader;
    std::span<char> block(start);
    EXPECT_EQ(reader.next(block).event, WsReader::Event::frame);
    EXPECT_EQ(reader.next(block).event, WsReader::Event::fault);
    EXPECT_EQ(reader.fault().code, 1007);
}

TEST(WsCodec, SizesAreLimited) {
    WsReaderOptions const small{.max_frame = 4, .max_message = 6};
    EXPECT_EQ(log_of(text("abcd"), small), "1.abcd\n");
    EXPECT_EQ(log_of(text("abcde"), small), "fault 1009: frame too large");
    EXPECT_EQ(log_of(text("abcd", false) + more("ef"), small), "1-abcd\n0.ef\n");
    EXPECT_EQ(log_of(text("abcd", false) + more("efg"), small), "1-abcd\nfault 1009: message too large");
}

TEST(WsCodec, ARelayKeepsTheMask) {
    std::string bytes = text("Hello") + frame(WsOpcode::ping, "p");
    WsReader reader({.unmask = false});
    std::span<char> block(bytes);
    EXPECT_EQ(reader.next(block).event, WsReader::Event::frame);
    EXPECT_EQ(reader.frame().mask, kMask);
    auto const step = reader.next(block);
    EXPECT_EQ(std::string(ws_frame_head(reader.frame()).view()) + std::string(step.data), text("Hello"));
    EXPECT_EQ(reader.next(block).event, WsReader::Event::frame_end);
    EXPECT_TRUE(reader.idle());
    auto const ping = reader.next(block);
    EXPECT_EQ(ping.event, WsReader::Event::ping);
    EXPECT_EQ(ping.data, "p");
}

TEST(WsCodec, MaskingAtAnyOffsetAndAlignment) {
    std::string plain(300, '\0');
    for (std::size_t i = 0; i < plain.size(); ++i) plain[i] = static_cast<char>(i * 7);
    for (std::size_t start = 0; start < 9; ++start) {
        for (std::size_t split = 0; split < plain.size() - start; ++split) {
            std::string buffer = plain;
            std::span<char> const bytes = std::span<char>(buffer).subspan(start);
            ws_mask(bytes.first(split), kMask);
            ws_mask(bytes.subspan(split), kMask, split);
            for (std::size_t i = 0; i < bytes.size(); ++i)
                ASSERT_EQ(bytes[i], static_cast<char>(plain[start + i] ^ static_cast<char>(kMask[i % 4])));
        }
    }
}

TEST(WsCodec, HeadsRoundTrip) {
    for (std::uint64_t const length :
         {0ULL, 1ULL, 125ULL, 126ULL, 65535ULL, 65536ULL, 1ULL << 32, (1ULL << 63) - 1}) {
        for (bool const masked : {false, true}) {
            WsFrame head{.opcode = WsOpcode::binary, .fin = false, .masked = masked, .length = length};
            if (masked) head.mask = kMask;
            std::string bytes(ws_frame_head(head).view());
            WsReader reader({.role = masked ? WsRole::server : WsRole::client,
                             .max_frame = length,
                             .max_message = length});
            std::span<char> block(bytes);
            ASSERT_EQ(reader.next(block).event, WsReader::Event::frame);
            EXPECT_EQ(reader.frame().length, length);
            EXPECT_EQ(reader.frame().mask, head.mask);
            EXPECT_FALSE(reader.frame().fin);
            EXPECT_FALSE(reader.idle());
        }
    }
}

TEST(WsCodec, ClosePayloads) {
    EXPECT_EQ(ws_close_payload(1005), "");
    EXPECT_EQ(ws_close_payload(1000, "bye"),
              "\x03\xE8"
              "bye");
    std::string const cut = ws_close_payload(1011, std::string(122, 'x') + "\xC3\xA9");
    EXPECT_EQ(cut.size(), 124U);
    EXPECT_EQ(ws_close_payload(1011, "\xFF").substr(2), "\xEF\xBF\xBD");
}

TEST(WsCodec, Handshakes) {
    WsRequest const good{"GET", 1, "foo, WebSocket", "keep-alive, Upgrade", "13", "dGhlIHNhbXBsZSBub25jZQ=="};
    EXPECT_EQ(ws_check_request(good), WsRefusal::none);
    auto const with = [&good](auto change) {
        WsRequest request = good;
        change(request);
        return ws_check_request(request);
    };
    EXPECT_EQ(with([](auto& r) { r.method = "POST"; }), WsRefusal::not_get);
    EXPECT_EQ(with([](auto& r) { r.minor = 0; }), WsRefusal::old_http);
    EXPECT_EQ(with([](auto& r) { r.upgrade = "h2c"; }), WsRefusal::no_upgrade);
    EXPECT_EQ(with([](auto& r) { r.connection = "close"; }), WsRefusal::no_upgrade);
    EXPECT_EQ(with([](auto& r) { r.version = "8"; }), WsRefusal::bad_version);
    for (char const* const key :
         {"", "x", "dGhlIHNhbXBsZSBub25jZQ=", "dGhlIHNhbXBsZSBub25jZ!==", "dGhlIHNhbXBsZSBub25jZQAA"})
        EXPECT_EQ(with([key](auto& r) { r.key = key; }), WsRefusal::bad_key) << key;
    EXPECT_EQ(status_of(WsRefusal::bad_version), 426U);
    EXPECT_EQ(status_of(WsRefusal::bad_key), 400U);
    std::string_view const known[] = {"binary", "base64"};
    EXPECT_EQ(ws_choose_protocol("x, base64 ,binary", known), "base64");
    EXPECT_EQ(ws_choose_protocol("x", known), "");
    EXPECT_TRUE(ws_check_answer(101, "websocket", "upgrade", ws_accept("k"), "k"));
    EXPECT_FALSE(ws_check_answer(101, "websocket", "upgrade", ws_accept("k"), "l"));
    EXPECT_EQ(ws_key({}), "AAAAAAAAAAAAAAAAAAAAAA==");
}

}  // namespace
}  // namespace execd::http
