// /session* (contracts/opensandbox.md §1.7, §10, §13; opensandbox-1.1.md §1, §4).
#include "shell/sessions.hpp"

#include "execd/dialects/opensandbox/bodies.hpp"
#include "execd/dialects/opensandbox/claims.hpp"
#include "execd/dialects/opensandbox/dialect.hpp"
#include "execd/dialects/opensandbox/parts.hpp"
#include "execd/dialects/opensandbox/repeated_start.hpp"
#include "execd/dialects/opensandbox/schemas_shell.hpp"
#include "execd/dialects/opensandbox/session_stream.hpp"
#include "execd/dialects/opensandbox/working_directory.hpp"

namespace execd::opensandbox {

using http::Answer;
using http::Call;

namespace {

constexpr std::string_view kCreating = "error creating session. ";
constexpr std::string_view kRunning = "error running in session. ";
constexpr std::string_view kParsing = "error parsing request. ";
constexpr std::string_view kInvalid = "invalid request. ";

unsigned status_of(Error const& error) {
    return error.code == Code::exhausted || error.code == Code::unavailable ? 503 : 500;
}

Answer created(shell::Session const& session) {
    SessionCreated body;
    body.session_id = session.id();
    return json(to_json(body));
}

Task<Result<Answer>> create_session(Services& services, Call& call) {
    CreateSessionRequest request;
    BodyTexts const texts{kParsing, kInvalid, true};
    if (auto refused = co_await read_body(call, request, texts)) co_return std::move(*refused);
    auto const key = start_key(call, call.header(kIdempotencyKey) ? to_json(request) : std::string());
    if (!key) co_return refusal(400, code::kBody, std::string(kInvalid) + key.error().message());
    shell::Session::Options options;
    if (*key) {
        options.id = dashed((*key)->id);
        options.digest = (*key)->digest;
        // Before its directory is looked at, which may have gone since.
        if (auto const found = services.sessions->find(options.id)) {
            bool const same = found->digest() == options.digest && sees(call, found->owner());
            co_return same ? created(*found) : other_request();
        }
    }
    options.environment = environment_of(services, call);
    options.owner = claim_id(call);
    options.merge_output = true;
    options.journal.keep = shell::Keep::window;  // a command's stream is its only reader
    options.cwd = services.config.cwd;
    if (!request.cwd.empty()) {
        auto directory = co_await made_directory(services, request.cwd, options.environment);
        if (!directory.refused.empty())
            co_return refusal(500, code::kRuntime, std::string(kCreating) + directory.refused);
        options.cwd = directory.path;
    }
    Result<std::shared_ptr<shell::Session>> opened;
    if (*key)
        opened = co_await services.sessions->open_or_attach(std::move(options));
    else
        opened = co_await services.sessions->open(std::move(options));
    if (!opened && opened.error().code == Code::conflict) co_return other_request();
    if (!opened)
        co_return refusal(status_of(opened.error()), code::kRuntime,
                          std::string(kCreating) + opened.error().message());
    co_return created(**opened);
}

Answer not_run(Services& services, shell::Session const& session, Error const& error) {
    if (error.code == Code::invalid_argument)
        return refusal(400, code::kBody, std::string(kInvalid) + error.message());
    if (error.code == Code::already_exists) return other_request();
    // §13.9: busy is an event, what else keeps a command from starting is an answer.
    if (error.code == Code::conflict) return refused_run(services, session.id(), "session is busy");
    return refusal(status_of(error), code::kRuntime, std::string(kRunning) + error.message());
}

Task<Result<Answer>> run_in_session(Services& services, Call& call) {
    RunInSessionRequest request;
    BodyTexts const texts{kParsing, kInvalid, false};
    if (auto refused = co_await read_body(call, request, texts)) co_return std::move(*refused);
    auto const key = start_key(call, call.header(kIdempotencyKey) ? to_json(request) : std::string());
    if (!key) co_return refusal(400, code::kBody, std::string(kInvalid) + key.error().message());
    auto session = services.sessions->find(call.param("sessionId"));
    if (!session || !sees(call, session->owner()))
        co_return refusal(500, code::kRuntime, std::string(kRunning) + "context not found");
    Duration const timeout =
        std::chrono::milliseconds(std::min<std::int64_t>(request.timeout, std::int64_t{1} << 42));
    shell::Session::RunSpec spec;
    if (*key) {
        spec.id = (*key)->id;
        spec.digest = (*key)->digest;
        // Before its directory is looked at, which may have gone since.
        if (auto run = session->find(spec.id)) {
            if (run->digest() != spec.digest) co_return other_request();
            co_return session_stream(services, call, std::move(session), std::move(run), timeout);
        }
    }
    spec.environment = environment_of(services, call);
    shell::Environment names = *spec.environment;
    names.overlay(request.envs);
    if (!request.cwd.empty()) {
        auto directory = co_await existing_directory(services, request.cwd, names);
        if (!directory.refused.empty())
            co_return refusal(400, code::kBody, std::string(kInvalid) + directory.refused);
        spec.cwd = directory.path;
    }
    spec.text = std::move(request.command);
    spec.exports.assign(request.envs.begin(), request.envs.end());
    spec.timeout = timeout;
    spec.queue = false;
    Result<std::shared_ptr<shell::SessionRun>> run;
    if (*key)
        run = co_await session->run_or_attach(std::move(spec));
    else
        run = co_await session->run(std::move(spec));
    if (run) co_return session_stream(services, call, std::move(session), std::move(*run), timeout);
    co_return not_run(services, *session, run.error());
}

Task<Result<Answer>> delete_session(Services& services, Call& call) {
    auto const session = services.sessions->find(call.param("sessionId"));
    bool found = session && sees(call, session->owner());
    if (found) found = co_await end_session(services, call.param("sessionId"));
    if (found) co_return Answer::empty();
    co_return refusal(404, code::kContextNotFound, "session " + call.param("sessionId") + " not found");
}

}  // namespace

Task<bool> end_session(Services& services, std::string id) {
    auto const session = services.sessions->take(id);
    if (!session) co_return false;
    co_await session->close();
    co_return true;
}

void add_sessions(Services& services, std::vector<http::Row>& out) {
    Services* s = &services;
    http::Row row;
    row.tag = "Session";
    row.method = "POST";
    row.path = "/session";
    row.operation_id = "createSession";
    row.doc =
        "Opens a shell whose state lives on between commands. With Idempotency-Key the same request answers "
        "the "
        "same session.";
    row.body = http::BodyPolicy::json;
    row.on_disconnect = http::OnDisconnect::keep;
    row.request = &wire::Codec<CreateSessionRequest>::ops;
    row.statuses = {{200, &wire::Codec<SessionCreated>::ops, "application/json", "The session"},
                    {409, nullptr, "application/json", "The key came with another request"}};
    row.invoke = [s](Call& call) { return create_session(*s, call); };
    out.push_back(row);

    row.path = "/session/{sessionId}/run";
    row.operation_id = "runInSession";
    row.doc =
        "Runs a command in the session; its output and end as an event stream. With Idempotency-Key the same "
        "request attaches, and the command outlives its client.";
    row.body_limit = 64U << 20;
    row.on_disconnect = http::OnDisconnect::cancel;
    row.request = &wire::Codec<RunInSessionRequest>::ops;
    row.statuses = {{200, nullptr, "text/event-stream", "Events"},
                    {400, nullptr, "application/json", "Bad request"},
                    {409, nullptr, "application/json", "The key came with another request"}};
    row.invoke = [s](Call& call) { return run_in_session(*s, call); };
    out.push_back(row);

    http::Row end;
    end.tag = "Session";
    end.method = "DELETE";
    end.path = "/session/{sessionId}";
    end.operation_id = "deleteSession";
    end.doc = "Ends the session's shell and all it started.";
    end.on_disconnect = http::OnDisconnect::keep;
    end.invoke = [s](Call& call) { return delete_session(*s, call); };
    out.push_back(end);
}

}  // namespace execd::opensandbox
