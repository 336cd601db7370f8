// The row that serves the daemon's own OpenAPI document, of every dialect or of one.
#pragma once
#include "execd/http/openapi.hpp"
#include "execd/http/route.hpp"
#include "execd/services.hpp"

namespace execd {

/// Where a dialect's clients put their credential and how its refusals look.
[[nodiscard]] http::DialectDoc dialect_doc(std::string_view dialect);

/// GET /execd/v1/openapi.json. Each document is made once, by the pool; `services.router` is looked at when
/// the first one is asked for.
[[nodiscard]] http::Row api_document_row(Services& services);

}  // namespace execd
