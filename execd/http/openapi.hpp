// The OpenAPI document of a route table: derived, never written by hand.
#pragma once
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "execd/http/route.hpp"
#include "execd/http/wire/schema.hpp"

namespace execd::http {

/// What all rows of a dialect have in common.
struct DialectDoc {
    std::vector<wire::AuthDoc> auth;          // any one opens a row that needs a credential
    wire::Ops const* error = nullptr;         // the body of a refusal; null: not described
    wire::Ops const* unauthorized = nullptr;  // of a 401, where that is another one
    unsigned refused = 400;                   // the status of a request that does not fit
};
using DialectDocs = std::function<DialectDoc(std::string_view dialect)>;

/// Rows of one dialect, or of all when `dialect` is empty: then an operation's id begins with its dialect's
/// name, as two dialects may use one. `version` is the daemon's. JSON text. Reads the rows alone and may run
/// on any thread; takes some 10 ms.
[[nodiscard]] std::string openapi_of(std::span<Row const> rows, std::string_view dialect,
                                     std::string_view version, DialectDocs const& about);

}  // namespace execd::http
