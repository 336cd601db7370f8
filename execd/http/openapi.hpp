// The OpenAPI document of a route table: derived, never written by hand.
#pragma once
#include <span>
#include <string>
#include <string_view>

#include "execd/http/route.hpp"

namespace execd::http {

/// Rows of one dialect, or of all when `dialect` is empty. `version` is the daemon's. JSON text.
[[nodiscard]] std::string openapi_of(std::span<Row const> rows, std::string_view dialect,
                                     std::string_view version);

}  // namespace execd::http
