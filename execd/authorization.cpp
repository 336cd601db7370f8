#include "execd/authorization.hpp"

#include <unistd.h>

#include "base/log.hpp"
#include "execd/http/fields.hpp"
#include "execd/http/target.hpp"

namespace execd {

namespace {

/// Dialects whose minted tokens say who asks, where nothing is protected too.
bool names_users(http::Dialect const& dialect) {
    return dialect.name() == "sandbox_sdk" || dialect.name() == "cloud_sandbox";
}

std::optional<std::string_view> look_up(http::Call const& call, auth::Place place, std::string_view name) {
    switch (place) {
        case auth::Place::header: return call.head->find(name);
        case auth::Place::query: return call.query_value(name);
        case auth::Place::cookie: {
            auto const cookies = call.head->find("Cookie");
            return cookies ? http::find_cookie(*cookies, name) : std::nullopt;
        }
    }
    return std::nullopt;
}

auth::Asked asked_of(http::Call const& call, http::Dialect const& dialect) {
    http::Head const& head = *call.head;
    auth::Asked asked;
    asked.dialect = auth_dialect(dialect.name());
    asked.method = head.method;
    asked.target = head.target;
    asked.path = call.path;
    asked.upgrade = head.upgrade;
    asked.find = [&call](auth::Place place, std::string_view name) { return look_up(call, place, name); };
    return asked;
}

}  // namespace

auth::Dialect auth_dialect(std::string_view name) {
    if (name == "opensandbox") return auth::Dialect::open_sandbox;
    if (name == "agentrun") return auth::Dialect::agentrun;
    if (name == "aio") return auth::Dialect::aio;
    if (name == "sandbox_sdk") return auth::Dialect::sandbox_sdk;
    if (name == "cloud_sandbox") return auth::Dialect::cloud_sandbox;
    if (name == "e2b") return auth::Dialect::e2b;
    return auth::Dialect::own;
}

auth::Secrets secrets_of(Config const& config) {
    // The configuration has already decided between flag and variable; from here the variables are only
    // wiped.
    auth::Secrets secrets = auth::Secrets::take_from_environment(environ);
    secrets.tokens.clear();
    secrets.jwt_public_key.clear();
    if (!config.access_token.empty()) secrets.tokens.emplace_back(config.access_token);
    if (!config.api_key.empty()) secrets.tokens.emplace_back(config.api_key);
    if (!config.jwt_public_key.empty()) secrets.jwt_public_key = config.jwt_public_key;
    return secrets;
}

Authorization::Authorization(Loop& loop, auth::Secrets secrets, Config const& config)
    : authenticator_(loop.clock(), std::move(secrets)), origins_{config.allowed_origins} {
    if (!authenticator_.problem().empty())
        log::error("auth.misconfigured", {{"problem", authenticator_.problem()}});
}

http::Authorize Authorization::check() {
    return [this](http::Call const& call, http::Dialect& dialect) { return check(call, dialect); };
}

Result<http::Principal> Authorization::check(http::Call const& call, http::Dialect& dialect) {
    http::Head const& head = *call.head;
    // A page of somebody else's in a browser inside the sandbox's network must not drive us.
    if (auto const origin = head.find("Origin");
        origin && !origins_.permits(origin, head.host, head.method, head.upgrade))
        return fail(Code::permission_denied, "origin", "this origin is not allowed");
    if (!authenticator_.protected_() && !names_users(dialect)) return http::Principal();
    auto principal = authenticator_.check(asked_of(call, dialect));
    if (!principal) return Failure(principal.error());
    http::Principal out;
    if (principal->kind == auth::Kind::anonymous) return out;
    out.name = principal->subject.empty() ? "token" : principal->subject;
    if (principal->kind == auth::Kind::minted) out.dialect = dialect.name();
    return out;
}

bool Authorization::may_mint(http::Call const& call) {
    if (!authenticator_.protected_()) return true;
    auto const principal = authenticator_.check(asked_of(call, *call.dialect));
    return principal && principal->may_mint();
}

http::ReverseProxy::Options Authorization::proxy_options() const {
    http::ReverseProxy::Options options;
    options.is_credential = [this](std::string_view name, std::string_view value) {
        for (std::string_view ours : {"X-EXECD-ACCESS-TOKEN", "OPEN-SANDBOX-API-KEY", "X-EXECD-CLAIM",
                                      "X-AIO-API-Key", "Agentrun-Authorization", "Agentrun-Access-Token"})
            if (http::iequals(name, ours)) return true;
        // These names belong to everybody: a user's own value is passed on.
        if (http::iequals(name, "Authorization")) {
            auto const parts = http::split_authorization(value);
            return authenticator_.knows(parts ? parts->credentials : value);
        }
        for (std::string_view shared : {"X-API-KEY", "X-Access-Token", "E2b-Traffic-Access-Token"})
            if (http::iequals(name, shared)) return authenticator_.knows(value);
        return false;
    };
    options.session_cookie = "execd_session";
    options.is_query_credential = [this](std::string_view name, std::string_view value) {
        if (name == "ticket") return authenticator_.is_ticket(value);
        if (value.starts_with("Bearer ")) value.remove_prefix(7);
        return authenticator_.knows(value);
    };
    return options;
}

}  // namespace execd
