#include "execd/auth/jwt.hpp"

#include <gtest/gtest.h>

#include "execd/auth/secret.hpp"
#include "tests/unit/execd/auth_keys.hpp"

namespace execd::auth {
namespace {

using namespace std::chrono_literals;

constexpr std::int64_t kNow = 1'800'000'000;
WallTime at(double seconds) {
    return WallTime(std::chrono::duration_cast<WallTime::duration>(std::chrono::duration<double>(seconds)));
}

class JwtTest : public testing::Test {
  protected:
    JwtVerifier verifier_ = *JwtVerifier::from_public_key(test_key().pem());
    std::string why(std::string const& token, double now = kNow) const {
        auto const result = verifier_.verify(token, at(now));
        return result ? "" : result.error().detail;
    }
    static std::string claims(std::string const& more) { return R"({"exp":1800000100)" + more + "}"; }
};

TEST_F(JwtTest, AcceptsTheMinimalToken) {
    auto const result = verifier_.verify(test_key().token(claims(R"(,"sub":"ann")")), at(kNow));
    ASSERT_TRUE(result) << result.error().message();
    EXPECT_EQ(result->subject, "ann");
    EXPECT_EQ(result->expires, at(kNow + 100));
    EXPECT_EQ(why(test_key().token(claims(""), R"({"alg":"RS256"})")), "");
    EXPECT_EQ(why(test_key().token(claims(R"(,"sub":7)"))), "");  // a strange subject is no subject
}

TEST_F(JwtTest, TimesWithLeeway) {
    std::string const token = test_key().token(claims(R"(,"nbf":1800000000)"));
    EXPECT_EQ(why(token, kNow - 5), "");
    EXPECT_EQ(why(token, kNow - 6), "not yet valid");
    EXPECT_EQ(why(token, kNow + 104), "");
    EXPECT_EQ(why(token, kNow + 105), "expired");
    EXPECT_EQ(why(test_key().token(R"({"exp":1800000000.5})"), kNow + 5), "");
    EXPECT_EQ(why(test_key().token(R"({"exp":1e300})")), "");
    EXPECT_EQ(why(test_key().token(R"({"exp":-1e300})")), "expired");
    for (char const* bad :
         {"{}", R"({"exp":"1800000100"})", R"({"exp":null})", R"({"exp":true})", R"({"exp":[]})"})
        EXPECT_EQ(why(test_key().token(bad)), "no expiry") << bad;
    EXPECT_EQ(why(test_key().token(claims(R"(,"nbf":"x")"))), "not yet valid");
}

// Every way to talk a verifier into another algorithm, the public key as an HMAC secret among them.
TEST_F(JwtTest, RefusesEveryOtherAlgorithm) {
    for (char const* alg : {"none", "None", "NONE", "nOnE", "HS256", "RS384", "RS512", "PS256", "ES256",
                            "rs256", "", " RS256"}) {
        std::string const header = std::string(R"({"typ":"JWT","alg":")") + alg + "\"}";
        EXPECT_EQ(why(test_key().token(claims(""), header)), "algorithm is not RS256") << alg;
    }
    for (char const* header : {R"({})", R"({"alg":null})", R"({"alg":["RS256"]})", R"({"alg":256})"})
        EXPECT_EQ(why(test_key().token(claims(""), header)), "algorithm is not RS256") << header;
    EXPECT_EQ(why(test_key().token(claims(""), R"({"alg":"RS256","crit":["b64"],"b64":false})")),
              "critical extension");

    std::string const text =
        base64_encode(R"({"alg":"HS256"})", Base64::url) + '.' + base64_encode(claims(""), Base64::url);
    auto const mac = hmac_sha256(test_key().pem(), text);
    EXPECT_NE(
        why(text + '.' + base64_encode({reinterpret_cast<char const*>(mac.data()), mac.size()}, Base64::url)),
        "");
    EXPECT_NE(why(text + '.'), "");
}

TEST_F(JwtTest, RefusesForeignAndAlteredSignatures) {
    TestKey const other;
    EXPECT_EQ(why(other.token(claims(""))), "wrong signature");
    std::string const token = test_key().token(claims(""));
    std::string const swapped = token.substr(0, token.find('.') + 1) +
                                base64_encode(R"({"exp":9999999999})", Base64::url) +
                                token.substr(token.rfind('.'));
    EXPECT_EQ(why(swapped), "wrong signature");
    EXPECT_NE(why(token.substr(0, token.rfind('.') + 1)), "");
    for (std::size_t i = 0; i < token.size(); ++i) {  // no character is without meaning
        std::string broken = token;
        broken[i] = broken[i] == 'A' ? 'B' : 'A';
        ASSERT_NE(why(broken), "") << i;
    }
    for (std::size_t n = 0; n < token.size(); ++n) ASSERT_NE(why(token.substr(0, n)), "") << n;
}

TEST_F(JwtTest, MalformedCorpus) {
    std::string const good = test_key().token(claims(""));
    std::string const deep(40'000, '[');
    std::string const nested = R"({"alg":"RS256","x":)" + std::string(20, '[') + std::string(20, ']') + "}";
    for (std::string const& bad : {std::string(),
                                   std::string("."),
                                   std::string(".."),
                                   std::string("..."),
                                   std::string("a.b.c"),
                                   std::string(3, '\0'),
                                   good + ".",
                                   "." + good,
                                   good + "=",
                                   " " + good,
                                   good + "\n",
                                   "Bearer " + good,
                                   std::string(100'000, 'A'),
                                   std::string("[].[].[]"),
                                   base64_encode(deep, Base64::url) + ".e30.AA",
                                   test_key().token(claims(""), nested),
                                   test_key().token(R"({"exp":1800000100)"),
                                   test_key().token("[1]"),
                                   test_key().token("null"),
                                   test_key().token(claims(",\"x\":\"\xFF\"")),
                                   test_key().token("{\"exp\":1e999}")})
        EXPECT_NE(why(bad), "") << bad.substr(0, 40);
}

TEST_F(JwtTest, ErrorsNeverQuoteTheToken) {
    std::string const token = test_key().token(R"({"exp":1,"sub":"canary-7f3a"})");
    auto const result = verifier_.verify(token, at(kNow));
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().message().find("canary"), std::string::npos);
    EXPECT_EQ(result.error().message().find(token.substr(0, 10)), std::string::npos);
}

TEST(JwtKey, PemOrBase64OfPemAtAnyWrapping) {
    std::string const pem = test_key().pem();
    std::string encoded = base64_encode(pem);
    while (encoded.size() % 4 != 0) encoded += '=';
    EXPECT_TRUE(JwtVerifier::from_public_key(encoded));
    for (std::size_t at = 76; at < encoded.size(); at += 78) encoded.insert(at, "\r\n");
    EXPECT_TRUE(JwtVerifier::from_public_key(encoded + "\n"));
    EXPECT_TRUE(JwtVerifier::from_public_key(pem));
    for (std::string const& bad :
         {std::string("x"), std::string("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"),
          std::string("%%%"), std::string(100'000, 'A'), std::string("AAAA")})
        EXPECT_FALSE(JwtVerifier::from_public_key(bad)) << bad.substr(0, 30);
    TestKey const weak(1024);
    EXPECT_FALSE(JwtVerifier::from_public_key(weak.pem()));
}

}  // namespace
}  // namespace execd::auth
