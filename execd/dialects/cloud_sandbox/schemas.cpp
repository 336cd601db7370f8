#include "execd/dialects/cloud_sandbox/schemas.hpp"

// The tables of the structs, made once.
namespace execd::wire {
#define EXECD_ONE(T) template struct Codec<cloud_sandbox::T>;
EXECD_CLOUD_SANDBOX_TYPES(EXECD_ONE)
#undef EXECD_ONE
}  // namespace execd::wire
