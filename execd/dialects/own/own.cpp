#include "execd/dialects/own/own.hpp"

#include <nlohmann/json.hpp>

#include <cerrno>
#include <cstring>

#include "execd/dialects/own/browser.hpp"
#include "execd/dialects/own/contexts.hpp"
#include "execd/dialects/own/desktop.hpp"
#include "execd/dialects/own/executions.hpp"
#include "execd/dialects/own/files_rows.hpp"
#include "execd/dialects/own/metrics.hpp"
#include "execd/dialects/own/screen.hpp"

namespace execd::own {

using http::Answer;
using Json = nlohmann::ordered_json;

namespace {

Answer json(unsigned status, Json const& body) {
    return Answer::bytes(status, "application/json",
                         body.dump(-1, ' ', false, Json::error_handler_t::replace));
}

Answer problem(unsigned status, std::string_view code, std::string_view message) {
    return json(status, {{"error", {{"code", code}, {"message", message}}}});
}

/// The name of an error: that of its code, but for paths that cannot be any file's.
std::string_view name_of(Error const& error) {
    bool const path = error.where == "path" || error.where == "open.special" || error.sys == ELOOP ||
                      error.sys == ENAMETOOLONG;
    return path && error.code == Code::invalid_argument ? "invalid_path" : to_string(error.code);
}

unsigned status_of(Code code) {
    switch (code) {
        case Code::invalid_argument:
        case Code::decode:
        case Code::is_a_directory:
        case Code::not_a_directory: return 400;
        case Code::permission_denied: return 403;
        case Code::not_found: return 404;
        case Code::already_exists:
        case Code::conflict: return 409;
        case Code::gone: return 410;
        case Code::too_large: return 413;
        case Code::timed_out: return 408;
        case Code::exhausted: return 429;
        case Code::not_supported: return 501;
        case Code::unavailable: return 503;
        case Code::no_space: return 507;
        default: return 500;
    }
}

Result<Answer> ready(Readiness const& readiness, http::Call&) {
    Json body{{"ready", readiness.ready()}, {"missing", readiness.missing}};
    if (!readiness.spawn_works) body["missing"].push_back("a process could not be started yet");
    Answer answer = json(readiness.ready() ? 200 : 503, body);
    if (answer.status == 503) answer.headers.set("Retry-After", "1");
    return answer;
}

}  // namespace

Answer Dialect::error(Error const& error, http::Call const*) {
    Json body{{"code", name_of(error)}, {"message", error.message()}};
    if (error.sys != 0) {
        char const* const name = ::strerrorname_np(error.sys);
        body["errno"] = error.sys;
        if (name != nullptr) body["errno_name"] = name;
        if (error.detail.starts_with('/')) body["path"] = error.detail;
    }
    return json(status_of(error.code), {{"error", std::move(body)}});
}
Answer Dialect::not_found(http::Head const& head) {
    return problem(404, "not_found", "no route " + std::string(head.method) + " " + std::string(head.path));
}
Answer Dialect::method_not_allowed(http::Head const&, std::vector<std::string> const& allowed) {
    std::string list;
    for (auto const& method : allowed) list += (list.empty() ? "" : ", ") + method;
    Answer answer = problem(405, "method_not_allowed", "allowed: " + list);
    answer.headers.set("Allow", list);
    return answer;
}
Answer Dialect::unauthorized(http::Head const&, Error const& why) {
    Answer answer = problem(401, "unauthorized", why.detail.empty() ? "a credential is needed" : why.detail);
    answer.headers.set("WWW-Authenticate", "Bearer");
    return answer;
}

std::vector<http::Row> rows(Services& services) {
    std::vector<http::Row> out;
    http::Row row;
    row.method = "GET";
    row.tag = "execd";
    row.access = http::Access::open;
    row.path = "/execd/v1/ready";
    row.operation_id = "ready";
    row.doc = "Readiness: 200, or 503 with what is missing.";
    row.sync = [readiness = &services.readiness](http::Call& call) { return ready(*readiness, call); };
    out.push_back(row);
    for (auto* const more : {contexts_rows, runs_rows, file_rows, execution_rows, screen_rows, event_rows,
                             browser_rows, desktop_rows, metrics_rows})
        for (auto& each : more(services)) out.push_back(std::move(each));
    return out;
}

}  // namespace execd::own
