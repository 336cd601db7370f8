// Authenticator: who may call. If any secret is set, every dialect requires a valid credential in one of its
// carriers (docs/architecture.md, section 7); rows that are public say so themselves and are not brought
// here.
//
// Thread: the reactor. Independent of the HTTP room: the request is seen through a look-up function.
#pragma once
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "execd/auth/dialect.hpp"
#include "execd/auth/jwt.hpp"
#include "execd/auth/secret.hpp"
#include "execd/auth/signature.hpp"
#include "execd/auth/tokens.hpp"

namespace execd::auth {

/// What a credential is; carriers accept a set of these.
enum class Kind : std::uint8_t {
    anonymous = 0,  // nothing is protected
    token = 1,      // EXECD_ACCESS_TOKEN or SANDBOX_API_KEY
    jwt = 2,
    minted = 4,      // TokenStore
    ticket = 8,      // TicketStore
    signature = 16,  // AGENTRUN4-HMAC-SHA256
};
using Kinds = std::uint8_t;
[[nodiscard]] constexpr Kinds operator|(Kind a, Kind b) {
    return static_cast<Kinds>(a) | static_cast<Kinds>(b);
}
[[nodiscard]] constexpr Kinds operator|(Kinds a, Kind b) { return a | static_cast<Kinds>(b); }
[[nodiscard]] constexpr bool has(Kinds set, Kind one) { return (set & static_cast<Kinds>(one)) != 0; }

enum class Place : std::uint8_t { header, query, cookie };

/// One place where a dialect's clients put their credential.
struct Carrier {
    Place place;
    std::string_view name;
    std::string_view scheme;  // "Bearer": what has another scheme (E2B's Basic user names) is no credential
    Kinds kinds;
    bool upgrade_only = false;  // browsers cannot set headers on a WebSocket
};
[[nodiscard]] std::span<Carrier const> carriers_of(Dialect dialect);

/// The request as auth sees it. `find` gives a header's value, a query value (decoded) or a cookie.
struct Asked {
    Dialect dialect;
    std::string_view method;
    std::string_view target;  // raw, for signatures
    std::string_view path;    // decoded, for tickets
    bool upgrade = false;
    std::function<std::optional<std::string_view>(Place place, std::string_view name)> find;
};

struct Principal {
    Kind kind = Kind::anonymous;
    std::string subject;  // a JWT's `sub`, a minted token's subject, a key id

    /// Tickets and minted tokens beget nothing.
    [[nodiscard]] bool may_mint() const { return kind != Kind::ticket && kind != Kind::minted; }
};

/// The secrets of the configuration. `take_from_environment` also overwrites them where they lie, because
/// /proc/<pid>/environ of the daemon is readable by its children.
struct Secrets {
    std::vector<Secret> tokens;
    std::string jwt_public_key;
    std::optional<AgentRunKey> agentrun;

    [[nodiscard]] static Secrets take_from_environment(char** environment);
};
/// Variables that no child of execd ever sees.
[[nodiscard]] std::span<std::string_view const> hidden_variables();
[[nodiscard]] bool is_hidden_variable(std::string_view name);

class Authenticator {
  public:
    Authenticator(Clock& clock, Secrets secrets);

    /// True when any secret is configured, even one that cannot be used: then nothing but the others gets in.
    [[nodiscard]] bool protected_() const { return protected_flag_; }
    /// What is wrong with the configuration (an unreadable public key); to be logged loudly at start.
    [[nodiscard]] std::string const& problem() const { return problem_; }
    /// Code::permission_denied, with a detail that never quotes what was presented. A minted token names its
    /// subject even where nothing is protected.
    [[nodiscard]] Result<Principal> check(Asked const& asked);
    /// True for a secret of ours, a JWT that we accept or a token that we minted: what a proxy must not pass
    /// on.
    [[nodiscard]] bool knows(std::string_view presented) const;
    [[nodiscard]] bool is_ticket(std::string_view presented) const { return tickets_.holds(presented); }
    /// OpenSandbox's one-shot initialisation brings "sha256:<hex>" of a token (contracts/opensandbox.md, 10).
    [[nodiscard]] Result<void> add_token_hash(std::string_view text);

    [[nodiscard]] TokenStore& tokens() { return tokens_; }
    [[nodiscard]] TicketStore& tickets() { return tickets_; }
    [[nodiscard]] Redactor const& redactor() const { return redactor_; }

  private:
    [[nodiscard]] bool token_matches(std::string_view presented) const;
    [[nodiscard]] std::optional<Principal> accept(Carrier const& carrier, std::string_view value,
                                                  Asked const& asked);

    Clock* clock_;
    bool protected_flag_ = false;
    std::string problem_;
    std::vector<Digest> token_digests_;
    std::optional<JwtVerifier> jwt_;
    std::optional<AgentRunKey> agentrun_;
    TokenStore tokens_;
    TicketStore tickets_;
    Redactor redactor_;
};

}  // namespace execd::auth
