#include "execd/auth/secret.hpp"

#include <gtest/gtest.h>

#include <type_traits>

#include "base/log.hpp"
#include "execd/auth/origin.hpp"

namespace execd::auth {
namespace {

static_assert(!std::is_copy_constructible_v<Secret> && !std::is_convertible_v<Secret, std::string_view>);
static_assert(!std::is_constructible_v<log::Value, Secret const&>);  // no way into a log line by accident
template <class T>
concept Printable = requires(std::ostream& out, T const& value) { out << value; };
static_assert(!Printable<Secret>);

TEST(Digests, KnownValues) {
    EXPECT_EQ(hex(sha256("")), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    EXPECT_EQ(hex(sha256("abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    EXPECT_EQ(hex(hmac_sha256("Jefe", "what do ya want for nothing?")),  // RFC 4231, case 2
              "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

TEST(Secret, MatchesOnlyItself) {
    Secret const secret("correct horse");
    EXPECT_TRUE(secret.matches("correct horse"));
    for (char const* wrong : {"", "correct hors", "correct horse ", "Correct horse", "x"})
        EXPECT_FALSE(secret.matches(wrong));
    EXPECT_FALSE(Secret().matches(""));  // no secret: nothing matches
    EXPECT_FALSE(Secret("").matches(""));
    EXPECT_FALSE(secret.matches(std::string_view("correct horse\0", 14)));
}

TEST(Secret, MovesLeaveNothingBehind) {
    Secret a("short");
    Secret b(std::move(a));
    EXPECT_TRUE(a.empty());  // NOLINT(bugprone-use-after-move): that is the promise
    Secret c("other");
    c = std::move(b);
    EXPECT_EQ(c.reveal(), "short");
    std::string text = "keep me not";
    wipe(text);
    EXPECT_TRUE(text.empty());
}

TEST(Redactor, ScrubsPlainEncodedAndNested) {
    Redactor redactor;
    redactor.add("s3cret/+key");
    redactor.add("s3cret/+key-and-more");
    redactor.add("abc");  // too short to be looked for
    EXPECT_EQ(redactor.scrub("a s3cret/+key b s3cret/+key-and-more abc"), "a *** b *** abc");
    EXPECT_EQ(redactor.scrub("x=s3cret%2F%2Bkey"), "x=***");
    EXPECT_EQ(redactor.scrub("nothing"), "nothing");
    EXPECT_EQ(redactor.scrub(""), "");
}

TEST(Redactor, ScrubsCredentialParameters) {
    Redactor redactor;
    redactor.add("hunter22");
    EXPECT_EQ(redactor.scrub_target("/a?ticket=t&x=1&API_KEY=k&Authorization=Bearer%20z&q=hunter22"),
              "/a?ticket=***&x=1&API_KEY=***&Authorization=***&q=***");
    EXPECT_EQ(redactor.scrub_target("/a/hunter22"), "/a/***");
    EXPECT_EQ(redactor.scrub_target("/a?"), "/a?");
    EXPECT_EQ(redactor.scrub_target("/a?ticket&&token="), "/a?ticket&&token=***");
}

TEST(Origin, WhoMayComeFromABrowser) {
    OriginPolicy policy;
    policy.allowed = {"https://Console.example:8443"};
    auto const unsafe = [&](std::optional<std::string_view> origin, std::string_view host) {
        bool const post = policy.permits(origin, host, "POST", false);
        EXPECT_EQ(post, policy.permits(origin, host, "GET", true));
        return post;
    };
    EXPECT_TRUE(unsafe(std::nullopt, "box:8080"));
    EXPECT_TRUE(unsafe("http://box:8080", "box:8080"));
    EXPECT_TRUE(unsafe("http://BOX:8080", "box:8080"));
    EXPECT_TRUE(unsafe("https://box", "box"));
    EXPECT_TRUE(unsafe("https://box", "box:443"));
    EXPECT_TRUE(unsafe("https://box:443", "box"));
    EXPECT_TRUE(unsafe("https://console.example:8443", "box"));
    EXPECT_TRUE(unsafe("http://[::1]:8080", "[::1]:8080"));
    for (char const* bad :
         {"", "null", "http://evil.example", "http://box:8081", "http://box.evil.example:8080", "file://",
          "http://box:8080@evil", "http://box:8080/", "box:8080", "http://"})
        EXPECT_FALSE(unsafe(bad, "box:8080")) << bad;
    EXPECT_TRUE(policy.permits("http://evil.example", "box:8080", "GET", false));
    EXPECT_FALSE(policy.permits("http://evil.example", "box:8080", "DELETE", false));
    policy.allowed = {"*"};
    EXPECT_TRUE(policy.permits("null", "box:8080", "POST", false));
}

}  // namespace
}  // namespace execd::auth
