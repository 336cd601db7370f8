// The browser and the desktop on paths of no dialect: Chromium's own (/json, /devtools), their short names
// (/cdp, /websockify), and what the supervisor knows (/execd/v1/browser). docs/browser.md.
#pragma once
#include <vector>

#include "execd/http/route.hpp"
#include "execd/services.hpp"

namespace execd::own {

[[nodiscard]] std::vector<http::Row> browser_rows(Services& services);

}  // namespace execd::own
