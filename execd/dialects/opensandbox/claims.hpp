// Which claim a request is for, and what that means for the routes of this dialect. A client that created a
// sandbox here reaches it by the endpoint that it was told: /proxy/44772 with the header X-EXECD-CLAIM, or
// /v1/sandboxes/{id}/proxy/44772 (execd/self_proxy.hpp). What it starts belongs to its claim, and it sees
// and ends nothing of another one's. Requests without a claim are the container's owner's: they see all.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "execd/http/route.hpp"
#include "execd/services.hpp"
#include "shell/environment.hpp"

namespace execd::opensandbox {

/// Empty: of no claim. Whoever brings the token of an endpoint is of that endpoint's claim, whatever else the
/// request says.
[[nodiscard]] std::string claim_id(http::Call const& call);
/// Whether the credential is good for this claim; that of an endpoint is for its own alone.
[[nodiscard]] bool may_use(http::Call const& call, std::string_view claim);
/// Whether the request may see what belongs to `owner`.
[[nodiscard]] bool sees(http::Call const& call, std::string_view owner);
/// What a process that this request starts gets to see, before the request's own.
[[nodiscard]] shell::Environment environment_of(Services& services, http::Call const& call);
/// The same for what belongs to a claim; empty: to none.
[[nodiscard]] shell::Environment environment_of(Services& services, std::string_view owner);

/// Data routes behind the gate of their request's claim: 404 for unknown and dead ones, 409 while paused, and
/// the claim is in use until the answer is out.
void guard_claims(Services& services, std::vector<http::Row>& rows, std::size_t first);
/// The rows of the lifecycle: the token of an endpoint opens its own claim's alone (404 for others, 403 for
/// those that are about all).
void guard_lifecycle(std::vector<http::Row>& rows, std::size_t first);
/// A dead claim's sandbox does not answer; a paused one is healthy.
[[nodiscard]] http::SyncHandler ping_of(Services& services);

/// What there is to say before the initialization (execd/runtime_init.hpp).
[[nodiscard]] Result<http::Answer> uninitialized();
/// "Sandbox x not found", with the code that clients know.
[[nodiscard]] http::Answer no_sandbox(std::string_view id);
[[nodiscard]] http::Answer wrong_state(std::string_view message);

/// GET /ready, and POST /internal/init where the configuration wants it.
void add_runtime_init(Services& services, std::vector<http::Row>& out);
void add_lifecycle(Services& services, std::vector<http::Row>& out);
/// What this façade has not: snapshots, templates, pools, network policies, isolated sessions.
void add_absent(Services& services, std::vector<http::Row>& out);

}  // namespace execd::opensandbox
