// TCP keep-alive for connections that may be silent for long: a peer that vanished without a word is found
// out within two minutes, also where nobody writes.
//
// Thread: the reactor.
#pragma once
#include "execd/http/stream.hpp"

namespace execd::http {

/// Refused by the kernel on a unix socket, which knows of every end anyway.
void probe_when_idle(Stream& stream);

}  // namespace execd::http
