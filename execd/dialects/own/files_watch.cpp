// /execd/v1/files/watches and /execd/v1/files/wait (docs/files.md).
#include <charconv>

#include "execd/dialects/own/files_parts.hpp"
#include "execd/http/sse.hpp"
#include "fs/executor.hpp"
#include "fs/watches.hpp"

namespace execd::own::files {

using http::Answer;
using http::Call;

namespace {

constexpr auto kKeepAlive = std::chrono::seconds(15);

std::int64_t millis(WallTime at) {
    return std::chrono::duration_cast<std::chrono::milliseconds>(at.time_since_epoch()).count();
}

EventBody event_body(fs::WatchEvent const& event) {
    EventBody out;
    out.number = event.number;
    out.change = fs::to_string(event.what);
    out.path = event.path;
    out.path_base64 = exact_bytes(event.path);
    if (!event.old_path.empty()) out.old_path = event.old_path;
    out.old_path_base64 = exact_bytes(event.old_path);
    out.directory = event.directory;
    out.at_ms = millis(event.at);
    return out;
}

Failure unknown(std::string const& id) { return fail(Code::not_found, "watch", "no watch " + id); }

Task<Result<Answer>> start(Services& services, Call& call) {
    WatchRequest request;
    auto read = co_await read_request(call, request);
    if (!read) co_return Failure(read.error());
    auto path = path_of(services, request.path, request.path_base64);
    if (!path) co_return Failure(path.error());
    fs::WatchOptions options(*path);
    options.recursive = request.recursive;
    options.include = std::move(request.include);
    options.exclude = std::move(request.exclude);
    options.debounce = std::chrono::milliseconds(request.debounce_ms);
    options.scan_only = request.scan;
    auto id = co_await services.watches->start(*services.files, std::move(options));
    if (!id) co_return Failure(id.error());
    auto const watch = services.watches->find(*id);
    WatchBody out;
    out.id = *id;
    out.cursor = watch->last();
    out.scanning = watch->scanning();
    co_return answer_of(out, 201);
}

Task<Result<Answer>> events(Services& services, Call& call) {
    EventsQuery request;
    auto read = co_await read_request(call, request);
    if (!read) co_return Failure(read.error());
    auto const watch = services.watches->find(request.id);
    if (!watch) co_return unknown(request.id);
    auto const until = Deadline::in(services.loop.clock(), std::chrono::milliseconds(request.wait_ms));
    auto batch = co_await watch->after(request.cursor, request.limit, until);
    static_cast<void>(services.watches->find(request.id));  // it was in use until now
    EventsBody out;
    for (auto const& event : batch.events) out.events.push_back(event_body(event));
    out.cursor = batch.cursor;
    out.lost = batch.lost;
    out.ended = batch.ended;
    out.scanning = watch->scanning();
    co_return answer_of(out);
}

/// Events as they come: the id of each is the cursor to come back with.
class EventStream final : public http::Producer {
  public:
    EventStream(Services& services, std::shared_ptr<fs::Watch> watch, std::uint64_t cursor)
        : services_(services), watch_(std::move(watch)), cursor_(cursor) {}
    Task<Result<void>> produce(http::Writer& writer) override {
        auto& clock = services_.loop.clock();
        http::append_sse_comment(writer.out(), watch_->scanning() ? "scanning" : "watching");
        for (;;) {
            auto flushed = co_await writer.flush();
            if (!flushed) co_return flushed;
            auto batch = co_await watch_->after(cursor_, 1000, Deadline::in(clock, kKeepAlive));
            if (batch.lost > 0) add(writer, "lost", "{\"lost\":" + std::to_string(batch.lost) + "}", 0);
            for (auto const& event : batch.events) {
                EventBody const body = event_body(event);
                std::string json;
                wire::encode(body, wire::EncodePolicy{}, json);
                add(writer, body.change, json, body.number);
            }
            cursor_ = batch.cursor;
            if (batch.ended && batch.cursor >= watch_->last()) {
                add(writer, "end", "{}", 0);
                co_return Result<void>();
            }
            if (batch.events.empty()) http::append_sse_comment(writer.out());
        }
    }

