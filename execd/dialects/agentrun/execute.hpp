// What a finished run was, as the answer of an execute request (contracts/agentrun.md §4.3, §13).
#pragma once
#include <memory>
#include <vector>

#include "execd/dialects/agentrun/schemas.hpp"
#include "kernels/run.hpp"

namespace execd::agentrun {

/// One item a run of outputs of one stream, without its last line end; then the error, then endOfExecution.
/// Pure: for a large output it runs on the pool, with the entries as they were read from the log.
[[nodiscard]] ExecuteAnswer execute_answer(kernels::OutputLog::Page const& page,
                                           kernels::RunOutcome const& outcome);

/// Without the colours that a traceback brings. Pure.
[[nodiscard]] std::string without_escapes(std::string_view text);

}  // namespace execd::agentrun
