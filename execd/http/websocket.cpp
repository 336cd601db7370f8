#include "execd/http/websocket.hpp"

#include "execd/http/fields.hpp"

namespace execd::http {

namespace {
ledger::Name const kSockets{"http.websocket"};
constexpr std::size_t kReadStep = 32U << 10;
constexpr auto kCloseWait = std::chrono::seconds(2);
}  // namespace

WebSocket::WebSocket(Stream& stream, std::string early, WsOptions options)
    : stream_(stream),
      options_(options),
      held_(stream.budget(), stream.client()),
      token_(kSockets),
      reader_({.role = WsRole::server, .max_frame = options.max_message, .max_message = options.max_message}),
      buffer_(std::move(early)),
      unread_(buffer_.data(), buffer_.size()),
      heard_(stream.loop().clock().now()),
      pinged_(heard_) {}

// Reads more bytes; sends keep-alive pings while the peer is silent and gives up when it stays so.
Task<Result<std::span<char>>> WebSocket::more() {
    Clock& clock = stream_.loop().clock();
    if (buffer_.size() < kReadStep) buffer_.resize(kReadStep);
    for (;;) {
        Deadline const ping(std::max(heard_, pinged_) + options_.ping_every);
        Deadline const give_up(heard_ + options_.idle);
        auto got = co_await stream_.read_some(buffer_, earliest(ping, give_up));
        if (got && *got > 0) {
            heard_ = clock.now();
            co_return std::span<char>(buffer_.data(), *got);
        }
        if (got) co_return fail(Code::disconnected, "websocket");
        if (got.error().code != Code::timed_out) co_return Failure(got.error());
        if (give_up.passed(clock)) co_return fail(Code::timed_out, "websocket");
        pinged_ = clock.now();
        if (auto sent = co_await send_frame(WsOpcode::ping, {}, {}); !sent) co_return Failure(sent.error());
    }
}

Task<Result<WsMessage>> WebSocket::receive() {
    struct Receiving {
        WebSocket& self;
        explicit Receiving(WebSocket& s) : self(s) { self.receiving_ = true; }
        ~Receiving() {
            self.receiving_ = false;
            self.received_.notify_all();
        }
    };
    auto receiving = std::make_optional<Receiving>(*this);
    held_.release();
    WsMessage message;
    for (;;) {
        auto const step = reader_.next(unread_);
        switch (step.event) {
            case WsReader::Event::need_more: {
                auto block = co_await more();
                if (!block) co_return Failure(block.error());
                unread_ = *block;
                break;
            }
            case WsReader::Event::frame: break;
            case WsReader::Event::payload: {
                std::size_t const needed = message.data.size() + step.data.size();
                if (needed > message.data.capacity()) {
                    std::size_t const room = std::max(needed, message.data.capacity() * 2);
                    if (auto held = held_.grow_to(room); !held) {
                        receiving.reset();
                        co_await close(1013, "too much memory is in use");  // try again later
                        co_return Failure(held.error());
                    }
                    message.data.reserve(room);
                }
                message.data.append(step.data);
                break;
            }
            case WsReader::Event::frame_end:
                if (!reader_.frame().fin) break;
                message.text = reader_.message_opcode() == WsOpcode::text;
                co_return message;
            case WsReader::Event::ping:
                if (auto sent = co_await send_frame(WsOpcode::pong, std::string(step.data), {}); !sent)
                    co_return Failure(sent.error());
                break;
            case WsReader::Event::pong: break;
            case WsReader::Event::close:
                close_code_ = reader_.close_code();
                receiving.reset();
                co_await close(close_code_ == 1005 ? 1000 : close_code_, {});
                co_return fail(Code::disconnected, "websocket", "closed by the peer");
            case WsReader::Event::fault:
                close_code_ = reader_.fault().code;
                receiving.reset();
                co_await close(reader_.fault().code, reader_.fault().text);
                co_return fail(Code::decode, "websocket", std::string(reader_.fault().text));
        }
    }
}

Task<Result<void>> WebSocket::send(WsOpcode opcode, std::string_view prefix, std::string_view data) {
    if (closing_) co_return fail(Code::disconnected, "websocket");
    co_return co_await send_frame(opcode, std::string(prefix), data);
}

Task<Result<void>> WebSocket::send_frame(WsOpcode opcode, std::string prefix, std::string_view data) {
    Clock& clock = stream_.loop().clock();
    Deadline const turn = Deadline::in(clock, options_.write_stall);
    while (writing_)
        if (bool const woken = co_await write_free_.wait(clock, turn); !woken)
            co_return fail(Code::timed_out, "websocket");
    struct Turn {
        WebSocket& self;
        explicit Turn(WebSocket& s) : self(s) { self.writing_ = true; }
        ~Turn() {
            self.writing_ = false;
            self.write_free_.notify_one();
        }
    } const mine(*this);
    WsFrameHead const head = ws_frame_head(opcode, prefix.size() + data.size());
    iovec pieces[3] = {{const_cast<char*>(head.bytes.data()), head.size},
                       {prefix.data(), prefix.size()},
                       {const_cast<char*>(data.data()), data.size()}};
    co_return co_await stream_.write(std::span(pieces), options_.write_stall);
}

Task<void> WebSocket::close(std::uint16_t code, std::string_view reason) {
    if (closing_) co_return;
    closing_ = true;
    bool const peer_began = close_code_ != 1006;
    auto sent = co_await send_frame(WsOpcode::close, ws_close_payload(code, reason), {});
    if (sent && !peer_began) {
        stream_.shutdown_write();
        co_await await_close_frame();
    }
    stream_.shutdown_write();
    stream_.close();
}

// The peer's close frame, or its end, or a moment: whichever is first.
Task<void> WebSocket::await_close_frame() {
    Deadline const deadline = Deadline::in(stream_.loop().clock(), kCloseWait);
    while (receiving_)  // the receiver sees it
        if (bool const woken = co_await received_.wait(stream_.loop().clock(), deadline); !woken) co_return;
    for (;;) {
        auto const step = reader_.next(unread_);
        if (step.event == WsReader::Event::close) close_code_ = reader_.close_code();
        if (step.event == WsReader::Event::close || step.event == WsReader::Event::fault) co_return;
        if (step.event != WsReader::Event::need_more) continue;
        if (buffer_.size() < kReadStep) buffer_.resize(kReadStep);
        auto got = co_await stream_.read_some(buffer_, deadline);
        if (!got || *got == 0) co_return;
        unread_ = std::span<char>(buffer_.data(), *got);
    }
}

namespace {

class WebSocketUpgrade final : public Upgrade {
  public:
    WebSocketUpgrade(std::unique_ptr<WebSocketHandler> handler, WsOptions options)
        : handler_(std::move(handler)), options_(options) {}
    Task<void> run(Stream& stream, std::string early) override {
        WebSocket socket(stream, std::move(early), options_);
        co_await handler_->serve(socket);
        if (socket.open()) co_await socket.close(1000, {});
    }

