#include "execd/dialects/agentrun/schemas.hpp"

// The tables of the structs, made once.
namespace execd::wire {
#define EXECD_ONE(T) template struct Codec<agentrun::T>;
EXECD_AGENTRUN_TYPES(EXECD_ONE)
#undef EXECD_ONE
}  // namespace execd::wire
