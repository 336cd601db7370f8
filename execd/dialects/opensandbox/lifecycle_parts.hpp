// What the lifecycle rows share: quantities of limits, answers about one claim.
#pragma once
#include <string>
#include <string_view>

#include "execd/claims/claims.hpp"
#include "execd/dialects/opensandbox/lifecycle_schemas.hpp"
#include "execd/http/route.hpp"
#include "execd/services.hpp"

namespace execd::opensandbox {

inline constexpr std::string_view kKind = "opensandbox";

/// "500m", "2", "0.5" are cores; "512Mi", "1G", "1048576" are bytes. invalid_argument: what cannot be read.
[[nodiscard]] Result<shell::ResourceLimits> limits_of(std::map<std::string, std::string> const& wanted);

/// The claim of the path; null for unknown and dead ones, and for those of other dialects.
[[nodiscard]] claims::ClaimPtr claim_of(Services& services, http::Call const& call);
[[nodiscard]] SandboxBody body_of(claims::Claim const& claim);
[[nodiscard]] http::Answer bad_request(std::string_view why);
[[nodiscard]] wire::Timestamp stamp_of(WallTime at);

/// A row of these routes without its bodies and its handler.
[[nodiscard]] http::Row lifecycle_row(std::string method, std::string path, std::string operation,
                                      std::string doc);

/// Endpoints, metadata and diagnostics of one claim (lifecycle_more.cpp).
void add_lifecycle_more(Services& services, std::vector<http::Row>& out);

}  // namespace execd::opensandbox
