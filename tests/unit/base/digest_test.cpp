#include "base/digest.hpp"

#include <gtest/gtest.h>

#include "base/base64.hpp"

namespace execd {
namespace {

// FIPS 180-4's examples.
TEST(Digest, KnownAnswers) {
    EXPECT_EQ(hex(sha256("")), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    EXPECT_EQ(hex(sha256("abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    EXPECT_EQ(hex(sha1("abc")), "a9993e364706816aba3e25717850c26c9cd0d89d");
}

TEST(Digest, PartsMakeTheSameAsTheWhole) {
    std::string text;
    for (int i = 0; i < 300; ++i) text += static_cast<char>(i * 31);
    for (std::size_t cut = 0; cut < text.size(); cut += 7) {
        Sha256 hash;
        hash.update(std::string_view(text).substr(0, cut));
        hash.update(std::string_view(text).substr(cut));
        EXPECT_EQ(hash.finish(), sha256(text));
    }
}

// RFC 4231, cases 1, 2, 3 and 6 (a key longer than a block).
TEST(Digest, HmacKnownAnswers) {
    EXPECT_EQ(hex(hmac_sha256(std::string(20, '\x0b'), "Hi There")),
              "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    EXPECT_EQ(hex(hmac_sha256("Jefe", "what do ya want for nothing?")),
              "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    EXPECT_EQ(hex(hmac_sha256(std::string(20, '\xaa'), std::string(50, '\xdd'))),
              "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe");
    EXPECT_EQ(
        hex(hmac_sha256(std::string(131, '\xaa'), "Test Using Larger Than Block-Size Key - Hash Key First")),
        "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

TEST(Digest, AKeySignsManyMessages) {
    HmacSha256 const key("secret");
    std::string_view const parts[] = {"a", "", "bc"};
    EXPECT_EQ(key.sign(parts), hmac_sha256("secret", "abc"));
    EXPECT_EQ(key.sign(parts), hmac_sha256("secret", "abc"));
}

TEST(Digest, ComparesAndWipes) {
    EXPECT_TRUE(same_bytes("", ""));
    EXPECT_TRUE(same_bytes("abc", "abc"));
    EXPECT_FALSE(same_bytes("abc", "abd"));
    EXPECT_FALSE(same_bytes("abc", "ab"));
    std::string text = "secret";
    wipe_memory(text.data(), text.size());
    EXPECT_EQ(text, std::string(6, '\0'));
}

TEST(Base64, BothWaysInBothAlphabets) {
    std::string_view const pairs[][2] = {
        {"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"\xFF\xFE\xFD", "//79"}};
    for (auto const& [raw, text] : pairs) {
        std::string out = "x";
        append_base64(out, raw);
        EXPECT_EQ(out, "x" + std::string(text));
        EXPECT_EQ(base64_decode(text), raw);
    }
    std::string bytes;
    for (int i = 0; i < 300; ++i) {
        for (auto const alphabet : {Base64::standard, Base64::url}) {
            auto const text = base64_encode(bytes, alphabet);
            EXPECT_EQ(base64_decode(text, {.alphabet = alphabet, .spare_bits = false}), bytes);
            EXPECT_EQ(base64_decode(text), bytes);
            auto spaced = text;
            spaced.insert(spaced.size() / 2, " \r\n");
            EXPECT_EQ(base64_decode(spaced, {.alphabet = alphabet, .spaces = true}), bytes);
        }
        bytes += static_cast<char>(i * 37);
    }
    EXPECT_EQ(base64_encode("\xFB\xFF", Base64::url), "-_8");
    EXPECT_EQ(base64_decode("__79"), "\xFF\xFE\xFD");
    EXPECT_EQ(base64_decode("Zg"), "f");
}

TEST(Base64, IsAsStrictAsAsked) {
    for (auto const* bad : {"Z", "Zg=", "Zm9v\n", "Zm9*", "====", "Z===", "Zm9v=", "Z=m9"})
        EXPECT_FALSE(base64_decode(bad)) << bad;
    for (auto const* bad : {"A", "A===", "TW!u", "TWFu=", "T=Fu"})
        EXPECT_FALSE(base64_decode(bad, {.spaces = true})) << bad;
    for (auto const* bad : {"QR", "QQ=", "QQ===", "Q Q=", "QQ\n=", "-_8"})
        EXPECT_FALSE(base64_decode(bad, {.alphabet = Base64::standard, .spare_bits = false})) << bad;
    EXPECT_FALSE(base64_decode("+/8", {.alphabet = Base64::url}));
}

}  // namespace
}  // namespace execd
