#include "execd/dialects/own/executions.hpp"

#include <charconv>

#include "execd/http/wire/decode.hpp"
#include "execd/http/wire/encode.hpp"
#include "execd/idempotency.hpp"
#include "shell/executions.hpp"

namespace execd::own {

using http::Answer;
using http::Call;

namespace {

constexpr std::string_view kRoot = "/execd/v1/executions";
constexpr std::uint64_t kStopGrace = 2000;         // milliseconds
constexpr std::uint64_t kLongestWait = 3'600'000;  // milliseconds
constexpr auto kInputStall = std::chrono::seconds(60);

Failure unknown(std::string_view id) {
    return fail(Code::not_found, "execution", "no execution " + std::string(id));
}

// It travels into the environment, cgroup names and URLs.
Result<void> check_id(std::string_view id) {
    bool good = !id.empty() && id.size() <= 128 && id.front() != '.';
    for (char const c : id)
        good = good && ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                        c == '-' || c == '_' || c == '.');
    if (good) return {};
    return fail(Code::invalid_argument, "id",
                "1 to 128 of A-Z a-z 0-9 - _ . make an id, not beginning with a dot");
}

std::string canonical(ExecutionRequest request) {
    request.wait_ms = 0;  // how long the answer may take is no part of what is started
    std::string out;
    wire::encode(request, wire::EncodePolicy{}, out);
    return out;
}

Task<Result<Answer>> start(Services& services, Call& call, std::string id) {
    ExecutionRequest request;
    if (auto read = co_await read_body(call, request); !read) co_return Failure(read.error());
    std::string const text = canonical(request);
    std::string digest = request_digest(text);
    if (id.empty()) {
        auto const key = start_key(call, text);
        if (!key) co_return Failure(key.error());
        if (*key) id = (*key)->id;
    }
    Duration const wait = std::chrono::milliseconds(request.wait_ms);
    auto spec = spec_of(services, std::move(request));
    if (!spec) co_return Failure(spec.error());
    spec->id = std::move(id);
    spec->digest = std::move(digest);
    Result<shell::Executions::Attached> attached;
    if (spec->id.empty()) {
        auto started = co_await services.executions->start(std::move(*spec));
        if (!started) co_return Failure(started.error());
        attached = shell::Executions::Attached{std::move(*started), true};
    } else {
        attached = co_await services.executions->start_or_attach(std::move(*spec));
    }
    if (!attached) co_return Failure(attached.error());
    auto const run = attached->execution;
    if (wait > Duration::zero()) {
        bool const ended = co_await run->ended(Deadline::in(services.loop.clock(), wait));
        (void)ended;  // the view says which
    }
    ExecutionView view = view_of(*run);
    view.started_now = attached->started;
    Answer answer = json_answer(attached->started ? 201 : 200, view);
    answer.headers.set("Location", std::string(kRoot) + "/" + run->id());
    co_return answer;
}

Task<Result<Answer>> put(Services& services, Call& call) {
    std::string const id = call.param("id");
    if (auto good = check_id(id); !good) co_return Failure(good.error());
    co_return co_await start(services, call, id);
}

Task<Result<Answer>> post(Services& services, Call& call) { return start(services, call, {}); }

Result<Answer> list(Services& services, Call& call) {
    std::string const owner(call.query_value("owner").value_or(""));
    auto const label = call.query_value("label");
    auto const state = call.query_value("state");
    if (state && *state != "running" && *state != "ended")
        return fail(Code::invalid_argument, "state", "running or ended");
    ExecutionViews views;
    for (auto const& run : services.executions->list(owner)) {
        if (label && run->label() != *label) continue;
        if (state && run->running() != (*state == "running")) continue;
        views.push_back(view_of(*run));
    }
    return json_answer(200, views);
}

Task<Result<Answer>> get(Services& services, Call& call) {
    auto const run = services.executions->find(call.param("id"));
    if (!run) co_return unknown(call.param("id"));
    auto const wait = query_number(call, "wait_ms", 0);
    if (!wait) co_return Failure(wait.error());
    Duration const at_most = std::chrono::milliseconds(std::min(*wait, kLongestWait));
    if (at_most > Duration::zero()) {
        bool const ended = co_await run->ended(Deadline::in(services.loop.clock(), at_most));
        (void)ended;
    }
    co_return json_answer(200, view_of(*run));
}

// Piece by piece: what the child does not read stays with the client.
Task<Result<Answer>> input(Services& services, Call& call) {
    auto const run = services.executions->find(call.param("id"));
    if (!run) co_return unknown(call.param("id"));
    auto const eof = query_flag(call, "eof", false);
    if (!eof) co_return Failure(eof.error());
    InputResult result;
    for (;;) {
        auto piece = co_await call.body->next();
        if (!piece) co_return Failure(piece.error());
        if (piece->empty()) break;
        std::string bytes(*piece);
        std::size_t const size = bytes.size();
        auto done = co_await run->write(std::move(bytes), Deadline::in(services.loop.clock(), kInputStall));
        if (!done) {
            Error error = done.error();
            error.detail += " (after " + std::to_string(result.written) + " bytes)";
            co_return Failure(std::move(error));
        }
        result.written += size;
    }
    if (*eof) {
        if (auto closed = run->close_input(); !closed) co_return Failure(closed.error());
    }
    co_return json_answer(200, result);
}

Task<Result<Answer>> send_signal(Services& services, Call& call) {
    auto const run = services.executions->find(call.param("id"));
    if (!run) co_return unknown(call.param("id"));
    SignalRequest request;
    if (auto read = co_await read_body(call, request); !read) co_return Failure(read.error());
    int const number = shell::signal_number(request.signal);
    if (number == 0) co_return fail(Code::invalid_argument, "signal", "no signal " + request.signal);
    auto const done = run->terminal() ? run->signal_foreground(number) : run->signal(number);
    if (!done) co_return Failure(done.error());
    co_return Answer::empty(204);
}

Task<Result<Answer>> resize(Services& services, Call& call) {
    auto const run = services.executions->find(call.param("id"));
    if (!run) co_return unknown(call.param("id"));
    TerminalSize size;
    if (auto read = co_await read_body(call, size); !read) co_return Failure(read.error());
    if (auto done = run->resize({size.columns, size.rows}); !done) co_return Failure(done.error());
    co_return Answer::empty(204);
}

// Ends what runs, also what an ended one left running, then forgets it. The answer is the last that will be
// known of it.
Task<Result<Answer>> remove(Services& services, Call& call) {
    auto const run = services.executions->find(call.param("id"));
    if (!run) co_return unknown(call.param("id"));
    auto const grace = query_number(call, "grace_ms", kStopGrace);
    if (!grace) co_return Failure(grace.error());
    co_await run->stop(std::chrono::milliseconds(std::min<std::uint64_t>(*grace, 60'000)));
    Answer answer = json_answer(200, view_of(*run));
    (void)services.executions->remove(run->id());
    co_return answer;
}

http::Row row_of(std::string_view method, std::string_view path, std::string_view operation,
                 std::string_view doc) {
    http::Row row;
    row.tag = "Executions";
    row.method = method;
    row.path = std::string(kRoot) + std::string(path);
    row.operation_id = operation;
    row.doc = doc;
    return row;
}

http::Row start_row(std::string_view method, std::string_view path, std::string_view operation,
                    std::string_view doc) {
    http::Row row = row_of(method, path, operation, doc);
    row.body = http::BodyPolicy::json;
    row.body_limit = 128U << 20;
    row.on_disconnect = http::OnDisconnect::keep;  // a start that was asked for happens
    row.request = &wire::Codec<ExecutionRequest>::ops;
    row.statuses = {{200, &wire::Codec<ExecutionView>::ops, "application/json", "It was there: attached"},
                    {201, &wire::Codec<ExecutionView>::ops, "application/json", "Started"},
                    {400, nullptr, "application/json", "Bad request"},
                    {409, nullptr, "application/json", "Started before with another request"}};
    return row;
}

http::Row::Status view_status() {
    return {200, &wire::Codec<ExecutionView>::ops, "application/json", "The execution"};
}

}  // namespace

Task<Result<void>> read_body(Call& call, wire::Ops const& ops, void* out) {
    auto body = co_await call.body->read_all(call.row->body_limit);
    if (!body) co_return Failure(body.error());
    wire::Policy policy;
    policy.null_is_absent = true;
    policy.reject_unknown = true;
    wire::Sources from;
    from.body_text = *body;
    wire::Faults faults;
    if (wire::decode(ops, out, from, policy, faults)) co_return Result<void>();
    std::string text;
    for (auto const& fault : faults) {
        if (!text.empty()) text += "; ";
        text += wire::dotted(fault.loc) + ": " + fault.message;
    }
    co_return fail(Code::invalid_argument, "request", std::move(text));
}

Answer json_answer(unsigned status, wire::Ops const& ops, void const* value) {
    std::string out;
    wire::encode(ops, value, wire::EncodePolicy{}, out);
    return Answer::bytes(status, "application/json", std::move(out));
}

Result<std::uint64_t> query_number(Call const& call, std::string_view name, std::uint64_t otherwise) {
    auto const text = call.query_value(name);
    if (!text) return otherwise;
    std::uint64_t value = 0;
    auto const [end, ec] = std::from_chars(text->data(), text->data() + text->size(), value);
    if (ec != std::errc() || end != text->data() + text->size())
        return fail(Code::invalid_argument, name, "a whole number is expected");
    return value;
}

Result<bool> query_flag(Call const& call, std::string_view name, bool otherwise) {
    auto const text = call.query_value(name);
    if (!text) return otherwise;
    if (*text == "true" || *text == "1") return true;
    if (*text == "false" || *text == "0") return false;
    return fail(Code::invalid_argument, name, "true or false is expected");
}

std::vector<http::Row> execution_rows(Services& services) {
    Services* s = &services;
    std::vector<http::Row> out;
    out.push_back(
        start_row("PUT", "/{id}", "putExecution",
                  "Starts an execution under this id, or attaches to it when the same request started it."));
    out.back().invoke = [s](Call& call) { return put(*s, call); };
    out.push_back(
        start_row("POST", "", "startExecution",
                  "Starts an execution under a new id; with Idempotency-Key the same request attaches."));
    out.back().invoke = [s](Call& call) { return post(*s, call); };

    out.push_back(
        row_of("GET", "", "listExecutions", "Executions, oldest first (?owner=, ?label=, ?state=)."));
    out.back().statuses = {{200, &wire::Codec<ExecutionViews>::ops, "application/json", "Executions"}};
    out.back().sync = [s](Call& call) { return list(*s, call); };
    out.push_back(row_of("GET", "/{id}", "getExecution", "State; ?wait_ms= waits that long for the end."));
    out.back().statuses = {view_status()};
    out.back().invoke = [s](Call& call) { return get(*s, call); };
    out.push_back(output_row(services));

    out.push_back(row_of("POST", "/{id}/input", "writeExecution",
                         "Writes the body to stdin or the terminal; ?eof=true ends it."));
    out.back().body = http::BodyPolicy::raw;
    out.back().body_limit = 1ULL << 40;
    out.back().on_disconnect = http::OnDisconnect::keep;
    out.back().statuses = {{200, &wire::Codec<InputResult>::ops, "application/json", "Written"}};
    out.back().invoke = [s](Call& call) { return input(*s, call); };
    out.push_back(row_of("POST", "/{id}/signal", "signalExecution",
                         "Sends a signal to the process group, or to the terminal's foreground job."));
    out.back().body = http::BodyPolicy::json;
    out.back().request = &wire::Codec<SignalRequest>::ops;
    out.back().statuses = {{204, nullptr, "", "Sent"}};
    out.back().invoke = [s](Call& call) { return send_signal(*s, call); };
    out.push_back(row_of("POST", "/{id}/resize", "resizeExecution", "Sets the terminal's size."));
    out.back().body = http::BodyPolicy::json;
    out.back().request = &wire::Codec<TerminalSize>::ops;
    out.back().statuses = {{204, nullptr, "", "Done"}};
    out.back().invoke = [s](Call& call) { return resize(*s, call); };
    out.push_back(row_of("DELETE", "/{id}", "deleteExecution",
                         "Ends the whole tree (TERM, after ?grace_ms= KILL; KILL for what an ended one left "
                         "running) and forgets it."));
    out.back().on_disconnect = http::OnDisconnect::keep;
    out.back().statuses = {view_status()};
    out.back().invoke = [s](Call& call) { return remove(*s, call); };
    return out;
}

}  // namespace execd::own
