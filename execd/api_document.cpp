#include "execd/api_document.hpp"

#include <map>
#include <memory>

#include "execd/authorization.hpp"
#include "execd/http/wire/describe.hpp"
#include "execd/version.hpp"

namespace execd {

namespace document {

// contracts/opensandbox.md, 1.0
struct Refusal {
    std::string code;
    std::string message;
};
BOOST_DESCRIBE_STRUCT(Refusal, (), (code, message))
struct Unauthorized {
    std::string error;
};
BOOST_DESCRIBE_STRUCT(Unauthorized, (), (error))

// contracts/agentrun.md, 1.6
struct AgentRunDetail {
    std::string field;
    std::string reason;
};
BOOST_DESCRIBE_STRUCT(AgentRunDetail, (), (field, reason))
struct AgentRunError {
    std::string code;
    std::string message;
    std::vector<AgentRunDetail> details;
};
BOOST_DESCRIBE_STRUCT(AgentRunError, (), (code, message, details))
struct AgentRunRefusal {
    std::string code;
    std::string message;
    std::string requestId;
    AgentRunError error;
};
BOOST_DESCRIBE_STRUCT(AgentRunRefusal, (), (code, message, requestId, error))

struct CloudSandboxRefusal {
    std::string error;
    std::string code;
};
BOOST_DESCRIBE_STRUCT(CloudSandboxRefusal, (), (error, code))

struct ProblemError {
    std::string code;
    std::string message;
    std::optional<std::int64_t> errno_number;
    std::optional<std::string> errno_name;
    std::optional<std::string> path;
};
BOOST_DESCRIBE_STRUCT(ProblemError, (), (code, message, errno_number, errno_name, path))
constexpr auto wire_notes(ProblemError const*) {
    return wire::notes({{.field = "errno_number", .wire = "errno", .doc = "Where the system refused"}});
}
struct Problem {
    ProblemError error;
};
BOOST_DESCRIBE_STRUCT(Problem, (), (error))

}  // namespace document

namespace {

using http::Answer;
using http::Call;

void add_carriers(http::DialectDoc& doc, std::string_view dialect) {
    for (auto const& carrier : auth::carriers_of(auth_dialect(dialect))) {
        wire::AuthDoc one;
        one.key = carrier.name;
        one.name = carrier.name;
        one.for_upgrades = carrier.upgrade_only;
        switch (carrier.place) {
            case auth::Place::header: one.in = "header"; break;
            case auth::Place::query:
                one.in = "query";
                one.name += ".query";
                break;
            case auth::Place::cookie:
                one.in = "cookie";
                one.name += ".cookie";
                break;
        }
        if (!carrier.scheme.empty()) {
            one.in = "bearer";
            one.name = "bearer";
            one.key = {};
        }
        doc.auth.push_back(std::move(one));
    }
}

// Documents by dialect, made when they are first asked for.
class Documents {
  public:
    explicit Documents(Services& services) : services_(&services) {}

    [[nodiscard]] bool knows(std::string_view dialect) const {
        if (dialect.empty()) return true;
        for (auto const& row : services_->router->rows())
            if (row.dialect->name() == dialect) return true;
        return false;
    }

    static Task<Result<Answer>> serve(std::shared_ptr<Documents> self, Call& call) {
        std::string const dialect(call.query_value("dialect").value_or(""));
        if (!self->knows(dialect))
            co_return fail(Code::not_found, "dialect", "there is no dialect " + dialect);
        auto known = self->made_.find(dialect);
        if (known == self->made_.end()) {
            http::Router const* const router = self->services_->router;
            auto make = [router, dialect] {
                return http::openapi_of(router->rows(), dialect, version(), dialect_doc);
            };
            // Two that ask at once make it twice: no harm.
            std::string text = co_await self->services_->loop.pool().run(Lane::metadata, std::move(make));
            known = self->made_.insert_or_assign(dialect, std::move(text)).first;
        }
        co_return Answer::bytes(200, "application/json", known->second);
    }

  private:
    Services* services_;
    std::map<std::string, std::string, std::less<>> made_;
};

}  // namespace

http::DialectDoc dialect_doc(std::string_view dialect) {
    http::DialectDoc out;
    add_carriers(out, dialect);
    if (dialect == "opensandbox") {
        out.error = &wire::ops_of<document::Refusal>();
        out.unauthorized = &wire::ops_of<document::Unauthorized>();
    } else if (dialect == "sandbox_sdk") {
        out.error = &wire::ops_of<document::Refusal>();
    } else if (dialect == "cloud_sandbox") {
        out.error = &wire::ops_of<document::CloudSandboxRefusal>();
    } else if (dialect == "agentrun") {
        out.error = &wire::ops_of<document::AgentRunRefusal>();
    } else if (dialect == "execd") {
        out.error = &wire::ops_of<document::Problem>();
    }
    return out;
}

http::Row api_document_row(Services& services) {
    http::Row row;
    row.method = "GET";
    row.path = "/execd/v1/openapi.json";
    row.operation_id = "openapi";
    row.tag = "execd";
    row.doc = "OpenAPI of every route, or of one dialect (?dialect=).";
    row.statuses.push_back({200, nullptr, "application/json", "An OpenAPI 3.1 document"});
    row.invoke = [documents = std::make_shared<Documents>(services)](Call& call) {
        return Documents::serve(documents, call);
    };
    return row;
}

}  // namespace execd
