#include "execd/dialects/plain_dialect.hpp"

#include "execd/http/wire/json_text.hpp"

namespace execd {

using http::Answer;

unsigned PlainDialect::status_of(Code code) const {
    switch (code) {
        case Code::invalid_argument:
        case Code::decode:
        case Code::is_a_directory:
        case Code::not_a_directory: return 400;
        case Code::permission_denied:
        case Code::read_only: return 403;
        case Code::not_found:
        case Code::gone: return 404;
        case Code::timed_out: return words_.timed_out;
        case Code::already_exists:
        case Code::conflict: return 409;
        case Code::too_large: return 413;
        case Code::exhausted: return 429;
        case Code::not_supported: return 501;
        case Code::unavailable: return words_.unavailable;
        case Code::no_space: return 507;
        default: return 500;
    }
}

Answer PlainDialect::refusal(unsigned status, std::string_view code, std::string_view text) const {
    std::string body = "{";
    wire::append_json_string(body, words_.member);
    body += ':';
    wire::append_json_string(body, text);
    body += R"(,"code":)";
    wire::append_json_string(body, code);
    body += '}';
    return Answer::bytes(status, "application/json", std::move(body));
}

Answer PlainDialect::error(Error const& error, http::Call const*) {
    return refusal(status_of(error.code), to_string(error.code), error.message());
}

Answer PlainDialect::not_found(http::Head const& head) {
    return refusal(404, "not_found",
                   "there is no route " + std::string(head.method) + " " + std::string(head.path));
}

Answer PlainDialect::method_not_allowed(http::Head const&, std::vector<std::string> const& allowed) {
    std::string list;
    for (auto const& method : allowed) list += (list.empty() ? "" : ", ") + method;
    Answer answer = refusal(405, "method_not_allowed", "allowed here: " + list);
    answer.headers.set("Allow", list);
    return answer;
}

Answer PlainDialect::unauthorized(http::Head const&, Error const& why) {
    std::string const needed(words_.credential);
    Answer answer = refusal(401, "unauthorized", why.detail.empty() ? needed : why.detail);
    answer.headers.set("WWW-Authenticate", "Bearer");
    return answer;
}

Answer PlainDialect::bad_request(http::HeadRefusal const& fault) {
    Answer answer = refusal(fault.status, "invalid_request", fault.reason);
    answer.close = true;
    return answer;
}

// Clients send null for what their callers left out.
wire::Policy const& PlainDialect::reading() const {
    static wire::Policy const policy = [] {
        wire::Policy p;
        p.null_is_absent = true;
        p.whole_float_is_int = true;
        p.empty_body_is_object = true;
        return p;
    }();
    return policy;
}

// Three digits of a second: what JavaScript prints, and what every Python parses (nine only from 3.11 on).
wire::EncodePolicy const& PlainDialect::writing() const {
    static wire::EncodePolicy const policy = [] {
        wire::EncodePolicy p;
        p.time = wire::TimeFormat::rfc3339_millis;
        return p;
    }();
    return policy;
}

Answer PlainDialect::refused(wire::Faults const& faults, http::Call const&) {
    std::string message;
    for (auto const& fault : faults) {
        if (!message.empty()) message += "; ";
        message += wire::dotted(fault.loc) + ": " + fault.message;
    }
    return refusal(400, "invalid_request", message.empty() ? "the request cannot be read" : message);
}

}  // namespace execd
