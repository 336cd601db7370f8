#include "execd/dialects/agentrun/dialect.hpp"

#include "base/ids.hpp"
#include "execd/http/wire/json_text.hpp"

namespace execd::agentrun {

using http::Answer;

namespace {

struct Shape {
    unsigned status;
    std::string_view code;
};

Shape shape_of(Code code) {
    switch (code) {
        case Code::invalid_argument:
        case Code::decode:
        case Code::is_a_directory:
        case Code::not_a_directory: return {400, code::kInvalid};
        case Code::permission_denied:
        case Code::read_only: return {403, code::kForbidden};
        case Code::not_found:
        case Code::gone: return {404, code::kNotFound};
        case Code::timed_out: return {408, "TIMEOUT"};
        case Code::already_exists:
        case Code::conflict: return {409, "CONFLICT"};
        case Code::too_large: return {413, "PAYLOAD_TOO_LARGE"};
        case Code::exhausted: return {429, "TOO_MANY_REQUESTS"};
        case Code::not_supported: return {501, "NOT_SUPPORTED"};
        case Code::unavailable: return {503, "SERVICE_UNAVAILABLE"};
        case Code::no_space: return {507, "INSUFFICIENT_STORAGE"};
        default: return {500, code::kInternal};
    }
}

void member(std::string& out, std::string_view name, std::string_view text) {
    if (out.back() != '{') out += ',';
    wire::append_json_string(out, name);
    out += ':';
    wire::append_json_string(out, text);
}

}  // namespace

Answer refusal(unsigned status, std::string_view code, std::string_view message,
               std::vector<ErrorDetail> const& details) {
    std::string const id = uuid();
    std::string body = "{";
    member(body, "code", code);
    member(body, "message", message);
    member(body, "requestId", id);
    body += R"(,"error":{)";
    member(body, "code", code);
    member(body, "message", message);
    body += R"(,"details":[)";
    for (auto const& detail : details) {
        body += &detail == details.data() ? "{" : ",{";
        member(body, "field", detail.field);
        member(body, "reason", detail.reason);
        body += '}';
    }
    body += "]}}";
    Answer answer = Answer::bytes(status, "application/json", std::move(body));
    answer.headers.set("x-request-id", id);
    return answer;
}

Answer refusal(Error const& error) {
    Shape const shape = shape_of(error.code);
    return refusal(shape.status, shape.code, error.message());
}

Answer Dialect::error(Error const& error, http::Call const*) { return refusal(error); }

Answer Dialect::not_found(http::Head const& head) {
    return refusal(404, code::kNotFound,
                   "there is no route " + std::string(head.method) + " " + std::string(head.path));
}

Answer Dialect::method_not_allowed(http::Head const&, std::vector<std::string> const& allowed) {
    std::string list;
    for (auto const& method : allowed) list += (list.empty() ? "" : ", ") + method;
    Answer answer = refusal(405, "METHOD_NOT_ALLOWED", "allowed here: " + list);
    answer.headers.set("Allow", list);
    return answer;
}

Answer Dialect::unauthorized(http::Head const&, Error const& why) {
    Answer answer =
        refusal(401, "UNAUTHORIZED", why.detail.empty() ? "a credential is required" : why.detail);
    answer.headers.set("WWW-Authenticate", "Bearer");
    return answer;
}

Answer Dialect::bad_request(http::HeadRefusal const& fault) {
    Answer answer = refusal(fault.status, code::kInvalid, fault.reason);
    answer.close = true;
    return answer;
}

// §11.3: null is as good as absent, unknown keys are ignored, numbers may be texts; §11.2: a body-less
// request with a JSON content type is an empty object.
wire::Policy const& Dialect::reading() const {
    static wire::Policy const policy = [] {
        wire::Policy p;
        p.null_is_absent = true;
        p.number_from_string = true;
        p.whole_float_is_int = true;
        p.bool_from_number = true;
        p.bool_text = wire::BoolText::words;
        p.empty_body_is_object = true;
        return p;
    }();
    return policy;
}

wire::EncodePolicy const& Dialect::writing() const {
    static wire::EncodePolicy const policy;
    return policy;
}

Answer Dialect::refused(wire::Faults const& faults, http::Call const&) {
    std::vector<ErrorDetail> details;
    for (auto const& fault : faults) details.push_back({wire::dotted(fault.loc), fault.message});
    std::string const message = details.empty() ? std::string("the request cannot be read")
                                                : details.front().field + ": " + details.front().reason;
    return refusal(400, code::kInvalid, message, details);
}

}  // namespace execd::agentrun