  private:
    static void add(http::Writer& writer, std::string_view what, std::string const& json,
                    std::uint64_t number) {
        std::string const id = number == 0 ? std::string() : std::to_string(number);
        http::EventText text{json, what, id};
        http::append_sse(writer.out(), text);
    }
    Services& services_;
    std::shared_ptr<fs::Watch> watch_;
    std::uint64_t cursor_;
};

Task<Result<Answer>> stream(Services& services, Call& call) {
    EventsQuery request;
    auto read = co_await read_request(call, request);
    if (!read) co_return Failure(read.error());
    auto watch = services.watches->find(request.id);
    if (!watch) co_return unknown(request.id);
    std::uint64_t cursor = request.cursor;
    // A browser that comes back says it its own way.
    if (auto const last = call.header("Last-Event-ID")) {
        std::uint64_t n = 0;
        auto const [end, ec] = std::from_chars(last->data(), last->data() + last->size(), n);
        if (ec == std::errc() && end == last->data() + last->size()) cursor = n;
    }
    auto producer = std::make_unique<EventStream>(services, std::move(watch), cursor);
    Answer answer = Answer::stream("text/event-stream", std::move(producer));
    answer.headers.set("Cache-Control", "no-cache");
    co_return answer;
}

Task<Result<Answer>> remove(Services& services, Call& call) {
    std::string const id = call.param("id");
    bool const known = co_await services.watches->remove(id);
    if (!known) co_return unknown(id);
    co_return Answer::empty(204);
}

Task<Result<Answer>> wait_for(Services& services, Call& call) {
    WaitQuery request;
    auto read = co_await read_request(call, request);
    if (!read) co_return Failure(read.error());
    auto path = path_of(services, request.path);
    if (!path) co_return Failure(path.error());
    auto const until = Deadline::in(services.loop.clock(), std::chrono::milliseconds(request.timeout_ms));
    auto done = co_await services.watches->wait(*services.files, *path,
                                                static_cast<fs::WaitFor>(request.what), until);
    if (!done) co_return Failure(done.error());
    WaitBody out;
    out.met = done->met;
    out.exists = done->exists;
    out.size = done->size;
    out.mtime_ns = done->mtime_ns;
    co_return answer_of(out);
}

}  // namespace

void add_watches(Services& services, std::vector<http::Row>& out) {
    Services* const s = &services;
    using Run = Task<Result<Answer>> (*)(Services&, Call&);
    auto const add = [&out, s](http::Row row, unsigned status, wire::Ops const* request,
                               wire::Ops const* reply, Run run) {
        row.request = request;
        row.statuses = {{status, reply, "application/json", "Done"}};
        row.on_disconnect = http::OnDisconnect::cancel;
        row.invoke = [s, run](Call& call) { return run(*s, call); };
        out.push_back(std::move(row));
    };
    auto begin =
        file_row("POST", "/execd/v1/files/watches", "startWatch", "Watches a directory or one path.");
    begin.body = http::BodyPolicy::json;
    add(std::move(begin), 201, &wire::Codec<WatchRequest>::ops, &wire::Codec<WatchBody>::ops, start);
    add(file_row("GET", "/execd/v1/files/watches/{id}", "watchEvents",
                 "Events after a cursor; waits for the first if told to."),
        200, &wire::Codec<EventsQuery>::ops, &wire::Codec<EventsBody>::ops, events);
    add(file_row("GET", "/execd/v1/files/watches/{id}/stream", "watchStream",
                 "The same as server-sent events; Last-Event-ID resumes."),
        200, &wire::Codec<EventsQuery>::ops, nullptr, stream);
    add(file_row("DELETE", "/execd/v1/files/watches/{id}", "endWatch", "Ends a watch."), 204, nullptr,
        nullptr, remove);
    add(file_row("GET", "/execd/v1/files/wait", "waitForPath",
                 "Waits until a path exists, is gone, or changes."),
        200, &wire::Codec<WaitQuery>::ops, &wire::Codec<WaitBody>::ops, wait_for);
}

}  // namespace execd::own::files
