// An answer that keeps its claim in use until it is out: a stream or a socket goes on after its handler.
#pragma once
#include "execd/claims/claims.hpp"
#include "execd/http/answer.hpp"

namespace execd {

void hold(http::Answer& answer, claims::Activity held);

}  // namespace execd
