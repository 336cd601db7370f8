// SHA-256, SHA-1 and HMAC-SHA-256, and comparing and forgetting what is secret. The one place that knows the
// hash library.
//
// libcrypto's plain functions are used, not its EVP front: EVP fetches algorithms by name, which links the
// whole provider into a static program (3 MB of 12). They are the same assembly below, and OpenSSL 3 keeps
// them.
//
// Thread: any; one object at a time by one thread. Nothing here can fail.
#pragma once
#include <array>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace execd {

using Sha256Digest = std::array<std::byte, 32>;

class Sha256 {
  public:
    Sha256() noexcept;
    void update(std::string_view bytes) noexcept;
    /// The digest of all bytes so far; afterwards the object can only be copied over or destroyed.
    [[nodiscard]] Sha256Digest finish() noexcept;

  private:
    alignas(8) std::array<std::byte, 112> state_;  // SHA256_CTX, whose header stays out of ours
};

[[nodiscard]] Sha256Digest sha256(std::string_view bytes) noexcept;
[[nodiscard]] std::array<std::byte, 20> sha1(std::string_view bytes) noexcept;

/// A key made ready once: each message costs its own blocks and two more. Several threads may sign at once.
class HmacSha256 {
  public:
    explicit HmacSha256(std::string_view key) noexcept;
    /// Of the parts, one after the other (RFC 2104).
    [[nodiscard]] Sha256Digest sign(std::span<std::string_view const> parts) const noexcept;

  private:
    Sha256 inner_, outer_;  // after their first block
};

[[nodiscard]] Sha256Digest hmac_sha256(std::string_view key, std::string_view bytes) noexcept;

/// Two lower-case digits a byte.
[[nodiscard]] std::string hex(std::span<std::byte const> bytes);
/// Takes the same time whatever the bytes are; only a different length is told at once.
[[nodiscard]] bool same_bytes(std::string_view a, std::string_view b) noexcept;
/// Overwrites memory in a way that the compiler does not drop.
void wipe_memory(void* at, std::size_t size) noexcept;

}  // namespace execd
