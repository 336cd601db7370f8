// The sandboxes that clients created here (contracts/agentrun.md §1.4), as claims on this container. Any id
// is this sandbox: one that was never created, or has ended, works on the container without a claim; what
// comes by a living claim's id belongs to it.
//
// Thread: the reactor.
#pragma once
#include <string>
#include <string_view>

#include "base/clock.hpp"
#include "execd/claims/claims.hpp"
#include "execd/http/route.hpp"
#include "execd/services.hpp"
#include "shell/environment.hpp"

namespace execd::agentrun {

inline constexpr std::string_view kKind = "agentrun";

/// The living claim in the path /sandboxes/{sandboxId}/...; null for bare paths and for any other id. A
/// handler asks once, before it waits for anything: what it starts then belongs to the claim or fails.
[[nodiscard]] claims::ClaimPtr claim_of(Services& services, http::Call const& call);
/// Its id, or empty.
[[nodiscard]] std::string owner_of(claims::ClaimPtr const& claim);
/// Whether a request for it may see what belongs to `owner`: all of it without a claim.
[[nodiscard]] bool sees(claims::ClaimPtr const& claim, std::string_view owner);
/// What a process that is started for it gets to see.
[[nodiscard]] shell::Environment environment_of(Services& services, claims::ClaimPtr const& claim);
/// Keeps the claim of each request in use until its answer is out.
void use_claims(Services& services, http::Row& row);

/// 26 characters of Crockford's alphabet, the first ten of them the time: a ULID.
[[nodiscard]] std::string new_sandbox_id(WallTime now);

}  // namespace execd::agentrun
