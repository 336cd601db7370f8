#include "execd/dialects/opensandbox/pty_socket.hpp"

#include <signal.h>

#include "base/both.hpp"
#include "execd/dialects/opensandbox/bodies.hpp"
#include "execd/dialects/opensandbox/claims.hpp"
#include "execd/dialects/opensandbox/schemas_shell.hpp"
#include "execd/http/wire/json_text.hpp"

namespace execd::opensandbox {

namespace {

constexpr char kStdin = 0;
constexpr char kOutput = 1;
constexpr char kError = 2;
constexpr char kReplay = 3;
constexpr std::size_t kLargestFrame = 32U << 10;  // bytes of live output in one frame
constexpr std::uint64_t kLongestReplay = 1U << 20;
constexpr auto kEviction = std::chrono::milliseconds(200);
constexpr auto kInputPatience = std::chrono::seconds(30);
constexpr auto kEnding = std::chrono::milliseconds(200);
constexpr auto kReplayPatience = std::chrono::seconds(10);

std::string with_offset(std::uint64_t offset) {
    std::string out(1, kReplay);
    for (int shift = 56; shift >= 0; shift -= 8) out += static_cast<char>(offset >> shift & 0xff);
    return out;
}

void field(std::string& out, std::string_view name, std::string_view text) {
    out += out.empty() ? "{" : ",";
    wire::append_json_string(out, name);
    out += ':';
    wire::append_json_string(out, text);
}

/// 0 when the contract does not know it.
int signal_of(std::string_view name) {
    for (std::string_view const known : {"SIGINT", "SIGTERM", "SIGKILL", "SIGQUIT", "SIGHUP"})
        if (name == known) return shell::signal_number(name);
    return 0;
}

}  // namespace

PtySocket::PtySocket(Services& services, std::shared_ptr<shell::Terminal> terminal, PtyWish wish)
    : services_(services), terminal_(std::move(terminal)), wish_(wish), eviction_(services.loop.clock()) {}

http::WsOptions PtySocket::options() {
    http::WsOptions out;
    out.write_stall = std::chrono::seconds(10);
    return out;
}

Task<void> PtySocket::serve(http::WebSocket& socket) {
    socket_ = &socket;
    bool const begun = co_await begin();
    if (begun) {
        // Replay and live output are one reader: nothing is lost or doubled between them (§1.9).
        std::uint64_t const oldest = replay_to_ > kLongestReplay ? replay_to_ - kLongestReplay : 0;
        shell::Cursor cursor = terminal_->reader(std::min(std::max(wish_.since, oldest), replay_to_));
        bool const told = co_await replay(cursor);
        if (told) co_await both(receive(), send(std::move(cursor)));
    }
    eviction_.cancel();
    writer_.reset();
}

/// Takes the terminal over where that was asked, and starts its program. False: the client was told why not.
Task<bool> PtySocket::begin() {
    // What a program that is started now writes is live output, and comes after `connected`.
    replay_to_ = terminal_->journal().end().total;
    if (wish_.viewer) co_return true;
    if (!writer_) {
        auto taken = terminal_->take_writer(true);
        if (!taken) {
            co_await say("error", "SESSION_GONE", taken.error().message());
            co_await socket_->close(1011, "session gone");
            co_return false;
        }
        writer_ = std::move(*taken);
    }
    // Whoever is evicted hears so, unless it is stuck: then its connection is cut.
    writer_->when_taken_over([this] {
        eviction_.arm(Deadline::in(services_.loop.clock(), kEviction), [this] { socket_->abort(); });
    });
    if (!terminal_->running()) {
        shell::Environment environment = environment_of(services_, terminal_->owner());
        if (!wish_.pipes) environment.set_default("TERM", "xterm-256color");
        terminal_->set_environment(std::move(environment));
    }
    auto const started = co_await terminal_->start(wish_.pipes);
    if (started) co_return true;
    writer_.reset();
    co_await say("error", "START_FAILED", started.error().message());
    co_await socket_->close(1011, "start failed");
    co_return false;
}

/// What there was from the wished offset on, in one frame, then `connected` (in this order: §10).
Task<bool> PtySocket::replay(shell::Cursor& cursor) {
    std::uint64_t offset = cursor.position().total;
    std::string bytes;
    shell::Batch batch;
    Deadline const deadline = Deadline::in(services_.loop.clock(), kReplayPatience);
    while (cursor.position().total < replay_to_) {
        auto const most = static_cast<std::size_t>(replay_to_ - cursor.position().total);
        shell::Next const next = co_await cursor.next(batch, deadline, most);
        if (next != shell::Next::data) break;
        for (auto const& slice : batch.slices) {
            if (slice.lost > 0) {
                bytes.clear();
                offset = slice.total + slice.lost;
            }
            bytes += slice.bytes;
        }
    }
    if (!bytes.empty()) {
        auto const sent = co_await socket_->send_binary(with_offset(offset), bytes);
        if (!sent) co_return false;
    }
    bool const known = terminal_->execution() != nullptr;
    std::string text;
    field(text, "type", "connected");
    field(text, "session_id", terminal_->id());
    field(text, "mode", (known ? terminal_->pipes() : wish_.pipes) ? "pipe" : "pty");
    text += '}';
    auto const sent = co_await socket_->send_text(text);
    co_return sent.has_value();
}

// ---- to the client

Task<void> PtySocket::send(shell::Cursor cursor) {
    shell::Journal& journal = terminal_->journal();
    shell::Batch batch;
    while (!over_) {
        if (lost()) {
            over_ = true;
            co_await socket_->close(4001, "TAKEN_OVER");
            break;
        }
        if (cursor.position().total < journal.end().total) {
            shell::Next const next = co_await cursor.next(batch, Deadline::never());
            if (next == shell::Next::end) break;
            bool const sent = co_await send_batch(batch);
            batch.clear();
            if (!sent) break;
            continue;
        }
        auto const& execution = terminal_->execution();
        bool const ended = execution != nullptr && !execution->running();
        if (ended || terminal_->closed()) {
            co_await say_end();
            break;
        }
        co_await journal.changed().wait();  // output, the end, a takeover, or finish()
    }
    finish();
}

Task<bool> PtySocket::send_batch(shell::Batch const& batch) {
    for (auto const& slice : batch.slices) {
        if (slice.lost > 0) {
            gap_ = true;
            continue;
        }
        std::string_view rest = slice.bytes;
        std::uint64_t offset = slice.total;
        while (!rest.empty()) {
            if (over_ || lost()) co_return true;  // the caller sees it
            std::string_view const part = rest.substr(0, kLargestFrame);
            // What was forgotten shows as a jump of the offset: the frame of a replay carries one.
            std::string const prefix =
                gap_ ? with_offset(offset)
                     : std::string(1, slice.stream == shell::Stream::err ? kError : kOutput);
            gap_ = false;
            auto const sent = co_await socket_->send_binary(prefix, part);
            if (!sent) co_return false;
            rest.remove_prefix(part.size());
            offset += part.size();
        }
    }
    co_return true;
}

Task<void> PtySocket::say_end() {
    over_ = true;
    writer_.reset();  // before the client hears it: it may come back at once
    auto const& execution = terminal_->execution();
    if (execution == nullptr) {
        co_await socket_->close(1000, "session closed");
        co_return;
    }
    std::string text;
    field(text, "type", "exit");
    text += R"(,"exit_code":)" + std::to_string(execution->verdict()->exit_code()) + "}";
    auto const sent = co_await socket_->send_text(text);
    if (sent) co_await socket_->close(1000, "process exited");
}

Task<void> PtySocket::say(std::string_view type, std::string_view code, std::string_view what) {
    std::string text;
    field(text, "type", type);
    if (!code.empty()) field(text, "code", code);
    if (!what.empty()) field(text, "error", what);
    text += '}';
    auto const sent = co_await socket_->send_text(text);
    if (!sent) over_ = true;
}

// ---- from the client

Task<void> PtySocket::receive() {
    while (!over_) {
        auto message = co_await socket_->receive();
        if (!message) break;
        if (message->text)
            co_await on_text(message->data);
        else
            co_await on_bytes(message->data);
    }
    // `over_` may be the sender's, which then still says goodbye and waits for the close frame.
    while (over_ && socket_->open()) {
        auto message = co_await socket_->receive();
        if (!message) break;
    }
    finish();
}

void PtySocket::finish() {
    over_ = true;
    socket_->abort();
    terminal_->journal().changed().notify_all();
}

Task<void> PtySocket::on_bytes(std::string_view bytes) {
    if (bytes.size() < 2 || bytes.front() != kStdin) co_return;
    co_await type(std::string(bytes.substr(1)));
}

Task<void> PtySocket::on_text(std::string_view text) {
    PtyClientFrame frame;
    auto const fault = decode_text(text, wire::Codec<PtyClientFrame>::ops, &frame, true);
    if (fault) co_return;  // what is no JSON is ignored (§1.9)
    if (frame.type == "stdin") {
        co_await type(std::move(frame.data));
    } else if (frame.type == "signal") {
        int const number = signal_of(frame.signal);
        if (number == 0) co_return;
        if (wish_.viewer) {
            co_await say("error", "READ_ONLY", "this client only views");
        } else if (number == SIGINT || number == SIGQUIT) {
            (void)terminal_->signal_foreground(number);  // what a key press reaches
        } else {
            (void)terminal_->signal(number);
        }
    } else if (frame.type == "resize") {
        bool const sane = frame.cols > 0 && frame.rows > 0 && frame.cols < 65536 && frame.rows < 65536;
        if (!sane || wish_.viewer || lost()) co_return;
        (void)terminal_->resize(
            {static_cast<std::uint16_t>(frame.cols), static_cast<std::uint16_t>(frame.rows)});
    } else if (frame.type == "ping") {
        co_await say("pong", {}, {});
    } else {
        co_await say("error", "INVALID_FRAME", "unknown frame type \"" + frame.type + "\"");
    }
}

Task<void> PtySocket::type(std::string bytes) {
    if (bytes.empty()) co_return;
    if (wish_.viewer) {
        co_await say("error", "READ_ONLY", "this client only views");
        co_return;
    }
    auto const writer = writer_;
    if (!writer) co_return;  // the program has ended
    Deadline const patience = Deadline::in(services_.loop.clock(), kInputPatience);
    auto const typed = co_await terminal_->type(*writer, std::move(bytes), patience);
    // Taken over, or the program has ended: the sender is about to say so.
    if (typed || typed.error().code == Code::conflict || typed.error().code == Code::gone) co_return;
    // A program that is ending closes its stdin first: then its end is what there is to say.
    bool const ended = co_await terminal_->execution()->ended(Deadline::in(services_.loop.clock(), kEnding));
    if (ended) co_return;
    co_await say("error", "STDIN_WRITE_FAILED", typed.error().message());
    over_ = true;
    co_await socket_->close(1011, "stdin failed");
}

}  // namespace execd::opensandbox
