// GET /execd/v1/executions/{id}/screen (docs/own-api.md, "The screen of a terminal").
#pragma once
#include <vector>

#include "execd/http/route.hpp"
#include "execd/services.hpp"

namespace execd::own {

[[nodiscard]] std::vector<http::Row> screen_rows(Services& services);

}  // namespace execd::own
