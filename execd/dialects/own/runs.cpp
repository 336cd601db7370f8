// /execd/v1/runs (docs/own-api-contexts.md).
#include "execd/dialects/own/contexts.hpp"

namespace execd::own {

using http::Answer;
using http::Call;

namespace {

using Found = kernels::Contexts::Found;

Error forgotten(std::string const& id) {
    return Error{Code::gone, "", 0, "run " + id + " has ended; its outcome and outputs are no longer kept"};
}

Result<Found> run_of(Services& services, Call& call) {
    auto found = services.contexts->find_run(call.param("id"));
    if (found.run) return found;
    if (services.contexts->was_forgotten(call.param("id")))
        return tl::unexpected(forgotten(call.param("id")));
    return fail(Code::not_found, "", "no run " + call.param("id"));
}

using Submitted = kernels::Contexts::Submitted;

// Queues the run, or finds the one that has its id.
Task<Result<Submitted>> submit(Services& services, RunRequest const& request, kernels::RunSpec spec) {
    auto& contexts = *services.contexts;
    if (request.context && request.language)
        co_return fail(Code::invalid_argument, "", "body: context and language exclude each other");
    if (request.id) {
        if (auto known = contexts.find_run(*request.id); known.run)
            co_return Submitted{std::move(known), false};
        if (contexts.was_forgotten(*request.id)) co_return tl::unexpected(forgotten(*request.id));
    }
    if (!request.context) {
        bool const leaves = request.on_disconnect == Leave::interrupt;
        std::string language = request.language.value_or("python");
        co_return co_await contexts.submit_default(std::move(language), std::move(spec), leaves);
    }
    auto context = contexts.find(*request.context);
    if (!context) co_return fail(Code::not_found, "", "no context " + *request.context);
    auto run = context->submit(std::move(spec));
    if (!run) co_return tl::unexpected(run.error());
    Found found{std::move(context), *std::move(run)};
    co_return Submitted{std::move(found), true};
}

bool same_place(Services& services, RunRequest const& request, kernels::Context const& context) {
    if (request.context) return context.id() == *request.context;
    return services.contexts->is_default(context, request.language.value_or("python"));
}

Result<kernels::RunSpec> spec_of(RunRequest const& request) {
    if (request.cwd && !request.cwd->starts_with('/'))
        return fail(Code::invalid_argument, "", "body.cwd: not an absolute path");
    kernels::RunSpec spec;
    spec.id = request.id.value_or("");
    spec.code = request.code;
    spec.cwd = request.cwd;
    spec.env = request.env;
    spec.timeout = std::chrono::milliseconds(request.timeout_ms);
    spec.allow_stdin = request.allow_stdin;
    spec.store_history = request.store_history;
    spec.silent = request.silent;
    for (auto const& [name, text] : request.user_expressions) spec.user_expressions[name] = text;
    return spec;
}

Task<Result<Answer>> answer_with(Services& services, Call& call, Found found, RunRequest const& request,
                                 unsigned status) {
    if (wants_events(call)) {
        auto answer = run_events(services, found.context, found.run, 0, request.on_disconnect);
        answer.headers.set("Location", "/execd/v1/runs/" + found.run->id());
        co_return answer;
    }
    auto& clock = services.loop.clock();
    auto const until = Deadline::in(clock, std::chrono::milliseconds(request.wait_ms));
    // Whatever ends the wait before its time, it is the client that went.
    struct Guard {
        Found const& found;
        bool armed;
        ~Guard() {
            if (armed && found.run->state() != kernels::RunState::finished)
                (void)found.context->cancel(found.run->id());
        }
    } guard{found, request.on_disconnect == Leave::interrupt};
    if (request.wait_ms > 0) co_await found.run->wait(clock, until);
    guard.armed = false;
    auto answer = json_answer(described(*found.context, *found.run), status);
    answer.headers.set("Location", "/execd/v1/runs/" + found.run->id());
    co_return answer;
}

// `by_id`: the caller named the run, so the same request again is the same run.
Task<Result<Answer>> start(Services& services, Call& call, bool by_id) {
    RunRequest request;
    if (auto read = co_await read_request(call, request); !read) co_return tl::unexpected(read.error());
    if (by_id) {
        if (request.id && *request.id != call.param("id"))
            co_return fail(Code::invalid_argument, "", "body.id: differs from the path's");
        request.id = call.param("id");
    }
    auto spec = spec_of(request);
    if (!spec) co_return tl::unexpected(spec.error());
    auto submitted = co_await submit(services, request, *spec);
    if (!submitted) co_return tl::unexpected(submitted.error());
    auto const& found = submitted->found;
    bool const same =
        by_id && found.run->spec().same_work(*spec) && same_place(services, request, *found.context);
    if (!submitted->created && !same)
        co_return fail(by_id ? Code::conflict : Code::already_exists, "",
                       "run " + *request.id + " was started with another request");
    unsigned const status = submitted->created ? 201 : 200;
    co_return co_await answer_with(services, call, std::move(submitted->found), request, status);
}

Task<Result<Answer>> list(Services& services, Call& call) {
    ListQuery query;
    if (auto read = co_await read_request(call, query); !read) co_return tl::unexpected(read.error());
    RunList out;
    for (auto const& context : services.contexts->list(query.language)) {
        if (!query.context.empty() && context->id() != query.context) continue;
        for (auto const& run : context->runs())
            if (query.state.empty() || to_string(run->state()) == query.state)
                out.runs.push_back(described(*context, *run));
    }
    co_return json_answer(out);
}

Result<Answer> get(Services& services, Call& call) {
    auto found = run_of(services, call);
    if (!found) return tl::unexpected(found.error());
    return json_answer(described(*found->context, *found->run));
}

Result<Answer> cancel(Services& services, Call& call) {
    auto found = run_of(services, call);
    if (!found) return tl::unexpected(found.error());
    if (auto done = found->context->cancel(found->run->id()); !done) return tl::unexpected(done.error());
    return json_answer(described(*found->context, *found->run), 202);
}

Task<Result<Answer>> input(Services& services, Call& call) {
    auto found = run_of(services, call);
    if (!found) co_return tl::unexpected(found.error());
    InputAnswer request;
    if (auto read = co_await read_request(call, request); !read) co_return tl::unexpected(read.error());
    auto told = found->context->answer_input(found->run->id(), request.text);
    if (!told) co_return tl::unexpected(told.error());
    co_return Answer::empty(204);
}

Task<Result<Answer>> outputs(Services& services, Call& call) {
    auto found = run_of(services, call);
    if (!found) co_return tl::unexpected(found.error());
    OutputsQuery query;
    if (auto read = co_await read_request(call, query); !read) co_return tl::unexpected(read.error());
    auto from = start_of(query);
    if (!from) co_return tl::unexpected(from.error());
    if (wants_events(call))
        co_return run_events(services, found->context, found->run, *from, query.on_disconnect);
    std::shared_ptr<kernels::OutputLog> log(found->run, &found->run->log());
    co_return co_await page_answer(services, std::move(log), *from, std::move(query));
}

}  // namespace

std::vector<http::Row> runs_rows(Services& services) {
    Services* s = &services;
    RowTable rows("Code runs", "runs");
    http::Row::Status const one{200, &wire::Codec<RunInfo>::ops, "application/json", "The run, or events"};
    http::Row::Status const made{201, &wire::Codec<RunInfo>::ops, "application/json",
                                 "The new run, or events"};
    constexpr std::uint64_t kCode = 64U << 20;

    auto& all = rows.add("GET", "", "listRuns", "Runs that are queued, running or still remembered.",
                         {{200, &wire::Codec<RunList>::ops, "application/json", "Runs"}});
    all.request = &wire::Codec<ListQuery>::ops;
    all.invoke = [s](Call& call) { return list(*s, call); };
    auto& post = rows.add_with_body(
        wire::Codec<RunRequest>::ops, "POST", "", "startRun",
        "Queues code in a context. With Accept: text/event-stream its events, else the run.", {made});
    post.body_limit = kCode;
    post.invoke = [s](Call& call) { return start(*s, call, false); };
    auto& put = rows.add_with_body(wire::Codec<RunRequest>::ops, "PUT", "/{id}", "putRun",
                                   "The same with the caller's id: sent again it gives the run that it made.",
                                   {made, one});
    put.body_limit = kCode;
    put.invoke = [s](Call& call) { return start(*s, call, true); };
    rows.add("GET", "/{id}", "getRun", "State, place in the queue, outcome.", {one}).sync = [s](Call& call) {
        return get(*s, call);
    };
    rows.add("DELETE", "/{id}", "cancelRun", "Out of the queue, or interrupted.",
             {{202, &wire::Codec<RunInfo>::ops, "application/json", "The run"}})
        .sync = [s](Call& call) { return cancel(*s, call); };
    auto& answer = rows.add_with_body(wire::Codec<InputAnswer>::ops, "POST", "/{id}/input", "answerInput",
                                      "The line that input() waits for.", {{204, nullptr, "", "Done"}});
    answer.invoke = [s](Call& call) { return input(*s, call); };
    auto& replay =
        rows.add("GET", "/{id}/outputs", "getRunOutputs",
                 "Outputs from a number on: a page, or with Accept: text/event-stream as they come, "
                 "resumed by Last-Event-ID.",
                 {{200, &wire::Codec<OutputPage>::ops, "application/json", "Outputs, or events"}});
    replay.request = &wire::Codec<OutputsQuery>::ops;
    replay.invoke = [s](Call& call) { return outputs(*s, call); };
    return rows.take();
}

}  // namespace execd::own
