// The rows of /execd/v1/files.
#pragma once
#include <vector>

#include "execd/http/route.hpp"
#include "execd/services.hpp"

namespace execd::own {

[[nodiscard]] std::vector<http::Row> file_rows(Services& services);

}  // namespace execd::own
