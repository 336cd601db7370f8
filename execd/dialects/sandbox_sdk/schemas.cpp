#include "execd/dialects/sandbox_sdk/schemas.hpp"

// The tables of the structs, made once.
namespace execd::wire {
#define EXECD_ONE(T) template struct Codec<sandbox_sdk::T>;
EXECD_SANDBOX_SDK_TYPES(EXECD_ONE)
#undef EXECD_ONE
}  // namespace execd::wire
