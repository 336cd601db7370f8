#include "execd/browser/cdp_relay.hpp"

#include <array>

#include "base/both.hpp"
#include "base/ids.hpp"
#include "execd/http/head_scan.hpp"
#include "execd/http/keep_alive.hpp"
#include "execd/http/message.hpp"

namespace execd::browser {

using http::Stream;
using http::WsReader;

namespace {

constexpr std::size_t kSmallBlock = 16U << 10;
constexpr std::size_t kLargeBlock = 256U << 10;
constexpr int kSmallReads = 64;  // in a row: no large message is under way
constexpr std::size_t kLongestHead = 16U << 10;
constexpr auto kStall = std::chrono::seconds(30);
constexpr auto kReasonPatience = std::chrono::milliseconds(500);
constexpr auto kGoodbye = std::chrono::seconds(2);

http::WsReaderOptions downward() {
    http::WsReaderOptions out;
    out.role = http::WsRole::client;
    out.max_frame = out.max_message = std::uint64_t{1} << 62;
    out.unmask = false;
    out.check_utf8 = false;
    return out;
}

std::string handshake(unsigned short port, std::string const& path) {
    std::array<std::uint8_t, 16> random{};
    random_bytes(std::as_writable_bytes(std::span(random)));
    return "GET " + path + " HTTP/1.1\r\nHost: 127.0.0.1:" + std::to_string(port) +
           "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: "
           "13\r\nSec-WebSocket-Key: " +
           http::ws_key(random) + "\r\n\r\n";
}

unsigned status_in(std::string_view head) {
    auto const space = head.find(' ');
    if (space == std::string_view::npos || head.size() < space + 4) return 0;
    unsigned out = 0;
    for (char const c : head.substr(space + 1, 3)) {
        if (c < '0' || c > '9') return 0;
        out = out * 10 + static_cast<unsigned>(c - '0');
    }
    return out;
}

}  // namespace

Task<Result<CdpUpstream>> connect_cdp(Loop& loop, unsigned short port, std::string path, Deadline deadline) {
    auto connected = co_await Stream::connect(loop, "127.0.0.1", port, deadline);
    if (!connected) co_return fail(Code::unavailable, "browser", connected.error().message());
    CdpUpstream out;
    out.stream = std::move(*connected);
    std::string const request = handshake(port, path);
    auto sent = co_await out.stream->write(request, kStall);
    if (!sent) co_return fail(Code::unavailable, "browser", sent.error().message());
    std::string heard;
    std::array<char, 4096> block;
    for (;;) {
        auto const end = heard.find("\r\n\r\n");
        if (end != std::string::npos) {
            unsigned const status = status_in(heard);
            if (status == 404 || status == 500)
                co_return fail(Code::not_found, "", "no such target: " + path);
            if (status != 101)
                co_return fail(Code::unavailable, "browser", "it answered " + std::to_string(status));
            out.early = heard.substr(end + 4);
            co_return out;
        }
        if (heard.size() > kLongestHead) co_return fail(Code::unavailable, "browser", "it broke HTTP");
        auto got = co_await out.stream->read_some(block, deadline);
        if (!got) co_return fail(Code::unavailable, "browser", got.error().message());
        if (*got == 0) co_return fail(Code::unavailable, "browser", "it closed the connection");
        heard.append(block.data(), *got);
    }
}

CdpRelay::CdpRelay(browser_proxy::Supervisor& supervisor, CdpUpstream upstream, std::uint64_t generation,
                   std::shared_ptr<void> lease)
    : supervisor_(supervisor),
      upstream_(std::move(upstream)),
      generation_(generation),
      lease_(std::move(lease)),
      below_(downward()) {}

Task<void> CdpRelay::run(Stream& client, std::string early) {
    client_ = &client;
    early_ = std::move(early);
    http::probe_when_idle(client);
    co_await both(up(), down());
    upstream_.stream->close();
    lease_.reset();
}

void CdpRelay::finish() {
    finished_ = true;
    client_->close();
    upstream_.stream->close();
    write_free_.notify_all();
}

Task<void> CdpRelay::up() {
    std::string block = std::move(early_);
    std::size_t size = block.size();
    std::string out;
    for (;;) {
        if (size > 0) {
            out.clear();
            auto step = filter_.take(std::span(block.data(), size), out);
            if (!out.empty() && !said_end_) {
                auto sent = co_await upstream_.stream->write(out, kStall);
                if (!sent) break;
            }
            if (!step.replies.empty()) co_await inject(std::move(step.replies));
            if (step.broken) break;
            if (step.closed && said_end_) break;  // the answer to ours
            if (step.closed) co_return;  // Chromium answers it and hangs up: the other direction ends it
            if (out.capacity() > kLargeBlock) out = std::string();
        }
        block.resize(kSmallBlock);
        auto got = co_await client_->read_some(block, Deadline::never());
        if (!got || *got == 0) break;
        size = *got;
    }
    finish();
}

Task<bool> CdpRelay::write_down(std::string_view bytes) {
    while (writing_ && !finished_) (void)co_await write_free_.wait();
    if (finished_) co_return false;
    struct Writing {
        CdpRelay& self;
        ~Writing() {
            self.writing_ = false;
            self.write_free_.notify_one();
        }
    } const writing{*this};
    writing_ = true;
    iovec const piece{const_cast<char*>(bytes.data()), bytes.size()};
    auto const now = client_->try_write(std::span(&piece, 1));
    if (!now) co_return false;
    if (*now == bytes.size()) co_return true;
    auto const sent = co_await client_->write(bytes.substr(*now), kStall);
    co_return sent.has_value();
}

Task<void> CdpRelay::inject(std::string frames) {
    injected_ += frames;
    if (!below_.idle() || writing_) co_return;  // down() sends it at the end of what it is sending
    std::string const now = std::exchange(injected_, std::string());
    bool const sent = co_await write_down(now);
    if (!sent) finish();
}

Task<void> CdpRelay::down() {
    std::string block = std::move(upstream_.early);
    std::size_t size = block.size();
    int small_reads = 0;
    for (;;) {
        if (size > 0) {
            std::span<char> rest(block.data(), size);
            for (bool more = true; more;) {
                auto const step = below_.next(rest);
                closed_below_ = closed_below_ || step.event == WsReader::Event::close;
                more = step.event != WsReader::Event::need_more && step.event != WsReader::Event::fault &&
                       step.event != WsReader::Event::close;
            }
            bool sent = co_await write_down(std::string_view(block.data(), size));
            if (sent && !injected_.empty() && below_.idle()) {
                std::string const also = std::exchange(injected_, std::string());
                sent = co_await write_down(also);
            }
            if (!sent) break;
        }
        if (block.size() < kSmallBlock) block.resize(kSmallBlock);
        bool const filled = size == block.size();
        small_reads = size < kSmallBlock ? small_reads + 1 : 0;
        if (filled && block.size() < kLargeBlock) block.resize(kLargeBlock);
        if (small_reads > kSmallReads && block.size() > kSmallBlock) {
            block = std::string(kSmallBlock, '\0');
            small_reads = 0;
        }
        auto got = co_await upstream_.stream->read_some(block, Deadline::never());
        if (finished_) co_return;
        if (!got || *got == 0) {
            co_await say_end();
            break;
        }
        size = *got;
    }
    finish();
}

// In the middle of a frame nothing can be said any more.
Task<void> CdpRelay::say_end() {
    if (closed_below_ || !below_.idle()) co_return;
    auto& chromium = supervisor_.chromium();
    Clock& clock = client_->loop().clock();
    Deadline const patience = Deadline::in(clock, kReasonPatience);
    bool waited = true;
    while (waited && chromium.ready() && chromium.generation() == generation_)
        waited = co_await chromium.changed().wait(clock, patience);
    bool const lives = chromium.ready() && chromium.generation() == generation_;
    std::string why = "the target is gone";
    std::uint16_t code = 1000;
    if (supervisor_.closing()) {
        why = "the daemon is stopping";
        code = 1001;
    } else if (!lives) {
        why = "the browser ended (" + chromium.reason() + "); connect again for its successor";
        code = 1012;
    }
    std::string const payload = http::ws_close_payload(code, why);
    std::string frame(http::ws_frame_head(http::WsOpcode::close, payload.size()).view());
    frame += payload;
    said_end_ = true;
    bool const sent = co_await write_down(frame);
    if (!sent) co_return;
    client_->shutdown_write();
    // The client's own close frame, read by up(): then it hangs up.
    Deadline const until = Deadline::in(clock, kGoodbye);
    bool quiet = false;
    while (!quiet && !finished_) {
        bool const woken = co_await write_free_.wait(clock, until);
        quiet = !woken;
    }
}

}  // namespace execd::browser
