#include "execd/browser/vnc_relay.hpp"

#include "base/both.hpp"

namespace execd::browser {

namespace {

constexpr std::size_t kSmallBlock = 16U << 10;
constexpr std::size_t kLargeBlock = 256U << 10;
constexpr int kSmallReads = 64;  // in a row: little is drawn
// x11vnc writes to one viewer after the other: whoever takes nothing holds up all.
constexpr auto kStall = std::chrono::seconds(5);

}  // namespace

VncRelay::VncRelay(browser_proxy::Supervisor& supervisor, std::unique_ptr<http::Stream> server,
                   std::shared_ptr<void> lease)
    : supervisor_(supervisor), server_(std::move(server)), lease_(std::move(lease)) {}

http::WsOptions VncRelay::options() {
    http::WsOptions out;
    out.ping_every = std::chrono::seconds(25);  // below the idle limits of ingresses
    out.idle = std::chrono::seconds(75);
    out.write_stall = kStall;
    return out;
}

Task<void> VncRelay::serve(http::WebSocket& socket) {
    socket_ = &socket;
    co_await both(up(), down());
    lease_.reset();
}

Task<void> VncRelay::up() {
    for (;;) {
        auto message = co_await socket_->receive();
        if (!message) break;
        if (message->text) {
            co_await socket_->close(1003, "binary messages are expected");
            break;
        }
        auto sent = co_await server_->write(message->data, kStall);
        if (!sent) break;
    }
    viewer_left_ = true;
    server_->close();
}

Task<void> VncRelay::down() {
    std::string block(kSmallBlock, '\0');
    int small_reads = 0;
    for (;;) {
        auto got = co_await server_->read_some(block, Deadline::never());
        if (!got || *got == 0) break;
        auto sent = co_await socket_->send_binary({}, std::string_view(block).substr(0, *got));
        if (!sent) break;
        small_reads = *got < kSmallBlock ? small_reads + 1 : 0;
        if (*got == block.size() && block.size() < kLargeBlock) block.resize(kLargeBlock);
        if (small_reads > kSmallReads && block.size() > kSmallBlock) block = std::string(kSmallBlock, '\0');
    }
    server_->close();
    if (viewer_left_) co_return;
    // 1000 keeps viewers from trying again at once; after a crash of the server they should.
    bool const stopping = supervisor_.closing();
    co_await socket_->close(stopping ? 1000 : 1012,
                            stopping ? "the desktop has ended" : "the VNC server ended");
    socket_->abort();
}

}  // namespace execd::browser
