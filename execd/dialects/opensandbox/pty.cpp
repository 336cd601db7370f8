// /pty* (contracts/opensandbox.md §1.9, §9, §10, §13).
#include <charconv>

#include "execd/dialects/opensandbox/bodies.hpp"
#include "execd/dialects/opensandbox/claims.hpp"
#include "execd/dialects/opensandbox/dialect.hpp"
#include "execd/dialects/opensandbox/parts.hpp"
#include "execd/dialects/opensandbox/pty_socket.hpp"
#include "execd/dialects/opensandbox/repeated_start.hpp"
#include "execd/dialects/opensandbox/schemas_shell.hpp"
#include "execd/dialects/opensandbox/working_directory.hpp"
#include "shell/sessions.hpp"

namespace execd::opensandbox {

using http::Answer;
using http::Call;

namespace {

constexpr std::string_view kCreating = "error creating pty session: ";

Answer unknown(std::string const& id) {
    return refusal(404, code::kContextNotFound, "pty session " + id + " not found");
}

std::shared_ptr<shell::Terminal> find_pty(Services& services, Call const& call) {
    auto terminal = services.terminals->find(call.param("sessionId"));
    if (terminal && !sees(call, terminal->owner())) return nullptr;
    return terminal;
}

Answer created(shell::Terminal const& terminal) {
    SessionCreated body;
    body.session_id = terminal.id();
    return json(to_json(body), 201);
}

Task<Result<Answer>> create_pty(Services& services, Call& call) {
    static constexpr std::string_view kParsing = "error parsing request: ";
    CreatePtyRequest request;
    BodyTexts const texts{kParsing, kParsing, true};
    if (auto refused = co_await read_body(call, request, texts)) co_return std::move(*refused);
    if (request.command.find('\0') != std::string::npos)
        co_return refusal(400, code::kBody, std::string(kParsing) + "the command contains a NUL byte");
    auto const key = start_key(call, call.header(kIdempotencyKey) ? to_json(request) : std::string());
    if (!key) co_return refusal(400, code::kBody, std::string(kParsing) + key.error().message());
    shell::Terminal::Options options;
    if (*key) {
        options.id = dashed((*key)->id);
        options.digest = (*key)->digest;
        // Before its directory is looked at, which may have gone since.
        if (auto const found = services.terminals->find(options.id)) {
            bool const same = found->digest() == options.digest && sees(call, found->owner());
            co_return same ? created(*found) : other_request();
        }
    }
    options.environment = environment_of(services, call);
    options.owner = claim_id(call);
    options.cwd = services.config.cwd;
    if (!request.cwd.empty()) {
        auto directory = co_await made_directory(services, request.cwd, options.environment);
        if (!directory.refused.empty())
            co_return refusal(500, code::kRuntime, std::string(kCreating) + directory.refused);
        options.cwd = directory.path;
    }
    shell::Shell const shell = shell::find_shell(options.environment);
    if (shell.bash) options.shell_options = {"--norc", "--noprofile"};
    options.argv = {shell.path};
    options.argv.insert(options.argv.end(), options.shell_options.begin(), options.shell_options.end());
    options.text = std::move(request.command);
    auto terminal = *key ? services.terminals->create_or_attach(std::move(options))
                         : services.terminals->create(std::move(options));
    if (!terminal && terminal.error().code == Code::conflict) co_return other_request();
    if (!terminal)
        co_return refusal(503, code::kUnavailable, std::string(kCreating) + terminal.error().message());
    co_return created(**terminal);
}

Result<Answer> get_pty(Services& services, Call& call) {
    auto const terminal = find_pty(services, call);
    if (!terminal) return unknown(call.param("sessionId"));
    PtyState state;
    state.session_id = terminal->id();
    state.running = terminal->running();
    state.output_offset = terminal->journal().end().total;
    return json(to_json(state));
}

Task<Result<Answer>> delete_pty(Services& services, Call& call) {
    auto terminal = find_pty(services, call);
    if (terminal) terminal = services.terminals->take(terminal->id());
    if (!terminal) co_return unknown(call.param("sessionId"));
    co_await terminal->close();
    co_return Answer::empty();
}

PtyWish wish_of(Call const& call) {
    PtyWish wish;
    wish.pipes = call.query_value("pty") == "0";
    wish.takeover = call.query_value("takeover") == "1";
    wish.viewer = call.query_value("mode") == "viewer";
    // A number in front counts, anything else is 0 (§1.9).
    std::string_view const since = call.query_value("since").value_or("");
    std::from_chars(since.data(), since.data() + since.size(), wish.since);
    return wish;
}

Result<Answer> connect_pty(Services& services, Call& call) {
    auto terminal = find_pty(services, call);
    if (!terminal) return unknown(call.param("sessionId"));
    PtyWish const wish = wish_of(call);
    bool const held = terminal->has_writer();
    if (held && !wish.viewer && (!wish.takeover || !http::is_websocket_request(*call.head)))
        return refusal(409, "ALREADY_CONNECTED",
                       "another client is already connected to pty session " + terminal->id());
    auto handler = std::make_unique<PtySocket>(services, terminal, wish);
    PtySocket* const socket = handler.get();
    Answer answer = http::upgrade_to_websocket(*call.head, std::move(handler), {}, PtySocket::options());
    // Only a good handshake holds; one that evicts does so when its client has the answer.
    if (answer.status != 101 || held || wish.viewer) return answer;
    auto writer = terminal->take_writer(false);
    if (!writer) return unknown(terminal->id());
    socket->hold(std::move(*writer));
    return answer;
}

}  // namespace

void add_terminals(Services& services, std::vector<http::Row>& out) {
    Services* s = &services;
    http::Row row;
    row.tag = "Pty";
    row.method = "POST";
    row.path = "/pty";
    row.operation_id = "createPty";
    row.doc =
        "Makes a terminal; its program starts with the first WebSocket. With Idempotency-Key the same "
        "request "
        "answers the same terminal.";
    row.body = http::BodyPolicy::json;
    row.body_limit = 64U << 20;
    row.on_disconnect = http::OnDisconnect::keep;
    row.request = &wire::Codec<CreatePtyRequest>::ops;
    row.statuses = {{201, &wire::Codec<SessionCreated>::ops, "application/json", "The terminal"},
                    {409, nullptr, "application/json", "The key came with another request"}};
    row.invoke = [s](Call& call) { return create_pty(*s, call); };
    out.push_back(row);

    http::Row get;
    get.tag = "Pty";
    get.method = "GET";
    get.path = "/pty/{sessionId}";
    get.operation_id = "getPty";
    get.doc = "Whether its program runs, and how many bytes it ever wrote.";
    get.statuses = {{200, &wire::Codec<PtyState>::ops, "application/json", "State"}};
    get.sync = [s](Call& call) { return get_pty(*s, call); };
    out.push_back(get);

    get.path = "/pty/{sessionId}/ws";
    get.operation_id = "connectPty";
    get.doc = "WebSocket: output from ?since= on, input, signals, sizes. ?pty=0, ?takeover=1, ?mode=viewer.";
    get.statuses = {{101, nullptr, "", "The terminal's frames"}};
    get.sync = nullptr;
    get.invoke = [s](Call& call) -> Task<Result<Answer>> { return wrap(connect_pty(*s, call)); };
    out.push_back(get);

    http::Row end;
    end.tag = "Pty";
    end.method = "DELETE";
    end.path = "/pty/{sessionId}";
    end.operation_id = "deletePty";
    end.doc = "Ends the terminal's program and forgets the terminal.";
    end.on_disconnect = http::OnDisconnect::keep;
    end.invoke = [s](Call& call) { return delete_pty(*s, call); };
    out.push_back(end);
}

}  // namespace execd::opensandbox
