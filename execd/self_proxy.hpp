// Paths that mean ourselves (contracts/opensandbox.md §0.3): /proxy/44772/... and, for one claim,
// /v1/sandboxes/{id}/proxy/{port}/...: the prefix comes off and the request goes through the router like any
// other, with full authorisation, once.
#pragma once
#include <optional>
#include <string>

#include "execd/http/route.hpp"

namespace execd {

/// The port that means ourselves below /proxy, whether or not we listen on it.
inline constexpr unsigned short kSelfPort = 44772;
/// Names the claim that a request is for, where its path does not.
inline constexpr std::string_view kClaimHeader = "X-EXECD-CLAIM";

/// A target stage.
void self_proxy(http::Call& call);
/// The claim in the prefix that was taken off; nothing when there was none.
[[nodiscard]] std::optional<std::string> mounted_claim(http::Call const& call);

}  // namespace execd
