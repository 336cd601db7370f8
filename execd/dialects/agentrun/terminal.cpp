// GET /processes/tty (contracts/agentrun.md §2.5).
#include "execd/dialects/agentrun/tty_socket.hpp"
#include "shell/sessions.hpp"

namespace execd::agentrun {

using http::Answer;
using http::Call;

namespace {

Task<Result<Answer>> connect(StatePtr state, Call& call) {
    std::string_view const protocol = call.query_value("protocol").value_or("json");
    if (protocol != "json" && protocol != "text")
        co_return fail(Code::invalid_argument, "", "protocol: json or text is expected");
    if (!http::is_websocket_request(*call.head))
        co_return fail(Code::invalid_argument, "", "a WebSocket handshake is expected");
    bool const json = protocol == "json";
    auto const claim = claim_of(state->services, call);
    std::string cwd = co_await home_to_start_in(*state);
    shell::Terminal::Options options;
    options.environment = environment_of(state->services, claim);
    options.owner = owner_of(claim);
    options.environment.set_default("TERM", "xterm-256color");
    options.environment.set("PWD", cwd);
    options.cwd = cwd;
    options.argv = {shell::find_shell(options.environment).path};
    auto terminal = state->services.terminals->create(std::move(options));
    if (!terminal) co_return Failure(terminal.error());
    auto handler = std::make_unique<TtySocket>(std::move(state), std::move(*terminal), std::move(cwd), json);
    co_return http::upgrade_to_websocket(*call.head, std::move(handler), {}, TtySocket::options());
}

}  // namespace

void add_terminal(Table& table) {
    auto row =
        row_of("GET", "/processes/tty", "openTerminal",
               "WebSocket: a shell on a terminal, ?protocol=json or text; it ends with the connection.");
    row.tag = "AgentRun";
    row.statuses = {{101, nullptr, "", "The terminal's frames"}};
    row.invoke = [state = table.state()](Call& call) { return connect(state, call); };
    table.add_both(std::move(row));
}

}  // namespace execd::agentrun
