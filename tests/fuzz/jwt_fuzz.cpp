// Tokens, keys and signatures from strangers: nothing may crash, throw, or get in.
#include "base/check.hpp"
#include "execd/auth/jwt.hpp"
#include "execd/auth/origin.hpp"
#include "execd/auth/signature.hpp"
#include "tests/fuzz/target.hpp"
#include "tests/unit/execd/auth_keys.hpp"

namespace execd::auth {
namespace {

WallTime const kNow{std::chrono::seconds(1'800'000'000)};

JwtVerifier const& verifier() {
    static JwtVerifier const one = *JwtVerifier::from_public_key(test_key().pem());
    return one;
}

// What the key did not sign is refused, and what is said about it quotes nothing of it.
void foreign_token(std::string_view input) {
    auto const result = verifier().verify(input, kNow);
    EXECD_REQUIRE(!result);
    EXECD_REQUIRE(result.error().detail.size() < 64);
}

// The signature is right, the JSON is the attacker's: accepted only with an expiry in the future.
void signed_token(std::string_view input) {
    auto const line = fuzz::take_line(input);
    std::string const header = line.empty() ? R"({"alg":"RS256"})" : std::string(line);
    auto const result = verifier().verify(test_key().token(std::string(input), header), kNow);
    if (result) EXECD_REQUIRE(result->expires + JwtVerifier::kLeeway > kNow);
}

void agentrun(std::string_view input) {
    static AgentRunKey const key{"LTAI", Secret("secret-of-the-fuzzer")};
    auto const target = fuzz::take_line(input);
    auto const date = fuzz::take_line(input);
    auto const result = verify_agentrun({"GET", target,
                                         [&](std::string_view name) -> std::optional<std::string_view> {
                                             return name == "x-acs-date" ? date : input;
                                         }},
                                        key, kNow);
    EXECD_REQUIRE(!result);
}

void run(std::string_view input) {
    switch (fuzz::take_byte(input) % 5) {
        case 0: return foreign_token(input);
        case 1: return signed_token(input);
        case 2: return static_cast<void>(JwtVerifier::from_public_key(input));
        case 3: return agentrun(input);
        default: {
            for (auto const alphabet : {Base64::standard, Base64::url})
                if (auto const bytes = base64_decode(input, {.alphabet = alphabet}))
                    EXECD_REQUIRE(base64_decode(base64_encode(*bytes, alphabet), {.alphabet = alphabet}) ==
                                  bytes);
            static_cast<void>(OriginPolicy().permits(input, "host", "POST", false));
        }
    }
}

fuzz::Target const target{"jwt", run};

}  // namespace
}  // namespace execd::auth
