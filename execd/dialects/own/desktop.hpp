// The desktop by HTTP: mouse, keys, text, clipboard, pictures (docs/browser.md, "Hands and eyes").
#pragma once
#include <vector>

#include "execd/http/route.hpp"
#include "execd/services.hpp"

namespace execd::own {

[[nodiscard]] std::vector<http::Row> desktop_rows(Services& services);

}  // namespace execd::own
