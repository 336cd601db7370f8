// JSON Web Tokens, RS256 only (contracts/aio.md, 3.3.1 and 10 item 13). The signature is verified by mbedTLS
// (rsa.hpp). cpp-jwt was looked at and not taken: it reads the system's clock instead of ours, ignores
// `crit`, and lets the JSON library's exceptions out on claims of a wrong type.
//
// Pure: time is an argument. Thread: one at a time (rsa.hpp).
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "execd/auth/rsa.hpp"

namespace execd::auth {

struct JwtClaims {
    std::string subject;  // `sub`, empty when there is none
    WallTime expires;
};

class JwtVerifier {
  public:
    static constexpr std::size_t kMaxLength = 8192;
    static constexpr int kMaxDepth = 16;
    static constexpr std::chrono::seconds kLeeway{5};

    /// A PEM public key, or base64 of one (any white space inside). RSA of at least 2048 bits.
    [[nodiscard]] static Result<JwtVerifier> from_public_key(std::string_view text);

    /// Refused: any algorithm but RS256, `crit`, no numeric `exp`, expired, not yet valid, too long, too
    /// deep. The error never quotes the token.
    [[nodiscard]] Result<JwtClaims> verify(std::string_view token, WallTime now) const;

  private:
    std::optional<RsaKey> key_;
};

}  // namespace execd::auth
