// Code as if it were a program: the exit code that it would have ended with, its streams, no echo of values
// (docs/cloud-sandbox.md, "Execute"). Pure.
#pragma once
#include <optional>
#include <string>

#include "execd/dialects/cloud_sandbox/schemas.hpp"
#include "kernels/run.hpp"

namespace execd::cloud_sandbox {

/// Without an outcome the run was still at work when the answer had to go out.
[[nodiscard]] ExecuteAnswer code_answer(kernels::OutputLog::Page const& page,
                                        std::optional<kernels::RunOutcome> const& outcome);

/// When to stop what runs, and when to answer in any case, from the start of the request: the client stops
/// listening at `limit`.
struct Times {
    Duration stop{};
    Duration answer{};
};
[[nodiscard]] Times times_of(Duration limit);

}  // namespace execd::cloud_sandbox
