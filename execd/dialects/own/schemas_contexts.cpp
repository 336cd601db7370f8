#include "execd/dialects/own/contexts_schemas.hpp"

// The tables of the structs, made once.
namespace execd::wire {
template struct Codec<own::ContextRequest>;
template struct Codec<own::RunRequest>;
template struct Codec<own::ListQuery>;
template struct Codec<own::OutputsQuery>;
template struct Codec<own::InputAnswer>;
template struct Codec<own::CodeRequest>;
template struct Codec<own::HistoryQuery>;
template struct Codec<own::InterruptQuery>;
template struct Codec<own::CommRequest>;
template struct Codec<own::KernelspecList>;
template struct Codec<own::ContextInfo>;
template struct Codec<own::ContextList>;
template struct Codec<own::RunInfo>;
template struct Codec<own::RunList>;
template struct Codec<own::OutputItem>;
template struct Codec<own::OutputPage>;
}  // namespace execd::wire
