// The AgentRun dialect: every route of contracts/agentrun.md §1.5 that needs no browser, and the lifecycle of
// §1.4.
#pragma once
#include <span>
#include <string_view>
#include <vector>

#include "execd/dialects/agentrun/dialect.hpp"
#include "execd/services.hpp"

namespace execd::agentrun {

[[nodiscard]] std::vector<http::Row> rows(Services& services, Dialect& dialect);
/// Paths whose unknown methods and routes this dialect answers.
[[nodiscard]] std::span<std::string_view const> owned_paths();

}  // namespace execd::agentrun
