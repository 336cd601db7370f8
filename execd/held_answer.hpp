// An answer that keeps its claim in use until it is out: a stream or a socket goes on after its handler.
#pragma once
#include <memory>

#include "execd/claims/claims.hpp"
#include "execd/http/route.hpp"

namespace execd {

void hold(http::Answer& answer, claims::Activity held);
/// What `inner` answers, held. `call` must live until then, as for any handler.
[[nodiscard]] Task<Result<http::Answer>> answer_held(claims::Activity held,
                                                     std::shared_ptr<http::Handler const> inner,
                                                     http::Call& call);

}  // namespace execd
