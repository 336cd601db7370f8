// The OpenSandbox routes (contracts/opensandbox.md §1, opensandbox-1.1.md).
#pragma once
#include <vector>

#include "execd/http/route.hpp"
#include "execd/services.hpp"

namespace execd::opensandbox {

[[nodiscard]] std::vector<http::Row> rows(Services& services);

}  // namespace execd::opensandbox
