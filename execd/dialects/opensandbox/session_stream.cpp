#include "execd/dialects/opensandbox/session_stream.hpp"

#include "execd/dialects/opensandbox/command_stream.hpp"
#include "execd/dialects/opensandbox/events.hpp"
#include "execd/dialects/opensandbox/line_events.hpp"

namespace execd::opensandbox {

namespace {

constexpr auto kPingEvery = std::chrono::seconds(3);
constexpr auto kGather = std::chrono::milliseconds(2);
constexpr std::size_t kFlushAt = 256U << 10;

/// As Go prints it: "300ms", "1.5s", "2m0s".
std::string go_duration(Duration d) {
    auto const ms = std::chrono::duration_cast<std::chrono::milliseconds>(d).count();
    if (ms < 1000) return std::to_string(ms) + "ms";
    std::string fraction;
    if (auto const part = ms % 1000; part != 0) {
        fraction = std::to_string(1000 + part);
        fraction[0] = '.';
        fraction.erase(fraction.find_last_not_of('0') + 1);
    }
    std::string const seconds = std::to_string(ms / 1000 % 60) + fraction + "s";
    auto const minutes = ms / 60'000;
    if (minutes == 0) return seconds;
    if (minutes < 60) return std::to_string(minutes) + "m" + seconds;
    return std::to_string(minutes / 60) + "h" + std::to_string(minutes % 60) + "m" + seconds;
}

class SessionStream final : public http::Producer {
  public:
    SessionStream(Clock& clock, std::shared_ptr<shell::Session> session,
                  std::shared_ptr<shell::SessionRun> run, Duration timeout, bool bare_lines)
        : clock_(clock),
          session_(std::move(session)),
          run_(std::move(run)),
          cursor_(run_->reader()),  // from here on nothing is forgotten unread
          timeout_(timeout),
          lines_("stdout", bare_lines) {}
    /// Also when it never produced: the client went away before the head was sent. One that named its start
    /// may come back.
    ~SessionStream() override {
        if (run_->digest().empty()) session_->abandon(run_);
    }
    SessionStream(SessionStream const&) = delete;
    SessionStream& operator=(SessionStream const&) = delete;

    Task<Result<void>> produce(http::Writer& writer) override {
        std::string& out = writer.out();
        event::Stamp const begun = event::stamp(clock_);
        event::init(out, session_->id(), begun);
        event::ping(out, begun);
        Deadline ping = Deadline::in(clock_, kPingEvery);
        bool greeted = false;
        shell::Batch batch;
        for (;;) {
            Deadline const until = greeted ? ping : Deadline::in(clock_, kGather);
            shell::Next const next = co_await cursor_.next(batch, until);
            if (next == shell::Next::end) break;
            if (next == shell::Next::data) {
                append(batch, out);
                bool const more_is_due = !run_->running() && out.size() < kFlushAt;
                if (more_is_due) continue;
            } else if (greeted) {
                lines_.flush(out, event::stamp(clock_),
                             false);  // somebody may be looking at a prompt without a line end
                event::ping(out, event::stamp(clock_));
                ping = Deadline::in(clock_, kPingEvery);
            }
            greeted = true;
            auto sent = co_await writer.flush();
            if (!sent) co_return sent;
        }
        lines_.flush(out, event::stamp(clock_), true);
        // The output of a shell that ended can be over a moment before its command is.
        (void)co_await run_->wait(Deadline::never());
        append_end(out);
        co_return Result<void>();
    }

  private:
    // Both streams are one here, and all of it is `stdout` (§1.7, §10).
    void append(shell::Batch const& batch, std::string& out) {
        event::Stamp const now = event::stamp(clock_);
        for (auto const& slice : batch.slices) {
            if (slice.lost == 0) {
                lines_.push(out, slice.bytes, now);
                continue;
            }
            lines_.flush(out, now, true);  // what was begun does not go on behind the gap
            event::text(out, "stdout",
                        "[execd: " + std::to_string(slice.lost) + " bytes of output were dropped here]\n",
                        now);
        }
    }

    void append_end(std::string& out) const {
        using Kind = shell::RunEnd::Kind;
        event::Stamp const now = event::stamp(clock_);
        shell::RunEnd const& end = *run_->end();
        auto const failed = [&](std::string_view name, std::string const& value, std::string const& line) {
            event::error(out, name, value, std::span(&line, 1), now);
        };
        if (end.kind == Kind::timed_out) {
            std::string const why = "timeout after " + go_duration(timeout_);
            return failed("RuntimeError", why, "error running in session. " + why);
        }
        // What the shell itself ended with is told as a command's end is; a signal is -1 (§10).
        if (end.kind != Kind::completed && end.verdict && !end.verdict->success())
            return failed("CommandExecError", std::to_string(end.verdict->exit_code()),
                          end_text(*end.verdict));
        if (end.kind == Kind::closed) return failed("RuntimeError", "the session was deleted", "deleted");
        if (end.status != 0)
            return failed("CommandExecError", std::to_string(end.status),
                          "exit status " + std::to_string(end.status));
        auto const took =
            std::chrono::duration_cast<std::chrono::milliseconds>(clock_.now() - run_->started_at());
        event::complete(out, std::max<std::int64_t>(took.count(), 0), now);
    }

    Clock& clock_;
    std::shared_ptr<shell::Session> session_;
    std::shared_ptr<shell::SessionRun> run_;
    shell::Cursor cursor_;
    Duration timeout_;
    LineEvents lines_;
};

void mark_as_events(http::Answer& answer) {
    answer.headers.set("Cache-Control", "no-cache");
    answer.headers.set("X-Accel-Buffering", "no");
}

}  // namespace

http::Answer session_stream(Services& services, http::Call const& call,
                            std::shared_ptr<shell::Session> session, std::shared_ptr<shell::SessionRun> run,
                            Duration timeout) {
    auto producer = std::make_unique<SessionStream>(services.loop.clock(), std::move(session), std::move(run),
                                                    timeout, wants_bare_lines(services.config, *call.head));
    auto answer = http::Answer::stream("text/event-stream", std::move(producer));
    mark_as_events(answer);
    return answer;
}

http::Answer refused_run(Services& services, std::string_view session_id, std::string const& why) {
    std::string out;
    event::Stamp const now = event::stamp(services.loop.clock());
    event::init(out, session_id, now);
    std::string const line = "error running in session. " + why;
    event::error(out, "RuntimeError", why, std::span(&line, 1), now);
    auto answer = http::Answer::bytes(200, "text/event-stream", std::move(out));
    mark_as_events(answer);
    return answer;
}

}  // namespace execd::opensandbox
