// The daemon's own figures as Prometheus text (exposition format 0.0.4).
#pragma once
#include <vector>

#include "execd/http/route.hpp"
#include "execd/services.hpp"

namespace execd::own {

/// GET /execd/v1/metrics.
[[nodiscard]] std::vector<http::Row> metrics_rows(Services& services);

}  // namespace execd::own
