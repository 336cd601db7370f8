#include "execd/dialects/opensandbox/lifecycle_schemas.hpp"

namespace execd::wire {
#define EXECD_DEFINE(Type) template struct Codec<Type>;
EXECD_LIFECYCLE_TYPES(EXECD_DEFINE)
#undef EXECD_DEFINE
}  // namespace execd::wire
