#include "execd/http/websocket.hpp"

#include "http_harness.hpp"

namespace execd::http {
namespace {

using namespace std::chrono_literals;

class EchoSocket final : public WebSocketHandler {
  public:
    Task<void> serve(WebSocket& socket) override {
        for (;;) {
            auto message = co_await socket.receive();
            if (!message) co_return;
            if (message->data == "bye") {
                co_await socket.close(1000, "as asked");
                co_return;
            }
            Result<void> sent;
            if (message->text)
                sent = co_await socket.send_text(message->data);
            else
                sent = co_await socket.send_binary("\x01", message->data);
            if (!sent) co_return;
        }
    }
};

Task<Result<Answer>> start(Call& call) {
    co_return upgrade_to_websocket(*call.head, std::make_unique<EchoSocket>());
}

Row socket_row() {
    return async_row("GET", "/ws", [](Call& call) { return start(call); });
}

constexpr std::string_view kHandshake =
    "GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: "
    "13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

std::string frame(WsOpcode opcode, std::string payload, bool fin = true) {
    WsFrame head;
    head.opcode = opcode;
    head.fin = fin;
    head.masked = true;
    head.mask = {1, 2, 3, 4};
    head.length = payload.size();
    ws_mask(payload, head.mask);
    return std::string(ws_frame_head(head).view()) + payload;
}

struct Connected {
    Harness h{{socket_row()}};
    Client c = h.connect();
    Connected() {
        c.send(kHandshake);
        h.clock.settle();
        std::string const answer = c.receive();
        EXPECT_EQ(status_of(answer), 101);
        EXPECT_NE(answer.find("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), std::string::npos);
    }
    std::string exchange(std::string const& bytes) {
        c.send(bytes);
        h.clock.settle();
        return c.receive();
    }
};

TEST(WebSocket, EchoesTextAndBinaryAndFragments) {
    Connected t;
    EXPECT_EQ(t.exchange(frame(WsOpcode::text, "hi")), std::string("\x81\x02hi"));
    EXPECT_EQ(t.exchange(frame(WsOpcode::binary, "hi")), std::string("\x82\x03\x01hi"));
    EXPECT_EQ(t.exchange(frame(WsOpcode::text, "a", false) + frame(WsOpcode::ping, "p") +
                         frame(WsOpcode::continuation, "b")),
              std::string("\x8A\x01p\x81\x02") + "ab");
}

TEST(WebSocket, BytesBehindTheHandshakeAreNotLost) {
    Harness h({socket_row()});
    Client c = h.connect();
    c.send(std::string(kHandshake) + frame(WsOpcode::text, "early"));
    h.clock.settle();
    EXPECT_TRUE(
        c.receive().ends_with("\x81\x05"
                              "early"));
}

TEST(WebSocket, TheCloseHandshakeAlsoEndsTheConnection) {
    Connected t;
    EXPECT_EQ(t.exchange(frame(WsOpcode::close, ws_close_payload(1000))), std::string("\x88\x02\x03\xE8"));
    t.c.receive();
    EXPECT_TRUE(t.c.closed());
    Connected ours;
    std::string const last = ours.exchange(frame(WsOpcode::text, "bye"));
    EXPECT_TRUE(last.starts_with("\x88")) << last.size();
    EXPECT_NE(last.find("as asked"), std::string::npos);
    ours.h.clock.advance(3s);
    ours.c.receive();
    EXPECT_TRUE(ours.c.closed());
}

TEST(WebSocket, BadFramesAreToldWhyAndClosed) {
    struct Case {
        std::string bytes;
        char const* code;
    };
    std::string const unmasked("\x81\x02hi", 4);
    for (auto const& bad : {Case{unmasked, "\x03\xEA"}, Case{frame(WsOpcode::text, "\xFF\xFE"), "\x03\xEF"},
                            Case{frame(static_cast<WsOpcode>(3), "x"), "\x03\xEA"},
                            Case{frame(WsOpcode::continuation, "x"), "\x03\xEA"}}) {
        Connected t;
        std::string const answer = t.exchange(bad.bytes);
        EXPECT_EQ(answer.substr(0, 1), "\x88");
        EXPECT_EQ(answer.substr(2, 2), bad.code);
    }
}

TEST(WebSocket, SilentPeersArePingedAndThenDropped) {
    Connected t;
    t.h.clock.advance(30s);
    EXPECT_EQ(t.c.receive(), std::string("\x89\x00", 2));
    EXPECT_EQ(t.exchange(frame(WsOpcode::pong, "")), "");
    t.h.clock.advance(30s);
    EXPECT_EQ(t.c.receive(), std::string("\x89\x00", 2));
    t.h.clock.advance(40s);
    t.c.receive();
    EXPECT_TRUE(t.c.closed());
}

TEST(WebSocket, BadHandshakesAreRefusedInPlainText) {
    Harness h({socket_row()});
    EXPECT_EQ(status_of(h.ask("GET /ws HTTP/1.1\r\nHost: x\r\n\r\n")), 400);
    std::string const version = h.ask(
        "GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: "
        "8\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
    EXPECT_EQ(status_of(version), 426);
    EXPECT_NE(version.find("Sec-WebSocket-Version: 13"), std::string::npos);
}

}  // namespace
}  // namespace execd::http
