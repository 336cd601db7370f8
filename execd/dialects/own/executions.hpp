// execd's own routes of executions and their events: /execd/v1/executions*, /execd/v1/events
// (docs/own-api.md).
#pragma once
#include <vector>

#include "execd/dialects/own/schemas_executions.hpp"
#include "execd/http/route.hpp"
#include "execd/services.hpp"
#include "shell/execution.hpp"

namespace execd::own {

[[nodiscard]] std::vector<http::Row> execution_rows(Services& services);
[[nodiscard]] std::vector<http::Row> event_rows(Services& services);
/// GET /execd/v1/executions/{id}/output; part of execution_rows.
[[nodiscard]] http::Row output_row(Services& services);

/// What a request asks for, with names looked up. invalid_argument: says which member is wrong.
[[nodiscard]] Result<shell::ExecutionSpec> spec_of(Services& services, ExecutionRequest request);
[[nodiscard]] ExecutionView view_of(shell::Execution const& execution);

/// Reads a body of this dialect: unknown keys and trailing data are refused, every fault is named.
[[nodiscard]] Task<Result<void>> read_body(http::Call& call, wire::Ops const& ops, void* out);
template <class T>
[[nodiscard]] Task<Result<void>> read_body(http::Call& call, T& out) {
    return read_body(call, wire::Codec<T>::ops, &out);
}
[[nodiscard]] http::Answer json_answer(unsigned status, wire::Ops const& ops, void const* value);
template <class T>
[[nodiscard]] http::Answer json_answer(unsigned status, T const& value) {
    return json_answer(status, wire::Codec<T>::ops, &value);
}
/// A whole number in the query; the default where it is absent. invalid_argument: anything else.
[[nodiscard]] Result<std::uint64_t> query_number(http::Call const& call, std::string_view name,
                                                 std::uint64_t otherwise);
/// "true", "1", "false", "0"; the default where it is absent.
[[nodiscard]] Result<bool> query_flag(http::Call const& call, std::string_view name, bool otherwise);

}  // namespace execd::own
