// What a terminal shows, now or once something is on it.
#include "execd/dialects/own/screen.hpp"

#include "execd/dialects/own/executions.hpp"
#include "execd/http/wire/json_text.hpp"
#include "shell/executions.hpp"
#include "shell/screen_reader.hpp"

namespace execd::own {

using http::Answer;
using http::Call;

namespace {

constexpr std::uint64_t kLongestWait = 3'600'000;  // milliseconds
constexpr std::uint64_t kUsualWait = 30'000;

void quoted(std::string& out, std::string_view name, std::string_view text) {
    out += ',';
    wire::append_json_string(out, name);
    out += ':';
    wire::append_json_string(out, text);
}

std::string json_of(shell::Screen::Picture const& picture, bool met, bool running) {
    std::string out = met ? R"({"met":true)" : R"({"met":false)";
    out += running ? R"(,"running":true)" : R"(,"running":false)";
    quoted(out, "text", picture.text());
    out += R"(,"rows":[)";
    for (std::size_t i = 0; i < picture.rows.size(); ++i) {
        if (i > 0) out += ',';
        wire::append_json_string(out, picture.rows[i]);
    }
    out += R"(],"columns":)" + std::to_string(picture.columns);
    out += R"(,"cursor":{"column":)" + std::to_string(picture.cursor.column) + R"(,"row":)" +
           std::to_string(picture.cursor.row) + R"(,"visible":)" +
           (picture.cursor.visible ? "true}" : "false}");
    quoted(out, "title", picture.title);
    out += picture.alternate ? R"(,"alternate":true})" : R"(,"alternate":false})";
    return out;
}

Task<Result<Answer>> screen(Services& services, std::shared_ptr<shell::Screens> screens, Call& call) {
    auto const run = services.executions->find(call.param("id"));
    if (!run) co_return fail(Code::not_found, "execution", "no execution " + call.param("id"));
    if (!run->terminal()) co_return fail(Code::conflict, "screen", "not a terminal");
    std::string text(call.query_value("wait_text").value_or(""));
    auto const idle = query_number(call, "idle_ms", 0);
    if (!idle) co_return Failure(idle.error());
    auto const wait = query_number(call, "wait_ms", kUsualWait);
    if (!wait) co_return Failure(wait.error());
    if (!text.empty() && *idle > 0)
        co_return fail(Code::invalid_argument, "wait_text", "wait for a text or for silence, not for both");
    auto const at_most = std::chrono::milliseconds(std::min(*wait, kLongestWait));
    Deadline const deadline = Deadline::in(services.loop.clock(), at_most);
    auto const reader = screens->of(services.loop, run);
    std::function<bool()> running = [&run] { return run->running(); };
    Result<shell::Screen::Picture> seen = fail(Code::unavailable, "screen");
    bool const waits = !text.empty() || *idle > 0;
    if (!text.empty()) {
        seen = co_await reader->wait_for_text(std::move(text), std::move(running), deadline);
    } else if (*idle > 0) {
        auto const quiet = std::chrono::milliseconds(std::min(*idle, kLongestWait));
        seen = co_await reader->wait_for_idle(quiet, std::move(running), deadline);
    }
    bool const met = !waits || seen.has_value();
    if (!seen) seen = co_await reader->picture();
    Answer answer = Answer::bytes(200, "application/json", json_of(*seen, met, run->running()));
    answer.headers.set("Cache-Control", "no-store");
    co_return answer;
}

}  // namespace

std::vector<http::Row> screen_rows(Services& services) {
    http::Row row;
    row.tag = "Executions";
    row.method = "GET";
    row.path = "/execd/v1/executions/{id}/screen";
    row.operation_id = "readExecutionScreen";
    row.doc =
        "What the terminal shows: rows, text, cursor, title. Waits at most ?wait_ms= (30 s) for ?wait_text= "
        "to be "
        "on it, or for ?idle_ms= without output; `met` says whether that came.";
    row.statuses = {{200, nullptr, "application/json", "The screen"},
                    {409, nullptr, "application/json", "Not a terminal"}};
    auto screens = std::make_shared<shell::Screens>();
    row.invoke = [s = &services, screens](Call& call) { return screen(*s, screens, call); };
    return {row};
}

}  // namespace execd::own
