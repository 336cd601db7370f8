// /execd/v1/kernelspecs and /execd/v1/contexts (docs/own-api-contexts.md).
#include "execd/dialects/own/contexts.hpp"

#include "base/utf8.hpp"
#include "kernels/kernel.hpp"

namespace execd::own {

using http::Answer;
using http::Call;

namespace {

std::int64_t milliseconds(Duration d) {
    return std::chrono::duration_cast<std::chrono::milliseconds>(d).count();
}

std::string_view name_of(kernels::Interrupt interrupt) {
    switch (interrupt) {
        case kernels::Interrupt::signal: return "signal";
        case kernels::Interrupt::message: return "message";
        case kernels::Interrupt::restart: return "restart";
    }
    return "?";
}

ContextInfo described(Services& services, kernels::Context const& context) {
    ContextInfo out;
    out.id = context.id();
    out.language = context.language();
    out.kernel = context.kernelspec().name;
    out.state = to_string(context.state());
    out.cwd = context.spec().cwd;
    out.created_at = stamp_of(context.created());
    out.idle_ms = milliseconds(services.loop.clock().now() - context.last_active());
    out.idle_timeout_ms = milliseconds(context.spec().idle_timeout.value_or(Duration::zero()));
    out.generation = context.generation();
    out.queued = context.queued();
    if (!context.death().empty()) out.death = context.death();
    if (!context.death_kind().empty()) out.death_cause = context.death_kind();
    if (auto const run = context.current()) out.run = run->id();
    kernels::Kernel* const kernel = context.kernel();
    if (kernel == nullptr) return out;
    out.start = std::string(to_string(kernel->kind()));
    if (!kernel->why_cold().empty()) out.why_cold = kernel->why_cold();
    out.not_enforced = kernel->not_enforced();
    out.pid = kernel->pid();
    auto const& info = kernel->client().info();
    auto const implementation = kernels::text_of(info, "implementation");
    if (!implementation.empty())
        out.implementation = implementation + " " + kernels::text_of(info, "implementation_version");
    out.silence_ms = milliseconds(kernel->silence());
    auto const& counts = kernel->client().counts();
    out.messages = MessageCounts{counts.received, counts.dropped(), counts.malformed, counts.unmatched};
    return out;
}

Task<Result<Answer>> list_kernelspecs(Services& services, Call&) {
    auto specs = co_await services.contexts->kernelspecs();
    if (!specs) co_return tl::unexpected(specs.error());
    KernelspecList out;
    for (auto const& spec : (*specs)->all())
        out.kernelspecs.push_back({spec.name, spec.language, spec.display_name, spec.dir,
                                   spec.transport == kernels::Transport::ipc ? "ipc" : "tcp",
                                   std::string(name_of(spec.interrupt))});
    for (auto const& problem : (*specs)->problems()) out.problems.push_back({problem.path, problem.what});
    co_return json_answer(out);
}

Result<kernels::ContextSpec> spec_of(ContextRequest request) {
    auto const wrong = [](std::string why) { return fail(Code::invalid_argument, "", std::move(why)); };
    if (!request.cwd.empty() && !request.cwd.starts_with('/')) return wrong("body.cwd: not an absolute path");
    if (request.gid && !request.uid) return wrong("body.gid: needs uid");
    for (auto const& [name, value] : request.env)
        if (name.empty() || name.find_first_of(std::string_view("=\0", 2)) != std::string::npos ||
            value.find('\0') != std::string::npos)
            return wrong("body.env: " + name + " cannot be an environment variable");
    kernels::ContextSpec spec;
    spec.id = request.id.value_or("");
    spec.language = std::move(request.language);
    spec.cwd = std::move(request.cwd);
    spec.env = std::move(request.env);
    if (request.uid) spec.identity = shell::Identity{*request.uid, request.gid.value_or(*request.uid), {}};
    spec.resources = {request.limits.memory, request.limits.pids, request.limits.cpu};
    if (request.idle_timeout_ms) spec.idle_timeout = std::chrono::milliseconds(*request.idle_timeout_ms);
    spec.heartbeat_timeout = std::chrono::milliseconds(request.heartbeat_timeout_ms);
    spec.revive = request.revive;
    return spec;
}

Task<Result<Answer>> create(Services& services, Call& call) {
    ContextRequest request;
    if (auto read = co_await read_request(call, request); !read) co_return tl::unexpected(read.error());
    auto spec = spec_of(std::move(request));
    if (!spec) co_return tl::unexpected(spec.error());
    auto made = co_await services.contexts->create(*std::move(spec));
    if (!made) co_return tl::unexpected(made.error());
    co_return json_answer(described(services, **made), 201);
}

Task<Result<Answer>> put(Services& services, Call& call) {
    ContextRequest request;
    if (auto read = co_await read_request(call, request); !read) co_return tl::unexpected(read.error());
    if (request.id && *request.id != call.param("id"))
        co_return fail(Code::invalid_argument, "", "body.id: differs from the path's");
    request.id = call.param("id");
    auto spec = spec_of(std::move(request));
    if (!spec) co_return tl::unexpected(spec.error());
    auto made = co_await services.contexts->create_or_attach(*std::move(spec));
    if (!made) co_return tl::unexpected(made.error());
    co_return json_answer(described(services, *made->context), made->created ? 201 : 200);
}

Task<Result<Answer>> list(Services& services, Call& call) {
    ListQuery query;
    if (auto read = co_await read_request(call, query); !read) co_return tl::unexpected(read.error());
    ContextList out;
    for (auto const& context : services.contexts->list(query.language))
        out.contexts.push_back(described(services, *context));
    co_return json_answer(out);
}

Result<Answer> get(Services& services, Call& call) {
    auto context = context_of(services, call);
    if (!context) return tl::unexpected(context.error());
    return json_answer(described(services, **context));
}

Task<Result<Answer>> remove(Services& services, Call& call) {
    auto done = co_await services.contexts->remove(call.param("id"));
    if (!done) co_return tl::unexpected(done.error());
    co_return Answer::empty(204);
}

Task<Result<Answer>> restart(Services& services, Call& call) {
    auto context = context_of(services, call);
    if (!context) co_return tl::unexpected(context.error());
    auto const deadline = Deadline::in(services.loop.clock(), services.contexts->options().start_timeout);
    auto done = co_await (*context)->restart(deadline);
    if (!done) co_return tl::unexpected(done.error());
    co_return json_answer(described(services, **context));
}

Task<Result<Answer>> interrupt(Services& services, Call& call) {
    auto context = context_of(services, call);
    if (!context) co_return tl::unexpected(context.error());
    InterruptQuery query;
    if (auto read = co_await read_request(call, query); !read) co_return tl::unexpected(read.error());
    auto const run = (*context)->current();
    auto ended = co_await (*context)->interrupt(std::chrono::milliseconds(query.wait_ms));
    if (!ended) co_return tl::unexpected(ended.error());
    if (*ended) co_return Answer::empty(204);
    co_return json_answer(own::described(**context, *run), 202);
}

enum class Ask { complete, inspect, is_complete };

// The kernel's own reply, as the protocol has it.
Answer reply(kernels::Json const& content) {
    return Answer::bytes(200, "application/json", kernels::dump_json(content));
}

Task<Result<Answer>> ask(Services& services, Call& call, Ask what) {
    auto context = context_of(services, call);
    if (!context) co_return tl::unexpected(context.error());
    CodeRequest request;
    if (auto read = co_await read_request(call, request); !read) co_return tl::unexpected(read.error());
    auto const deadline = Deadline::in(services.loop.clock(), std::chrono::milliseconds(request.timeout_ms));
    std::size_t points = 0;
    for (char const c : request.code)
        if ((static_cast<unsigned char>(c) & 0xC0U) != 0x80U) ++points;
    std::size_t const cursor = std::min<std::size_t>(request.cursor.value_or(points), points);
    kernels::Json content = {{"code", request.code}};
    char const* type = "is_complete_request";
    if (what != Ask::is_complete) {
        type = what == Ask::complete ? "complete_request" : "inspect_request";
        content["cursor_pos"] = cursor;
        if (what == Ask::inspect) content["detail_level"] = request.detail;
    }
    auto answer = co_await (*context)->request(type, std::move(content), deadline);
    if (!answer) co_return tl::unexpected(answer.error());
    co_return reply(*answer);
}

Task<Result<Answer>> history(Services& services, Call& call) {
    auto context = context_of(services, call);
    if (!context) co_return tl::unexpected(context.error());
    HistoryQuery query;
    if (auto read = co_await read_request(call, query); !read) co_return tl::unexpected(read.error());
    auto const deadline = Deadline::in(services.loop.clock(), std::chrono::milliseconds(query.timeout_ms));
    auto answer = co_await (*context)->history(query.last, deadline);
    if (!answer) co_return tl::unexpected(answer.error());
    co_return reply(*answer);
}

Task<Result<Answer>> comms(Services& services, Call& call) {
    auto context = context_of(services, call);
    if (!context) co_return tl::unexpected(context.error());
    auto const deadline = Deadline::in(services.loop.clock(), std::chrono::seconds(30));
    kernels::Json nothing = kernels::Json::object();
    auto answer = co_await (*context)->request("comm_info_request", std::move(nothing), deadline);
    if (!answer) co_return tl::unexpected(answer.error());
    co_return reply(*answer);
}

Task<Result<Answer>> send_comm(Services& services, Call& call) {
    auto context = context_of(services, call);
    if (!context) co_return tl::unexpected(context.error());
    CommRequest request;
    if (auto read = co_await read_request(call, request); !read) co_return tl::unexpected(read.error());
    if (!request.data.is_object() || !request.metadata.is_object())
        co_return fail(Code::invalid_argument, "", "data and metadata are objects");
    kernels::Json content = {{"comm_id", request.comm_id}, {"data", std::move(request.data)}};
    char const* type = "comm_msg";
    if (request.type == CommType::comm_close) type = "comm_close";
    if (request.type == CommType::comm_open) {
        type = "comm_open";
        content["target_name"] = request.target_name;
    }
    std::vector<std::string> buffers;
    for (auto& buffer : request.buffers) buffers.push_back(std::move(buffer.data));
    auto sent = (*context)->comm(type, std::move(content), std::move(request.metadata), std::move(buffers));
    if (!sent) co_return tl::unexpected(sent.error());
    co_return Answer::empty(202);
}

Task<Result<Answer>> outputs(Services& services, Call& call) {
    auto context = context_of(services, call);
    if (!context) co_return tl::unexpected(context.error());
    OutputsQuery query;
    if (auto read = co_await read_request(call, query); !read) co_return tl::unexpected(read.error());
    auto from = start_of(query);
    if (!from) co_return tl::unexpected(from.error());
    if (wants_events(call)) co_return context_events(services, *std::move(context), *from);
    std::shared_ptr<kernels::OutputLog> log(*context, &(*context)->background());
    co_return co_await page_answer(services, std::move(log), *from, std::move(query));
}

using Statuses = std::vector<http::Row::Status>;

http::Row::Status one(unsigned status, std::string doc) {
    return {status, &wire::Codec<ContextInfo>::ops, "application/json", std::move(doc)};
}

// Made, seen, ended.
void add_lives(Services* s, RowTable& rows) {
    rows.add("GET", "kernelspecs", "listKernelspecs", "The kernels that are installed.",
             {{200, &wire::Codec<KernelspecList>::ops, "application/json", "Kernelspecs"}})
        .invoke = [s](Call& call) { return list_kernelspecs(*s, call); };
    auto& all = rows.add("GET", "contexts", "listCodeContexts", "Contexts, oldest first.",
                         {{200, &wire::Codec<ContextList>::ops, "application/json", "Contexts"}});
    all.request = &wire::Codec<ListQuery>::ops;
    all.invoke = [s](Call& call) { return list(*s, call); };
    auto const& body = wire::Codec<ContextRequest>::ops;
    rows.add_with_body(body, "POST", "contexts", "createCodeContext",
                       "Makes a context; answers when its kernel does.", {one(201, "The new context")})
        .invoke = [s](Call& call) { return create(*s, call); };
    auto& put_row = rows.add_with_body(body, "PUT", "contexts/{id}", "putCodeContext",
                                       "The same with the caller's id: sent again it makes nothing new.",
                                       {one(201, "The new context"), one(200, "The context")});
    // Who sends it again shall find what the lost call began.
    put_row.on_disconnect = http::OnDisconnect::keep;
    put_row.invoke = [s](Call& call) { return put(*s, call); };
    rows.add("GET", "contexts/{id}", "getCodeContext", "One context.", {one(200, "The context")}).sync =
        [s](Call& call) { return get(*s, call); };
    auto& gone = rows.add("DELETE", "contexts/{id}", "deleteCodeContext", "Ends a context and its runs.",
                          {{204, nullptr, "", "Done"}});
    gone.on_disconnect = http::OnDisconnect::keep;
    gone.invoke = [s](Call& call) { return remove(*s, call); };
    auto& again = rows.add("POST", "contexts/{id}/restart", "restartCodeContext",
                           "A fresh kernel; queued runs stay.", {one(200, "The context")});
    again.on_disconnect = http::OnDisconnect::keep;
    again.invoke = [s](Call& call) { return restart(*s, call); };
    auto& stop = rows.add(
        "POST", "contexts/{id}/interrupt", "interruptCodeContext",
        "Interrupts what runs. 204: nothing of it runs any more; 202: it was told, and is still at "
        "work.",
        {{204, nullptr, "", "Done"}, {202, &wire::Codec<RunInfo>::ops, "application/json", "The run"}});
    stop.request = &wire::Codec<InterruptQuery>::ops;
    stop.invoke = [s](Call& call) { return interrupt(*s, call); };
}

// What its kernel is asked and told.
void add_questions(Services* s, RowTable& rows) {
    Statuses const kernel{{200, nullptr, "application/json", "The kernel's reply"}};
    auto const& code = wire::Codec<CodeRequest>::ops;
    rows.add_with_body(code, "POST", "contexts/{id}/complete", "completeCode",
                       "complete_request of the kernel.", kernel)
        .invoke = [s](Call& call) { return ask(*s, call, Ask::complete); };
    rows.add_with_body(code, "POST", "contexts/{id}/inspect", "inspectCode", "inspect_request of the kernel.",
                       kernel)
        .invoke = [s](Call& call) { return ask(*s, call, Ask::inspect); };
    rows.add_with_body(code, "POST", "contexts/{id}/is_complete", "isCodeComplete",
                       "is_complete_request of the kernel.", kernel)
        .invoke = [s](Call& call) { return ask(*s, call, Ask::is_complete); };
    auto& past = rows.add("GET", "contexts/{id}/history", "getCodeHistory", "The last inputs.", kernel);
    past.request = &wire::Codec<HistoryQuery>::ops;
    past.invoke = [s](Call& call) { return history(*s, call); };
    rows.add("GET", "contexts/{id}/comms", "listComms", "comm_info_request of the kernel.", kernel).invoke =
        [s](Call& call) { return comms(*s, call); };
    auto& comm = rows.add_with_body(wire::Codec<CommRequest>::ops, "POST", "contexts/{id}/comms", "sendComm",
                                    "A comm message to the kernel.",
                                    {{202, nullptr, "", "Sent; no reply belongs to it"}});
    comm.body_limit = 64U << 20;
    comm.invoke = [s](Call& call) { return send_comm(*s, call); };
    auto& background =
        rows.add("GET", "contexts/{id}/outputs", "getContextOutputs",
                 "Outputs that belong to no running run (comms, threads): a page, or with Accept: "
                 "text/event-stream as they come.",
                 {{200, &wire::Codec<OutputPage>::ops, "application/json", "Outputs, or events"}});
    background.request = &wire::Codec<OutputsQuery>::ops;
    background.invoke = [s](Call& call) { return outputs(*s, call); };
}

}  // namespace

std::vector<http::Row> contexts_rows(Services& services) {
    RowTable rows("Code contexts", "");
    add_lives(&services, rows);
    add_questions(&services, rows);
    return rows.take();
}

}  // namespace execd::own
