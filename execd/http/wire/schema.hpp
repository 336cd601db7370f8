// JSON Schema and OpenAPI 3.1 from the same tables that decode and encode. Built on demand, not on a hot
// path.
#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "execd/http/wire/ops.hpp"

namespace execd::wire {

/// A stand-alone JSON Schema (references under $defs), for MCP tools.
[[nodiscard]] std::string json_schema(Ops const&);

struct AnswerDoc {
    int status = 200;  // 0: every status that is not listed
    std::string_view doc{};
    Ops const* body = nullptr;                    // null: bytes of `media`
    std::string_view media = "application/json";  // empty: no body at all
};

/// One route, told without the router's types.
struct RowDoc {
    std::string_view method;  // "POST"; "*" is any, and becomes one operation for each usual method
    std::string_view path;    // "/contexts/{id}", greedy tails as {path...}
    std::string operation_id{};
    std::string_view tag{};
    std::string_view doc{};
    Ops const* request = nullptr;
    std::string_view request_media = "application/json";
    std::string_view opaque_media{};  // of a body that no struct describes; empty: there is none
    std::vector<AnswerDoc> answers{};
    std::vector<std::string> auth{};  // names of AuthDoc, any one suffices; empty: public
};

struct AuthDoc {
    std::string name;           // "token"
    std::string_view in;        // "header", "query", "cookie", or "bearer"
    std::string_view key{};     // the header's, the parameter's or the cookie's name
    bool for_upgrades = false;  // on WebSockets alone
    friend bool operator==(AuthDoc const&, AuthDoc const&) = default;
};

struct ApiDoc {
    std::string_view title;
    std::string_view version;
    std::string_view doc{};
    std::vector<AuthDoc> auth{};
};

/// The document as JSON text. Structs of one name from different namespaces are told apart by their
/// namespaces
/// ("aio__WaitRequest", "browser__WaitRequest"). Extensions: "x-rows" is the number of rows, an operation
/// with "x-any-method" is one of several of a "*" row, and "x-also" of a path lists rows whose method and
/// path another row has already (they differ in their guards), each with its "x-method".
[[nodiscard]] std::string openapi(ApiDoc const&, std::span<RowDoc const>);

}  // namespace execd::wire
