#include "execd/auth/authenticator.hpp"

#include <gtest/gtest.h>

#include <cctype>

#include "base/log.hpp"
#include "tests/unit/execd/auth_keys.hpp"

namespace execd::auth {
namespace {

using namespace std::chrono_literals;

constexpr Dialect kAll[] = {Dialect::open_sandbox,  Dialect::agentrun, Dialect::aio, Dialect::sandbox_sdk,
                            Dialect::cloud_sandbox, Dialect::e2b,      Dialect::own};

class AuthenticatorTest : public testing::Test {
  protected:
    asio::io_context io_{1};
    VirtualClock clock_{io_};
    struct Request {
        std::vector<std::tuple<Place, std::string, std::string>> carried;
        bool upgrade = false;
        std::string path = "/";
    };

    static Result<Principal> ask(Authenticator& auth, Dialect dialect, Request const& request) {
        return auth.check({dialect, "GET", request.path, request.path, request.upgrade,
                           [&request](Place place, std::string_view name) -> std::optional<std::string_view> {
                               for (auto const& [p, n, value] : request.carried)
                                   if (p == place && n == name) return value;
                               return std::nullopt;
                           }});
    }
    static Secrets with_tokens(std::initializer_list<char const*> tokens) {
        Secrets out;
        for (auto const* token : tokens) out.tokens.emplace_back(token);
        return out;
    }
    std::string jwt(int lifetime = 60) const {
        auto const now =
            std::chrono::duration_cast<std::chrono::seconds>(clock_.wall().time_since_epoch()).count();
        return test_key().token(R"({"sub":"ann","exp":)" + std::to_string(now + lifetime) + "}");
    }
    static std::string with_scheme(Carrier const& carrier, std::string const& value) {
        return carrier.scheme.empty() ? value : std::string(carrier.scheme) + ' ' + value;
    }
};

TEST_F(AuthenticatorTest, NothingConfiguredMeansOpen) {
    Authenticator auth(clock_, {});
    EXPECT_FALSE(auth.protected_());
    for (auto const dialect : kAll) {
        auto const who = ask(auth, dialect, {});
        ASSERT_TRUE(who);
        EXPECT_EQ(who->kind, Kind::anonymous);
        EXPECT_TRUE(who->may_mint());
        EXPECT_TRUE(ask(auth, dialect, {{{Place::header, "Authorization", "Bearer whatever"}}, false, "/"}));
    }
}

// The property: a carrier takes exactly the kinds it names, in its dialect, wrapped in its scheme, and on the
// requests it is for.
TEST_F(AuthenticatorTest, EveryCarrierOfEveryDialect) {
    auto secrets = with_tokens({"static-token-1", "static-token-2"});
    secrets.jwt_public_key = test_key().pem();
    Authenticator auth(clock_, std::move(secrets));
    ASSERT_TRUE(auth.protected_());
    ASSERT_EQ(auth.problem(), "");
    for (auto const dialect : kAll) {
        auto const none = ask(auth, dialect, {});
        ASSERT_FALSE(none);
        EXPECT_EQ(none.error().code, Code::permission_denied);
        ASSERT_FALSE(carriers_of(dialect).empty());
        std::string const minted = *auth.tokens().mint(dialect, "bob", 1h);
        std::string const ticket = *auth.tickets().issue({});
        std::pair<Kind, std::string> const credentials[] = {{Kind::token, "static-token-1"},
                                                            {Kind::token, "static-token-2"},
                                                            {Kind::jwt, jwt()},
                                                            {Kind::minted, minted},
                                                            {Kind::ticket, ticket}};
        for (auto const& carrier : carriers_of(dialect)) {
            for (bool const upgrade : {false, true}) {
                for (auto const& [kind, value] : credentials) {
                    bool const should = has(carrier.kinds, kind) && (upgrade || !carrier.upgrade_only);
                    Request const request{
                        {{carrier.place, std::string(carrier.name), with_scheme(carrier, value)}},
                        upgrade,
                        "/"};
                    auto const who = ask(auth, dialect, request);
                    EXPECT_EQ(static_cast<bool>(who), should)
                        << carrier.name << " kind " << static_cast<int>(kind);
                    if (who) {
                        EXPECT_EQ(who->kind, kind);
                        EXPECT_EQ(who->may_mint(), kind == Kind::token || kind == Kind::jwt);
                    }
                }
                for (std::string const& wrong :
                     {std::string(), std::string("wrong"), std::string("static-token-"), jwt(-60),
                      std::string("static-token-1x"), std::string(100'000, 'x'), std::string("null")})
                    EXPECT_FALSE(
                        ask(auth, dialect,
                            {{{carrier.place, std::string(carrier.name), with_scheme(carrier, wrong)}},
                             upgrade,
                             "/"}));
            }
            // The right value in the wrong place.
            auto const elsewhere = carrier.place == Place::query ? Place::cookie : Place::query;
            EXPECT_FALSE(ask(auth, dialect,
                             {{{elsewhere, std::string(carrier.name) + "-x", "static-token-1"}}, true, "/"}));
        }
    }
}

TEST_F(AuthenticatorTest, SchemesAndStrayCredentials) {
    Authenticator auth(clock_, with_tokens({"static-token"}));
    auto const bearer = [&](std::string value) {
        return static_cast<bool>(
            ask(auth, Dialect::own, {{{Place::header, "Authorization", std::move(value)}}, false, "/"}));
    };
    EXPECT_TRUE(bearer("Bearer static-token"));
    EXPECT_TRUE(bearer("bearer   static-token "));
    EXPECT_FALSE(bearer("static-token"));
    EXPECT_FALSE(bearer("Basic static-token"));
    EXPECT_FALSE(bearer("Bearer"));
    EXPECT_FALSE(bearer("Bearer "));
    EXPECT_FALSE(bearer("Bearerstatic-token"));
    // A user name of E2B beside the key is not a wrong credential; one right carrier is enough.
    EXPECT_TRUE(ask(
        auth, Dialect::e2b,
        {{{Place::header, "Authorization", "Basic dXNlcjo="}, {Place::header, "X-API-KEY", "static-token"}},
         false,
         "/"}));
    EXPECT_TRUE(
        ask(auth, Dialect::agentrun, {{{Place::query, "Authorization", "Bearer static-token"}}, true, "/"}));
    EXPECT_TRUE(ask(auth, Dialect::agentrun, {{{Place::query, "Authorization", "static-token"}}, true, "/"}));
    EXPECT_FALSE(
        ask(auth, Dialect::agentrun, {{{Place::query, "Authorization", "static-token"}}, false, "/"}));
}

TEST_F(AuthenticatorTest, MintedTokensStayInTheirDialectAndExpire) {
    Authenticator auth(clock_, with_tokens({"static-token"}));
    std::string const token = *auth.tokens().mint(Dialect::cloud_sandbox, "user-7", 1h);
    EXPECT_EQ(token.size(), 64U);
    Request const request{{{Place::header, "Authorization", "Bearer " + token}}, false, "/"};
    for (auto const dialect : kAll)
        EXPECT_EQ(static_cast<bool>(ask(auth, dialect, request)), dialect == Dialect::cloud_sandbox);
    EXPECT_EQ(ask(auth, Dialect::cloud_sandbox, request)->subject, "user-7");
    clock_.advance(1h - 1ns);
    EXPECT_TRUE(ask(auth, Dialect::cloud_sandbox, request));
    clock_.advance(1ns);
    EXPECT_FALSE(ask(auth, Dialect::cloud_sandbox, request));

    Authenticator open(clock_, {});
    std::string const mine = *open.tokens().mint(Dialect::cloud_sandbox, "user-8", 1h);
    EXPECT_EQ(
        ask(open, Dialect::cloud_sandbox, {{{Place::header, "Authorization", "Bearer " + mine}}, false, "/"})
            ->subject,
        "user-8");
}

TEST_F(AuthenticatorTest, StoresAreBounded) {
    TokenStore tokens(clock_, 3);
    std::string const first = *tokens.mint(Dialect::own, "a", 1s);
    for (char const* who : {"a", "b"}) ASSERT_TRUE(tokens.mint(Dialect::own, who, 1h));
    EXPECT_EQ(tokens.mint(Dialect::own, "c", 1h).error().code, Code::exhausted);
    clock_.advance(1s);
    std::string const next = *tokens.mint(Dialect::own, "c", 1h);
    EXPECT_FALSE(tokens.find(Dialect::own, first));
    EXPECT_TRUE(tokens.revoke(next));
    EXPECT_FALSE(tokens.revoke(next));
    tokens.revoke_subject(Dialect::own, "a");
    EXPECT_EQ(tokens.size(), 1U);

    TicketStore tickets(clock_, 2);
    for (int i = 0; i < 2; ++i) ASSERT_TRUE(tickets.issue({}));
    EXPECT_FALSE(tickets.issue({}));
    clock_.advance(30s);
    EXPECT_TRUE(tickets.issue({}));
}

TEST_F(AuthenticatorTest, TicketsAreBoundToPathTimeAndUses) {
    TicketStore tickets(clock_);
    std::string const vnc = *tickets.issue({"/vnc", 30s, std::nullopt, "ann"});
    for (char const* good : {"/vnc", "/vnc/", "/vnc/index.html"})
        EXPECT_EQ(tickets.use(vnc, good), "ann") << good;
    for (char const* bad : {"/", "/vncx", "/v1/vnc", "", "/vn"}) EXPECT_FALSE(tickets.use(vnc, bad)) << bad;
    clock_.advance(30s);
    EXPECT_FALSE(tickets.use(vnc, "/vnc"));
    std::string const once = *tickets.issue({"/", 30s, 1, ""});
    EXPECT_TRUE(tickets.use(once, "/x"));
    EXPECT_FALSE(tickets.use(once, "/x"));
    std::string const twice = *tickets.issue({"/a", 30s, 2, ""});
    EXPECT_FALSE(tickets.use(twice, "/b"));  // costs nothing
    EXPECT_TRUE(tickets.use(twice, "/a"));
    EXPECT_TRUE(tickets.use(twice, "/a/b"));
    EXPECT_FALSE(tickets.use(twice, "/a"));
}

TEST_F(AuthenticatorTest, AKeyThatCannotBeReadClosesTheDoor) {
    Secrets secrets;
    secrets.jwt_public_key = "not a key";
    Authenticator auth(clock_, std::move(secrets));
    EXPECT_TRUE(auth.protected_());
    EXPECT_NE(auth.problem(), "");
    EXPECT_EQ(auth.problem().find("not a key"), std::string::npos);
    EXPECT_FALSE(
        ask(auth, Dialect::aio, {{{Place::header, "Authorization", "Bearer " + jwt()}}, false, "/"}));
}

TEST_F(AuthenticatorTest, TokensByTheirHash) {
    Authenticator auth(clock_, {});
    for (char const* bad : {"", "sha256:", "md5:abc", "sha256:zz", "e3b0"})
        EXPECT_FALSE(auth.add_token_hash(bad)) << bad;
    EXPECT_FALSE(auth.add_token_hash("sha256:" + std::string(63, 'a') + "g"));
    EXPECT_FALSE(auth.protected_());
    std::string text = hex(sha256("late"));
    for (char& c : text) c = static_cast<char>(std::toupper(c));
    ASSERT_TRUE(auth.add_token_hash("sha256:" + text));
    EXPECT_TRUE(auth.protected_());
    EXPECT_TRUE(
        ask(auth, Dialect::open_sandbox, {{{Place::header, "X-EXECD-ACCESS-TOKEN", "late"}}, false, "/"}));
    EXPECT_FALSE(
        ask(auth, Dialect::open_sandbox, {{{Place::header, "X-EXECD-ACCESS-TOKEN", "late1"}}, false, "/"}));
}

TEST_F(AuthenticatorTest, TheEnvironmentIsEmptiedWhereItLies) {
    char token[] = "EXECD_ACCESS_TOKEN= canary-env-1 ";
    char similar[] = "EXECD_ACCESS_TOKEN_FILE=/x";
    char key[] = "SANDBOX_API_KEY=canary-env-2";
    char id[] = "EXECD_AGENTRUN_ACCESS_KEY_ID=LTAI";
    char secret[] = "EXECD_AGENTRUN_ACCESS_KEY_SECRET=canary-env-3";
    char* environment[] = {token, similar, key, id, secret, nullptr};
    auto const secrets = Secrets::take_from_environment(environment);
    ASSERT_EQ(secrets.tokens.size(), 2U);
    EXPECT_TRUE(secrets.tokens[0].matches("canary-env-1"));
    EXPECT_TRUE(secrets.tokens[1].matches("canary-env-2"));
    EXPECT_TRUE(secrets.agentrun && secrets.agentrun->secret.matches("canary-env-3"));
    for (auto const& [data, size] :
         {std::pair{token, sizeof token}, {key, sizeof key}, {secret, sizeof secret}})
        EXPECT_EQ(std::string(data, size).find("canary"), std::string::npos);
    EXPECT_STREQ(similar, "EXECD_ACCESS_TOKEN_FILE=/x");
    for (char const* name :
         {"EXECD_ACCESS_TOKEN", "SANDBOX_API_KEY", "JWT_PUBLIC_KEY", "EXECD_AGENTRUN_ACCESS_KEY_SECRET"})
        EXPECT_TRUE(is_hidden_variable(name));
    EXPECT_FALSE(is_hidden_variable("PATH"));
    EXPECT_FALSE(is_hidden_variable("EXECD_ACCESS_TOKEN_FILE"));
}

// No refusal, whatever is presented, says anything about the secret or about what was presented.
TEST_F(AuthenticatorTest, CanaryNeverShowsInErrors) {
    static std::string logged;
    log::set_test_sink([](std::string_view line) { logged += line; });
    auto secrets = with_tokens({"canary-secret-0123"});
    secrets.jwt_public_key = test_key().pem();
    secrets.agentrun = AgentRunKey{"LTAI", Secret("canary-secret-4567")};
    Authenticator auth(clock_, std::move(secrets));
    for (auto const dialect : kAll)
        for (auto const& carrier : carriers_of(dialect))
            for (std::string const& value :
                 {std::string("canary-guess"), std::string("canary.guess.x"),
                  std::string("AGENTRUN4-HMAC-SHA256 Credential=canary/a/b/c/aliyun_v4_request")}) {
                auto const who = ask(
                    auth, dialect,
                    {{{carrier.place, std::string(carrier.name), with_scheme(carrier, value)}}, true, "/"});
                ASSERT_FALSE(who);
                log::warn("auth.refused", {{"why", who.error().message()}});
            }
    log::set_test_sink(nullptr);
    EXPECT_NE(logged.find("auth.refused"), std::string::npos);
    EXPECT_EQ(logged.find("canary"), std::string::npos);
    EXPECT_EQ(auth.redactor().scrub("x canary-secret-0123 y canary-secret-4567"), "x *** y ***");
}

}  // namespace
}  // namespace execd::auth
