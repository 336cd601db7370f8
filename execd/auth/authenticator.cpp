#include "execd/auth/authenticator.hpp"

#include <algorithm>
#include <array>
#include <cstring>

namespace execd::auth {

namespace {

constexpr Kinds kKeys = Kind::token | Kind::jwt;
constexpr Kinds kKeysAndMinted = kKeys | Kind::minted;
constexpr Kinds kTicket = static_cast<Kinds>(Kind::ticket);
constexpr Kinds kSignature = static_cast<Kinds>(Kind::signature);
constexpr std::size_t kMaxCredential = JwtVerifier::kMaxLength + 64;

constexpr Carrier kAccessToken{Place::header, "X-EXECD-ACCESS-TOKEN", "", kKeys};
constexpr Carrier kBearer{Place::header, "Authorization", "Bearer", kKeys};
constexpr Carrier kBearerOrMinted{Place::header, "Authorization", "Bearer", kKeysAndMinted};
constexpr Carrier kApiKey{Place::header, "X-API-KEY", "", kKeys};
constexpr Carrier kTicketQuery{Place::query, "ticket", "", kTicket};

// contracts/opensandbox.md 1.0, opensandbox-1.1.md 8
constexpr std::array kOpenSandbox{Carrier{Place::header, "X-EXECD-ACCESS-TOKEN", "", kKeysAndMinted},
                                  Carrier{Place::header, "OPEN-SANDBOX-API-KEY", "", kKeys}, kBearer,
                                  kTicketQuery};
// contracts/agentrun.md 1.3
constexpr std::array kAgentRun{Carrier{Place::header, kAgentRunHeader, "", kSignature},
                               Carrier{Place::header, "Agentrun-Access-Token", "", kKeys},
                               kBearer,
                               kApiKey,
                               Carrier{Place::header, "X-Access-Token", "", kKeys},
                               kAccessToken,
                               Carrier{Place::query, "Authorization", "", kKeys, true},
                               kTicketQuery};
// contracts/aio.md 3.3
constexpr std::array kAio{
    Carrier{Place::header, "X-AIO-API-Key", "", kKeys}, kApiKey,     kBearer, kAccessToken,
    Carrier{Place::query, "api_key", "", kKeys},        kTicketQuery};
// contracts/small-dialects.md
constexpr std::array kSandboxSdk{kBearerOrMinted, kAccessToken};
constexpr std::array kCloudSandbox{kBearerOrMinted, kApiKey, kAccessToken};
// contracts/e2b.md 1 and 8
constexpr std::array kE2b{kApiKey, Carrier{Place::header, "X-Access-Token", "", kKeysAndMinted},
                          Carrier{Place::header, "E2b-Traffic-Access-Token", "", kKeysAndMinted}, kBearer,
                          kAccessToken};
constexpr std::array kOwn{kAccessToken, kBearerOrMinted,
                          Carrier{Place::cookie, "execd_session", "", static_cast<Kinds>(Kind::minted)},
                          Carrier{Place::query, "Authorization", "", kKeys, true}, kTicketQuery};

constexpr std::array<std::string_view, 6> kHidden{"EXECD_ACCESS_TOKEN",
                                                  "SANDBOX_API_KEY",
                                                  "JWT_PUBLIC_KEY",
                                                  "EXECD_AGENTRUN_ACCESS_KEY_ID",
                                                  "EXECD_AGENTRUN_ACCESS_KEY_SECRET",
                                                  "EXECD_FAULT"};

std::string_view trimmed(std::string_view s) {
    while (!s.empty() && (s.front() == ' ' || s.front() == '\t')) s.remove_prefix(1);
    while (!s.empty() && (s.back() == ' ' || s.back() == '\t')) s.remove_suffix(1);
    return s;
}

// "Bearer xyz" -> "xyz"; nothing when the scheme is another one.
std::optional<std::string_view> after_scheme(std::string_view value, std::string_view scheme) {
    if (value.size() <= scheme.size() || value[scheme.size()] != ' ') return std::nullopt;
    for (std::size_t i = 0; i < scheme.size(); ++i)
        if ((value[i] | 0x20) != (scheme[i] | 0x20)) return std::nullopt;
    return trimmed(value.substr(scheme.size()));
}

// A variable's value, overwritten in place.
std::string take(char** environment, std::string_view name) {
    std::string out;
    for (char** at = environment; at != nullptr && *at != nullptr; ++at) {
        std::string_view const entry(*at);
        if (entry.size() <= name.size() || entry[name.size()] != '=' || !entry.starts_with(name)) continue;
        auto const value = entry.substr(name.size() + 1);
        if (out.empty()) out = trimmed(value);
        wipe_memory(*at + name.size() + 1, value.size());
    }
    return out;
}

}  // namespace

std::span<Carrier const> carriers_of(Dialect dialect) {
    switch (dialect) {
        case Dialect::open_sandbox: return kOpenSandbox;
        case Dialect::agentrun: return kAgentRun;
        case Dialect::aio: return kAio;
        case Dialect::sandbox_sdk: return kSandboxSdk;
        case Dialect::cloud_sandbox: return kCloudSandbox;
        case Dialect::e2b: return kE2b;
        case Dialect::own: return kOwn;
    }
    return {};
}

std::span<std::string_view const> hidden_variables() { return kHidden; }
bool is_hidden_variable(std::string_view name) {
    return std::find(kHidden.begin(), kHidden.end(), name) != kHidden.end();
}

Secrets Secrets::take_from_environment(char** environment) {
    Secrets out;
    for (auto const name : {"EXECD_ACCESS_TOKEN", "SANDBOX_API_KEY"}) {
        std::string value = take(environment, name);
        if (!value.empty()) out.tokens.emplace_back(value);
        wipe(value);
    }
    out.jwt_public_key = take(environment, "JWT_PUBLIC_KEY");
    std::string id = take(environment, "EXECD_AGENTRUN_ACCESS_KEY_ID");
    std::string secret = take(environment, "EXECD_AGENTRUN_ACCESS_KEY_SECRET");
    if (!id.empty() && !secret.empty()) out.agentrun = AgentRunKey{std::move(id), Secret(secret)};
    wipe(secret);
    return out;
}

Authenticator::Authenticator(Clock& clock, Secrets secrets)
    : clock_(&clock), tokens_(clock), tickets_(clock) {
    for (auto const& token : secrets.tokens) {
        if (token.empty()) continue;
        token_digests_.push_back(token.digest());
        redactor_.add(token.reveal());
    }
    protected_flag_ = !token_digests_.empty();
    if (!secrets.jwt_public_key.empty()) {
        protected_flag_ = true;
        auto verifier = JwtVerifier::from_public_key(secrets.jwt_public_key);
        if (verifier)
            jwt_ = std::move(*verifier);
        else
            problem_ = "JWT_PUBLIC_KEY: " + verifier.error().detail;
    }
    if (secrets.agentrun) {
        protected_flag_ = true;
        redactor_.add(secrets.agentrun->secret.reveal());
        agentrun_ = std::move(secrets.agentrun);
    }
}

Result<void> Authenticator::add_token_hash(std::string_view text) {
    constexpr std::string_view kPrefix = "sha256:";
    auto const malformed = [] {
        return fail(Code::invalid_argument, "auth", "not sha256:<64 hexadecimal digits>");
    };
    if (!text.starts_with(kPrefix) || text.size() != kPrefix.size() + 64) return malformed();
    text.remove_prefix(kPrefix.size());
    Digest digest{};
    for (std::size_t i = 0; i < 64; ++i) {
        auto const value = std::string_view("0123456789abcdef").find(static_cast<char>(text[i] | 0x20));
        if (value == std::string_view::npos || text[i] < '0') return malformed();
        digest[i / 2] |= static_cast<std::byte>(i % 2 == 0 ? value << 4 : value);
    }
    token_digests_.push_back(digest);
    protected_flag_ = true;
    return {};
}

bool Authenticator::token_matches(std::string_view presented) const {
    Digest const digest = sha256(presented);
    bool found = false;
    for (auto const& known : token_digests_) found = same(known, digest) || found;  // no early end
    return found;
}

bool Authenticator::knows(std::string_view presented) const {
    if (presented.empty() || presented.size() > kMaxCredential) return false;
    if (token_matches(presented)) return true;
    for (auto const dialect : {Dialect::open_sandbox, Dialect::agentrun, Dialect::aio, Dialect::sandbox_sdk,
                               Dialect::cloud_sandbox, Dialect::e2b, Dialect::own})
        if (tokens_.find(dialect, presented)) return true;
    return jwt_ && jwt_->verify(presented, clock_->wall());
}

std::optional<Principal> Authenticator::accept(Carrier const& carrier, std::string_view value,
                                               Asked const& asked) {
    if (has(carrier.kinds, Kind::signature)) {
        if (!agentrun_) return std::nullopt;
        SignedRequest const request{asked.method, asked.target, [&asked](std::string_view name) {
                                        return asked.find(Place::header, name);
                                    }};
        auto const id = verify_agentrun(request, *agentrun_, clock_->wall());
        if (id) return Principal{Kind::signature, *id};
        return std::nullopt;
    }
    if (has(carrier.kinds, Kind::token) && token_matches(value)) return Principal{Kind::token, {}};
    if (has(carrier.kinds, Kind::minted))
        if (auto const minted = tokens_.find(asked.dialect, value))
            return Principal{Kind::minted, minted->subject};
    if (has(carrier.kinds, Kind::jwt) && jwt_)
        if (auto claims = jwt_->verify(value, clock_->wall()))
            return Principal{Kind::jwt, std::move(claims->subject)};
    if (has(carrier.kinds, Kind::ticket))
        if (auto subject = tickets_.use(value, asked.path))
            return Principal{Kind::ticket, std::move(*subject)};
    return std::nullopt;
}

Result<Principal> Authenticator::check(Asked const& asked) {
    bool presented = false;
    for (auto const& carrier : carriers_of(asked.dialect)) {
        if (carrier.upgrade_only && !asked.upgrade) continue;
        auto found = asked.find(carrier.place, carrier.name);
        if (!found) continue;
        auto value = trimmed(*found);
        if (!carrier.scheme.empty()) {
            auto const rest = after_scheme(value, carrier.scheme);
            if (!rest) continue;
            value = *rest;
        } else if (carrier.upgrade_only) {
            value = after_scheme(value, "Bearer").value_or(value);  // seen with and without
        }
        if (value.empty()) continue;
        presented = true;
        if (value.size() > kMaxCredential) continue;
        if (auto who = accept(carrier, value, asked)) return std::move(*who);
    }
    if (!protected_flag_) return Principal{};
    return fail(Code::permission_denied, "auth",
                presented ? "the credential is not valid" : "a credential is required");
}

}  // namespace execd::auth
