// Request signatures. Pure: time and secrets are arguments.
#pragma once
#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "execd/auth/secret.hpp"

namespace execd::auth {

/// The head of a request as it came: `target` raw (path and query, not decoded), header names in any case.
struct SignedRequest {
    std::string_view method;
    std::string_view target;
    std::function<std::optional<std::string_view>(std::string_view name)> header;
};

/// AGENTRUN4-HMAC-SHA256 (contracts/agentrun.md, 1.3), as the SDK makes it: the path as sent, the query
/// decoded, sorted and encoded anew (empty values with '=', pairs without '=' left out, the last of equal
/// names), the payload not signed.
struct AgentRunKey {
    std::string id;
    Secret secret;
};
inline constexpr std::string_view kAgentRunHeader = "Agentrun-Authorization";
inline constexpr std::chrono::minutes kAgentRunWindow{15};

/// The key id when the signature is right: known key, `host` and `x-acs-date` signed, the date within the
/// window around `now` and equal to the credential's. The error never quotes the signature.
[[nodiscard]] Result<std::string> verify_agentrun(SignedRequest const& request, AgentRunKey const& key,
                                                  WallTime now);

/// The text that is hashed; for tests and for explaining a refusal in a debug log.
[[nodiscard]] std::string agentrun_canonical_request(SignedRequest const& request,
                                                     std::string_view signed_headers);

/// E2B's signed file URLs (contracts/e2b.md, 8): "v1_" + unpadded base64 of SHA-256 over
/// path:operation:user:token[:expiration]. `raw_path` is the query value, not the resolved path.
struct E2bSignature {
    std::string_view raw_path;
    std::string_view operation;  // "read" or "write"
    std::string_view user;
    std::optional<std::int64_t> expiration;  // unix seconds
};
[[nodiscard]] std::string e2b_signature(E2bSignature const& what, Secret const& token);
[[nodiscard]] bool verify_e2b(E2bSignature const& what, Secret const& token, std::string_view presented,
                              WallTime now);

}  // namespace execd::auth
