#include "execd/dialects/opensandbox/schemas_shell.hpp"

namespace execd::wire {
template struct Codec<opensandbox::CreateSessionRequest>;
template struct Codec<opensandbox::SessionCreated>;
template struct Codec<opensandbox::RunInSessionRequest>;
template struct Codec<opensandbox::CreatePtyRequest>;
template struct Codec<opensandbox::PtyState>;
template struct Codec<opensandbox::PtyClientFrame>;
}  // namespace execd::wire
