// Authorization: the HTTP room's requests seen by auth/ (docs/architecture.md, section 7), and what the proxy
// must not pass on.
//
// Thread: the reactor. Owner: the daemon.
#pragma once
#include "execd/auth/authenticator.hpp"
#include "execd/auth/origin.hpp"
#include "execd/config.hpp"
#include "execd/http/proxy.hpp"
#include "execd/http/server.hpp"

namespace execd {

/// The dialect as auth knows it; what has no name of its own there is execd's own.
[[nodiscard]] auth::Dialect auth_dialect(std::string_view name);

/// Flag and environment; the environment's copies are overwritten.
[[nodiscard]] auth::Secrets secrets_of(Config const& config);

class Authorization {
  public:
    Authorization(Loop& loop, auth::Secrets secrets, Config const& config);

    [[nodiscard]] http::Authorize check();
    /// True for a caller whose credential is no ticket and was not minted by us.
    [[nodiscard]] bool may_mint(http::Call const& call);
    /// Strips our own credentials from what goes to a user's port.
    [[nodiscard]] http::ReverseProxy::Options proxy_options() const;
    [[nodiscard]] auth::Authenticator& authenticator() { return authenticator_; }

  private:
    Result<http::Principal> check(http::Call const& call, http::Dialect& dialect);
    auth::Authenticator authenticator_;
    auth::OriginPolicy origins_;
};

}  // namespace execd
