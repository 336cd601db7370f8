#include "execd/dialects/opensandbox/dialect.hpp"

#include <nlohmann/json.hpp>

namespace execd::opensandbox {

using http::Answer;

Answer json(std::string body, unsigned status) {
    return Answer::bytes(status, "application/json; charset=utf-8", std::move(body));
}

Answer refusal(unsigned status, std::string_view code, std::string_view message) {
    nlohmann::ordered_json body;
    body["code"] = code;
    body["message"] = message;
    Answer answer = json(body.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace), status);
    if (status == 502 || status == 503) answer.headers.set("Retry-After", "0");
    return answer;
}

Answer Dialect::error(Error const& error, http::Call const*) {
    std::string const text = error.message();
    switch (error.code) {
        case Code::invalid_argument:
        case Code::decode: return refusal(400, code::kBody, text);
        case Code::not_found:
        case Code::gone: return refusal(404, code::kFileNotFound, text);
        case Code::too_large: return refusal(413, code::kBody, text);
        case Code::timed_out: return refusal(408, code::kBody, text);
        case Code::no_space: return refusal(507, code::kRuntime, text);
        case Code::not_supported: return refusal(501, code::kNotSupported, text);
        case Code::unavailable: return refusal(503, code::kUnavailable, text);
        case Code::exhausted: return refusal(503, code::kUnavailable, text);
        default: return refusal(500, code::kRuntime, text);
    }
}

Answer Dialect::not_found(http::Head const&) {
    return Answer::bytes(404, "text/plain", "404 page not found");
}

namespace {

/// Routes of the lifecycle's specification, whose errors all have a code and a message.
bool is_of_lifecycle(std::string_view path) {
    constexpr std::string_view kSelf = "/proxy/44772";
    if (path.starts_with(kSelf)) path.remove_prefix(kSelf.size());
    for (std::string_view const prefix : {"/v1/sandboxes", "/v1/snapshots", "/v1/templates", "/v1/pools"})
        if (path.starts_with(prefix)) return path.find("/proxy/") == std::string_view::npos;
    return false;
}

}  // namespace

Answer Dialect::unauthorized(http::Head const& head, Error const&) {
    if (is_of_lifecycle(head.path))
        return refusal(401, "UNAUTHORIZED", "invalid or missing header OPEN-SANDBOX-API-KEY");
    return json(R"({"error":"Unauthorized: invalid or missing header X-EXECD-ACCESS-TOKEN"})", 401);
}

Answer Dialect::bad_request(http::HeadRefusal const& fault) {
    Answer answer = Answer::bytes(fault.status, "text/plain; charset=utf-8",
                                  std::to_string(fault.status) + " " +
                                      std::string(http::reason_phrase(fault.status)) + ": " + fault.reason);
    answer.close = true;
    return answer;
}

}  // namespace execd::opensandbox
