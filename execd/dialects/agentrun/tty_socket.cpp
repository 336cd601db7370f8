#include "execd/dialects/agentrun/tty_socket.hpp"

#include "base/both.hpp"
#include "execd/http/wire/json_text.hpp"
#include "shell/sessions.hpp"

namespace execd::agentrun {

namespace {

constexpr std::size_t kLargestFrame = 32U << 10;  // bytes of output in one frame
constexpr auto kInputPatience = std::chrono::seconds(30);

void member(std::string& out, std::string_view name, std::string_view text) {
    out += out.empty() ? "{" : ",";
    wire::append_json_string(out, name);
    out += ':';
    wire::append_json_string(out, text);
}

/// {"type":type, name:text ...} of pairs. Made before any co_await: g++ 12 and braced temporaries.
std::string frame_of(std::string_view type, std::initializer_list<std::string_view> members) {
    std::string out;
    member(out, "type", type);
    for (auto at = members.begin(); at != members.end(); at += 2) member(out, at[0], at[1]);
    return out + '}';
}

std::string complaint(std::string_view what) {
    return frame_of("status", {"status", "error", "message", what});
}

std::uint32_t big_endian(std::string_view bytes) {
    std::uint32_t out = 0;
    for (char const c : bytes) out = out << 8 | static_cast<unsigned char>(c);
    return out;
}

}  // namespace

TtySocket::TtySocket(StatePtr state, std::shared_ptr<shell::Terminal> terminal, std::string cwd, bool json)
    : state_(std::move(state)),
      terminal_(std::move(terminal)),
      cwd_(std::move(cwd)),
      json_(json),
      heartbeat_(state_->services.loop.clock().now()) {}

/// However the connection ended, its shell ends with it.
TtySocket::~TtySocket() {
    (void)state_->services.terminals->take(terminal_->id());
    auto const& run = terminal_->execution();
    if (run && run->running()) run->request_stop(Duration::zero());
}

http::WsOptions TtySocket::options() {
    http::WsOptions out;
    out.idle = Heartbeat::kClose;
    out.write_stall = std::chrono::seconds(10);
    return out;
}

Task<void> TtySocket::serve(http::WebSocket& socket) {
    socket_ = &socket;
    bool const begun = co_await begin();
    if (begun) co_await both(receive(), send());
    writer_.reset();
    co_await terminal_->close();
}

Task<bool> TtySocket::begin() {
    auto const started = co_await terminal_->start();
    auto writer = terminal_->take_writer(true);
    if (!started || !writer) {
        std::string const why = started ? writer.error().message() : started.error().message();
        std::string frame = frame_of("connectionClosing", {"reason", why});
        (void)co_await say(std::move(frame));
        co_await socket_->close(1011, "the shell did not start");
        co_return false;
    }
    writer_ = std::move(*writer);
    heartbeat_.heard(now());
    std::string frame = frame_of("connectionEstablished", {"sessionId", terminal_->id(), "protocol",
                                                           json_ ? "json" : "text", "cwd", cwd_});
    co_return co_await say(std::move(frame));
}

// ---- to the client

Task<void> TtySocket::send() {
    shell::Journal& journal = terminal_->journal();
    shell::Cursor cursor = terminal_->reader();
    shell::Batch batch;
    while (!over_) {
        bool const alive = co_await check_heartbeat();
        if (!alive) break;
        if (cursor.position().total < journal.end().total) {
            shell::Next const next = co_await cursor.next(batch, Deadline::never());
            if (next == shell::Next::end) break;
            bool const sent = co_await send_batch(batch);
            batch.clear();
            if (!sent) break;
            continue;
        }
        auto const& execution = terminal_->execution();
        if (terminal_->closed() || !execution->running()) {
            co_await say_end();
            break;
        }
        // Output, the end, finish(), or the next look at the heartbeat.
        Deadline const until = json_ ? heartbeat_.next() : Deadline::never();
        (void)co_await journal.changed().wait(state_->services.loop.clock(), until);
    }
    finish();
}

Task<bool> TtySocket::send_batch(shell::Batch const& batch) {
    for (auto const& slice : batch.slices) {
        if (slice.lost > 0) {
            std::string const gap =
                "\r\n[execd: " + std::to_string(slice.lost) + " bytes were dropped here]\r\n";
            bool const told = co_await send_output(gap);
            if (!told) co_return false;
        }
        std::string_view rest = slice.bytes;
        while (!rest.empty()) {
            std::string_view const part = rest.substr(0, kLargestFrame);
            bool const sent = co_await send_output(part);
            if (!sent) co_return false;
            rest.remove_prefix(part.size());
        }
    }
    co_return true;
}

// A character that arrives in two pieces leaves in one frame.
Task<bool> TtySocket::send_output(std::string_view bytes) {
    std::string text;
    decoder_.push(bytes, text);
    if (text.empty()) co_return true;
    if (json_) {
        text = frame_of("output", {"data", text, "stream", "stdout"});
        co_return co_await say(std::move(text));
    }
    auto const sent = co_await socket_->send_text(text);
    co_return sent.has_value();
}

Task<bool> TtySocket::check_heartbeat() {
    if (!json_) co_return true;  // there the WebSocket's own silence rule holds
    auto const due = heartbeat_.due(now());
    if (due == Heartbeat::Due::nothing) co_return true;
    bool const warn = due == Heartbeat::Due::warn;
    std::string frame = warn ? frame_of("timeoutWarning",
                                        {"message", "no heartbeat for 90 s; the connection closes at 120 s"})
                             : frame_of("connectionClosing", {"reason", "no heartbeat for 120 s"});
    over_ = !warn;
    bool const told = co_await say(std::move(frame));
    if (warn) co_return told;
    co_await socket_->close(1000, "no heartbeat");
    co_return false;
}

Task<void> TtySocket::say_end() {
    over_ = true;
    auto const& verdict = terminal_->execution()->verdict();
    if (!verdict || terminal_->closed()) {
        std::string frame = frame_of("connectionClosing", {"reason", "the daemon is stopping"});
        (void)co_await say(std::move(frame));
        co_await socket_->close(1001, "stopping");
        co_return;
    }
    std::string const exit_code = std::to_string(verdict->shell_status());
    std::string const how = verdict->text();
    std::string end = frame_of("status", {"status", "exited", "exitCode", exit_code, "message", how});
    std::string closing = frame_of("connectionClosing", {"reason", "the shell has ended"});
    bool const told = co_await say(std::move(end));
    if (told) (void)co_await say(std::move(closing));
    co_await socket_->close(1000, "the shell has ended");
}

Task<bool> TtySocket::say(std::string frame) {
    if (!json_) co_return true;
    auto const sent = co_await socket_->send_text(frame);
    co_return sent.has_value();
}

// ---- from the client

Task<void> TtySocket::receive() {
    while (!over_) {
        auto message = co_await socket_->receive();
        if (!message) break;
        heartbeat_.heard(now());
        if (message->text)
            co_await on_text(std::move(message->data));
        else
            co_await on_bytes(std::move(message->data));
    }
    // `over_` may be the sender's, which then still says goodbye and waits for the close frame.
    while (over_ && socket_->open()) {
        auto message = co_await socket_->receive();
        if (!message) break;
    }
    finish();
}

void TtySocket::finish() {
    over_ = true;
    socket_->abort();
    terminal_->journal().changed().notify_all();
}

Task<void> TtySocket::on_bytes(std::string bytes) {
    if (bytes.size() == 8) {
        std::string_view const view = bytes;
        resize(big_endian(view.substr(0, 4)), big_endian(view.substr(4)));
        co_return;
    }
    co_await type(std::move(bytes));
}

Task<void> TtySocket::on_text(std::string text) {
    if (!json_) {
        co_await type(std::move(text));
        co_return;
    }
    TtyFrame frame;
    wire::Sources from;
    from.body_text = text;
    wire::Faults faults;
    bool const good = wire::decode(frame, from, state_->dialect.reading(), faults);
    if (good && frame.type == "input") {
        co_await type(std::move(frame.data));
        co_return;
    }
    if (good && frame.type == "resize") {
        resize(frame.rows, frame.cols);
        co_return;
    }
    std::string reply = frame_of("pong", {});
    if (!good)
        reply = complaint("this frame cannot be read");
    else if (frame.type != "ping")
        reply = complaint("unknown frame type");
    bool const said = co_await say(std::move(reply));
    if (!said) over_ = true;
}

void TtySocket::resize(std::int64_t rows, std::int64_t columns) {
    if (rows < 1 || columns < 1 || rows > 65535 || columns > 65535) return;
    (void)terminal_->resize({static_cast<std::uint16_t>(columns), static_cast<std::uint16_t>(rows)});
}

Task<void> TtySocket::type(std::string bytes) {
    auto const writer = writer_;
    if (bytes.empty() || !writer) co_return;
    Deadline const patience = Deadline::in(state_->services.loop.clock(), kInputPatience);
    auto const typed = co_await terminal_->type(*writer, std::move(bytes), patience);
    // The shell has ended: the sender is about to say so.
    if (typed || typed.error().code != Code::timed_out) co_return;
    std::string reply = complaint("input was dropped: nobody reads it");
    bool const said = co_await say(std::move(reply));
    if (!said) over_ = true;
}

}  // namespace execd::agentrun
