// /proxy/44772/... is ourselves (contracts/opensandbox.md §0.3): the prefix comes off and the request goes
// through the router like any other, with full authorisation, once.
#pragma once
#include "execd/http/route.hpp"

namespace execd {

/// The port that means ourselves below /proxy, whether or not we listen on it.
inline constexpr unsigned short kSelfPort = 44772;

/// A target stage.
void self_proxy(http::Call& call);

}  // namespace execd
