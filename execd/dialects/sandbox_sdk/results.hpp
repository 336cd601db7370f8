// What a finished run was, as the answer of execute (docs/sandbox-sdk.md, "Results"). Pure: for a large
// output it runs on the pool, with the entries as they were read from the log.
#pragma once
#include "execd/dialects/sandbox_sdk/schemas.hpp"
#include "kernels/run.hpp"

namespace execd::sandbox_sdk {

/// Results in order, an updated display in the place of the one it updates; streams as lines; the error with
/// its traceback without colours.
[[nodiscard]] ExecuteAnswer execute_answer(kernels::OutputLog::Page const& page,
                                           kernels::RunOutcome const& outcome);

/// The member of a result that a MIME type belongs to; null: the client has no place for it.
[[nodiscard]] std::optional<wire::JsonText>* place_of(ResultBody& result, std::string_view mime);

}  // namespace execd::sandbox_sdk