  private:
    std::unique_ptr<WebSocketHandler> handler_;
    WsOptions options_;
};

std::string_view field(Head const& head, std::string_view name) {
    return head.find(name).value_or(std::string_view());
}

}  // namespace

bool is_websocket_request(Head const& head) {
    return head.upgrade && has_token(field(head, "Upgrade"), "websocket");
}

Answer upgrade_to_websocket(Head const& head, std::unique_ptr<WebSocketHandler> handler,
                            std::string_view protocol, WsOptions options) {
    WsRequest const request{head.method,
                            static_cast<int>(head.minor_version),
                            field(head, "Upgrade"),
                            field(head, "Connection"),
                            field(head, "Sec-WebSocket-Version"),
                            field(head, "Sec-WebSocket-Key")};
    WsRefusal const refusal = ws_check_request(request);
    if (refusal != WsRefusal::none) {
        Answer answer = Answer::bytes(status_of(refusal), "text/plain; charset=utf-8",
                                      "Bad Request\n" + std::string(to_string(refusal)) + "\n");
        if (answer.status == 426) answer.headers.set("Sec-WebSocket-Version", "13");
        return answer;
    }
    Answer answer = Answer::upgraded(std::make_unique<WebSocketUpgrade>(std::move(handler), options));
    answer.headers.set("Upgrade", "websocket");
    answer.headers.set("Connection", "Upgrade");
    answer.headers.set("Sec-WebSocket-Accept", ws_accept(request.key));
    if (!protocol.empty()) answer.headers.set("Sec-WebSocket-Protocol", std::string(protocol));
    return answer;
}

}  // namespace execd::http
