#include "execd/dialects/opensandbox/command_stream.hpp"

#include "execd/dialects/opensandbox/events.hpp"
#include "execd/dialects/opensandbox/line_events.hpp"
#include "shell/executions.hpp"

namespace execd::opensandbox {

namespace {

constexpr auto kPingEvery = std::chrono::seconds(3);
// A command that ends at once is answered with one write: the first events wait this long for company.
constexpr auto kGather = std::chrono::milliseconds(2);
constexpr std::size_t kFlushAt = 256U << 10;
constexpr std::size_t kBatch = 256U << 10;  // bytes of output framed and sent at once

class CommandStream final : public http::Producer {
  public:
    CommandStream(Services& services, std::shared_ptr<shell::Execution> run, bool bare_lines)
        : services_(services),
          clock_(services.loop.clock()),
          run_(std::move(run)),
          out_("stdout", bare_lines),
          err_("stderr", bare_lines) {}

    Task<Result<void>> produce(http::Writer& writer) override {
        std::string& out = writer.out();
        event::Stamp const begun = event::stamp(clock_);
        event::init(out, run_->id(), begun);
        event::ping(out, begun);
        Deadline ping = Deadline::in(clock_, kPingEvery);
        bool greeted = false;
        shell::Cursor cursor = run_->journal().reader();
        shell::Batch batch;
        for (;;) {
            Deadline const until = greeted ? ping : Deadline::in(clock_, kGather);
            shell::Next const next = co_await cursor.next(batch, until, kBatch);
            if (next == shell::Next::end) break;
            if (next == shell::Next::data) {
                append(batch, out);
                // The last output and the end go out together when both are known.
                bool const more_is_due = !run_->running() && out.size() < kFlushAt;
                if (more_is_due) continue;
            } else if (greeted) {
                // Somebody may be looking at a prompt without a line end.
                flush_tails(out, false);
                event::ping(out, event::stamp(clock_));
                ping = Deadline::in(clock_, kPingEvery);
            }
            greeted = true;
            auto sent = co_await writer.flush();
            if (!sent) co_return sent;
        }
        flush_tails(out, true);
        append_end(out);
        if (services_.config.stream_tail > Duration::zero()) {
            auto sent = co_await writer.flush();
            if (!sent) co_return sent;
            bool const slept = co_await clock_.sleep_for(services_.config.stream_tail);
            (void)slept;
        }
        co_return Result<void>();
    }

  private:
    void append(shell::Batch const& batch, std::string& out) {
        event::Stamp const now = event::stamp(clock_);
        for (auto const& slice : batch.slices) {
            LineEvents& lines = slice.stream == shell::Stream::err ? err_ : out_;
            if (slice.lost > 0) {
                lines.flush(out, now, true);  // what was begun does not go on behind the gap
                event::text(out, "stderr",
                            "[execd: " + std::to_string(slice.lost) + " bytes of output were dropped here]\n",
                            now);
                continue;
            }
            lines.push(out, slice.bytes, now);
        }
    }

    void flush_tails(std::string& out, bool last) {
        event::Stamp const now = event::stamp(clock_);
        out_.flush(out, now, last);
        err_.flush(out, now, last);
    }

    void append_end(std::string& out) const {
        event::Stamp const now = event::stamp(clock_);
        shell::Verdict const& verdict = *run_->verdict();
        // A program that was asked to end and ended well says so itself: its 0 is no error here (§1.3).
        auto const* exited = std::get_if<shell::Exited>(&verdict.status);
        bool const obeyed = std::holds_alternative<shell::Cancelled>(verdict.ending) && exited != nullptr &&
                            exited->code == 0;
        if (verdict.success() || obeyed) {
            auto const took =
                std::chrono::duration_cast<std::chrono::milliseconds>(verdict.at - run_->started_at());
            return event::complete(out, std::max<std::int64_t>(took.count(), 0), now);
        }
        std::string const text = end_text(verdict);
        bool const unstarted = std::holds_alternative<shell::FailedToStart>(verdict.ending);
        // A hard timeout looks like any kill to this contract's clients; the second line tells people.
        std::vector<std::string> traceback{text};
        if (verdict.text() != text) traceback.push_back(verdict.text());
        event::error(out, "CommandExecError", unstarted ? text : std::to_string(verdict.exit_code()),
                     traceback, now);
    }

    Services& services_;
    Clock& clock_;
    std::shared_ptr<shell::Execution> run_;
    LineEvents out_;
    LineEvents err_;
};

http::Answer event_stream(std::unique_ptr<http::Producer> producer) {
    auto answer = http::Answer::stream("text/event-stream", std::move(producer));
    answer.headers.set("Cache-Control", "no-cache");
    answer.headers.set("X-Accel-Buffering", "no");
    return answer;
}

}  // namespace

std::string end_text(shell::Verdict const& verdict) {
    if (auto const* killed = std::get_if<shell::Signaled>(&verdict.status))
        return "signal: " + shell::signal_text(killed->signal);
    if (auto const* exited = std::get_if<shell::Exited>(&verdict.status);
        exited != nullptr && exited->code != 0)
        return "exit status " + std::to_string(exited->code);
    return verdict.text();
}

bool wants_bare_lines(Config const& config, http::Head const& head) {
    if (config.line_terminators != LineTerminators::by_client)
        return config.line_terminators == LineTerminators::strip;
    std::string_view const agent = head.find("User-Agent").value_or("");
    return agent.starts_with("OpenSandbox-") && agent.find("-SDK/0.") != std::string_view::npos;
}

http::Answer foreground_stream(Services& services, http::Call const& call,
                               std::shared_ptr<shell::Execution> run) {
    return event_stream(std::make_unique<CommandStream>(services, std::move(run),
                                                        wants_bare_lines(services.config, *call.head)));
}

http::Answer background_stream(Services& services, shell::Execution const& run) {
    std::string out;
    event::Stamp const now = event::stamp(services.loop.clock());
    event::init(out, run.id(), now);
    event::ping(out, now);
    bool const unstarted =
        run.verdict() && std::holds_alternative<shell::FailedToStart>(run.verdict()->ending);
    if (unstarted) {
        std::string const text = run.verdict()->text();
        event::error(out, "CommandExecError", text, std::span(&text, 1), now);
    } else {
        event::complete(out, 0, now);
    }
    auto answer = http::Answer::bytes(200, "text/event-stream", std::move(out));
    answer.headers.set("Cache-Control", "no-cache");
    answer.headers.set("X-Accel-Buffering", "no");
    return answer;
}

}  // namespace execd::opensandbox
