// An RSA public key that verifies signatures (PKCS #1 v1.5 with SHA-256, which JWT calls RS256).
//
// mbedTLS does it: libcrypto's RSA comes only with its whole provider, a quarter of the program.
#pragma once
#include <memory>
#include <string_view>

#include "base/digest.hpp"
#include "base/error.hpp"

namespace execd::auth {

class RsaKey {
  public:
    static constexpr std::size_t kMinBits = 2048;

    /// A PEM "PUBLIC KEY" (RFC 7468, section 13) of an RSA key of 2048 to 8192 bits. decode otherwise.
    [[nodiscard]] static Result<RsaKey> from_pem(std::string_view pem);

    /// One call at a time: mbedTLS keeps intermediate values in the key.
    [[nodiscard]] bool verifies(std::string_view signature, Sha256Digest const& digest) const;

  private:
    struct Impl;
    std::shared_ptr<Impl> impl_;
};

}  // namespace execd::auth
