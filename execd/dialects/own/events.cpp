// GET /execd/v1/events: what happens to executions, as server-sent events with a cursor.
#include <charconv>

#include "execd/dialects/own/executions.hpp"
#include "execd/http/sse.hpp"
#include "execd/http/wire/json_text.hpp"
#include "shell/executions.hpp"

namespace execd::own {

using http::Answer;
using http::Call;

namespace {

constexpr auto kKeepAlive = std::chrono::seconds(15);

std::string_view name_of(shell::ExecutionEvent::Kind kind) {
    switch (kind) {
        case shell::ExecutionEvent::Kind::started: return "started";
        case shell::ExecutionEvent::Kind::ended: return "ended";
        case shell::ExecutionEvent::Kind::oom: return "oom";
        case shell::ExecutionEvent::Kind::owner: return "claim";
    }
    return "started";
}

std::string data_of_claim(shell::ExecutionEvent const& event) {
    std::string out = R"({"claim":)";
    wire::append_json_string(out, event.owner);
    out += R"(,"state":)";
    wire::append_json_string(out, event.label);
    out += R"(,"at_ms":)";
    wire::append_json_int(
        out, std::chrono::duration_cast<std::chrono::milliseconds>(event.wall.time_since_epoch()).count());
    if (!event.verdict.empty()) {
        out += R"(,"cause":)";
        wire::append_json_string(out, event.verdict);
    }
    return out += '}';
}

std::string data_of(shell::ExecutionEvent const& event) {
    if (event.kind == shell::ExecutionEvent::Kind::owner) return data_of_claim(event);
    std::string out = R"({"execution":)";
    wire::append_json_string(out, event.id);
    out += R"(,"label":)";
    wire::append_json_string(out, event.label);
    out += R"(,"owner":)";
    wire::append_json_string(out, event.owner);
    out += R"(,"at_ms":)";
    wire::append_json_int(
        out, std::chrono::duration_cast<std::chrono::milliseconds>(event.wall.time_since_epoch()).count());
    if (!event.verdict.empty()) {
        out += R"(,"verdict":)";
        wire::append_json_string(out, event.verdict);
    }
    return out += '}';
}

class EventStream final : public http::Producer {
  public:
    EventStream(Services& services, std::uint64_t cursor, std::string owner)
        : services_(services), cursor_(cursor), owner_(std::move(owner)) {}

    Task<Result<void>> produce(http::Writer& writer) override {
        shell::Executions& executions = *services_.executions;
        Clock& clock = services_.loop.clock();
        // Numbers start over with the daemon: a cursor from before is beyond the last one.
        bool const before_us = cursor_ > executions.last_event();
        append_ready(writer.out(), executions.last_event(), before_us);
        if (before_us) cursor_ = 0;
        while (!services_.readiness.stopping) {
            append_news(writer.out());
            if (auto sent = co_await writer.flush(); !sent) co_return sent;
            if (executions.last_event() > cursor_) continue;
            bool const told =
                co_await executions.events_changed().wait(clock, Deadline::in(clock, kKeepAlive));
            if (!told) http::append_sse_comment(writer.out(), "alive");
        }
        co_return Result<void>();
    }

  private:
    void append_ready(std::string& out, std::uint64_t last, bool restarted) const {
        http::EventText text;
        std::string const id = std::to_string(std::min(cursor_, last));
        std::string const data =
            R"({"last":)" + std::to_string(last) + R"(,"restarted":)" + (restarted ? "true" : "false") + "}";
        text.event = "ready";
        text.id = restarted ? std::string_view("0") : std::string_view(id);
        text.data = data;
        http::append_sse(out, text);
    }

    void append_news(std::string& out) {
        for (auto const& event : services_.executions->events_after(cursor_)) {
            std::string const id = std::to_string(event.number);
            if (event.number > cursor_ + 1) {
                std::string const data = R"({"lost":)" + std::to_string(event.number - cursor_ - 1) + "}";
                http::EventText gap;
                gap.event = "gap";
                gap.data = data;
                http::append_sse(out, gap);
            }
            cursor_ = event.number;
            if (!owner_.empty() && event.owner != owner_) continue;
            std::string const data = data_of(event);
            http::EventText text;
            text.event = name_of(event.kind);
            text.id = id;
            text.data = data;
            http::append_sse(out, text);
        }
    }

    Services& services_;
    std::uint64_t cursor_;
    std::string owner_;
};

Result<Answer> events(Services& services, Call& call) {
    auto cursor = query_number(call, "cursor", services.executions->last_event());
    if (!cursor) return Failure(cursor.error());
    // What a browser sends when it comes back.
    if (auto const last = call.header("Last-Event-ID")) {
        auto const [end, ec] = std::from_chars(last->data(), last->data() + last->size(), *cursor);
        if (ec != std::errc() || end != last->data() + last->size())
            return fail(Code::invalid_argument, "Last-Event-ID", "a whole number is expected");
    }
    std::string owner(call.query_value("owner").value_or(""));
    Answer answer = Answer::stream(http::media_type(http::Framing::sse),
                                   std::make_unique<EventStream>(services, *cursor, std::move(owner)));
    answer.headers.set("Cache-Control", "no-cache");
    answer.headers.set("X-Accel-Buffering", "no");
    return answer;
}

Task<Result<Answer>> answer(Services& services, Call& call) { co_return events(services, call); }

}  // namespace

std::vector<http::Row> event_rows(Services& services) {
    http::Row row;
    row.tag = "Executions";
    row.method = "GET";
    row.path = "/execd/v1/events";
    row.operation_id = "executionEvents";
    row.doc =
        "Events started, ended and oom of executions and claim of claims (?owner=), numbered; ?cursor= or "
        "Last-Event-ID "
        "continues "
        "behind that number, 0 begins with the oldest that is kept; without either only news. First comes "
        "ready, "
        "and gap says how many were dropped.";
    row.statuses = {{200, nullptr, "text/event-stream", "Events"}};
    row.invoke = [s = &services](Call& call) { return answer(*s, call); };
    return {row};
}

}  // namespace execd::own
