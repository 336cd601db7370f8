// Secret: a credential in memory. It cannot be printed, logged or copied by accident, is zeroed when it dies,
// and is compared by digest, so that neither time nor length of a wrong guess says anything about it.
//
// Thread: any (immutable after construction).
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "base/digest.hpp"

namespace execd::auth {

using Digest = Sha256Digest;
using execd::hex;
using execd::hmac_sha256;
using execd::sha256;

/// Takes the same time whatever the bytes are.
[[nodiscard]] bool same(Digest const& a, Digest const& b) noexcept;
[[nodiscard]] bool same_text(std::string_view a, std::string_view b);

class Secret {
  public:
    Secret() = default;
    explicit Secret(std::string_view value);
    Secret(Secret&& other) noexcept;
    Secret& operator=(Secret&& other) noexcept;
    Secret(Secret const&) = delete;
    Secret& operator=(Secret const&) = delete;
    ~Secret() { wipe(); }

    [[nodiscard]] bool empty() const { return bytes_.empty(); }
    [[nodiscard]] bool matches(std::string_view presented) const;
    [[nodiscard]] Digest digest() const { return sha256(reveal()); }
    /// The value itself. Every use of this has to be able to say why.
    [[nodiscard]] std::string_view reveal() const { return {bytes_.data(), bytes_.size()}; }

  private:
    void wipe() noexcept;
    std::vector<char> bytes_;  // not a std::string: a short one would leave copies behind when moved
};

/// Overwrites the bytes of a string that held a secret.
void wipe(std::string& text) noexcept;

/// Takes secrets out of texts bound for logs, error bodies and traces.
class Redactor {
  public:
    /// Remembers `secret`; values under 4 bytes are ignored (they would blank out half of every text).
    void add(std::string_view secret);
    /// Every occurrence, plain or percent-encoded, becomes "***".
    [[nodiscard]] std::string scrub(std::string_view text) const;
    /// The same for a request target, and the values of query parameters that carry credentials go whatever
    /// they are.
    [[nodiscard]] std::string scrub_target(std::string_view target) const;

  private:
    std::vector<Secret> secrets_;
};

}  // namespace execd::auth
