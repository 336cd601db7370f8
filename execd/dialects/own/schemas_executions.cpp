#include "execd/dialects/own/schemas_executions.hpp"

// The tables of the structs, made once.
namespace execd::wire {
template struct Codec<own::TerminalSize>;
template struct Codec<own::ExecutionRequest>;
template struct Codec<own::ExecutionView>;
template struct Codec<own::ExecutionViews>;
template struct Codec<own::SignalRequest>;
template struct Codec<own::InputResult>;
}  // namespace execd::wire
