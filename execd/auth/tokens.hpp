// Tokens that execd hands out itself: opaque, 256 bits, kept as digests only, bounded in number and in time.
//
// Thread: the reactor (uses its Clock).
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "execd/auth/dialect.hpp"
#include "execd/auth/secret.hpp"

namespace execd::auth {

struct Minted {
    Dialect dialect;
    std::string subject;  // who it was given to: a user id, a claim
    Deadline expires;
};

/// Tokens of registrations and logins (cloud_sandbox, sandbox_sdk, e2b, own). Each is valid in its dialect
/// only.
class TokenStore {
  public:
    TokenStore(Clock& clock, std::size_t limit = 10'000) : clock_(&clock), limit_(limit) {}

    /// The text is shown once, to its owner. Code::exhausted when `limit` live tokens exist.
    [[nodiscard]] Result<std::string> mint(Dialect dialect, std::string subject, Duration life);
    /// Nothing when unknown, expired or of another dialect.
    [[nodiscard]] std::optional<Minted> find(Dialect dialect, std::string_view token) const;
    bool revoke(std::string_view token);
    void revoke_subject(Dialect dialect, std::string_view subject);
    [[nodiscard]] std::size_t size() const { return tokens_.size(); }

  private:
    void drop_expired();
    Clock* clock_;
    std::size_t limit_;
    std::map<Digest, Minted> tokens_;
};

/// What a ticket opens.
struct TicketTerms {
    /// Decoded path; "/vnc" opens "/vnc" and "/vnc/...", "/" everything.
    std::string path_prefix = "/";
    Duration life = std::chrono::seconds(30);
    /// A VNC page uses its ticket for the page, its files and the WebSocket (contracts/aio.md, 3.3.1), so the
    /// default is the whole life; 1 makes a one-time ticket.
    std::optional<std::uint32_t> uses;
    std::string subject;
};

/// Short-lived tickets for URLs that cannot carry headers. A ticket never mints anything and is no Bearer.
class TicketStore {
  public:
    TicketStore(Clock& clock, std::size_t limit = 10'000) : clock_(&clock), limit_(limit) {}

    [[nodiscard]] Result<std::string> issue(TicketTerms terms);
    /// Consumes one use. `path` is decoded and without query. The subject, or nothing.
    [[nodiscard]] std::optional<std::string> use(std::string_view ticket, std::string_view path);
    /// True for a live ticket, whatever it opens; nothing is used up.
    [[nodiscard]] bool holds(std::string_view ticket) const;
    [[nodiscard]] std::size_t size() const { return tickets_.size(); }

  private:
    struct Ticket {
        TicketTerms terms;
        Deadline expires;
    };
    Clock* clock_;
    std::size_t limit_;
    std::map<Digest, Ticket> tickets_;
};

}  // namespace execd::auth
