// RSA keys and tokens made for a test.
#pragma once
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <string>

#include "base/base64.hpp"

namespace execd::auth {

class TestKey {
  public:
    explicit TestKey(unsigned bits = 2048) : key_(EVP_RSA_gen(bits)) {}
    TestKey(TestKey const&) = delete;
    TestKey& operator=(TestKey const&) = delete;
    ~TestKey() { EVP_PKEY_free(key_); }

    [[nodiscard]] std::string pem() const {
        BIO* const bio = BIO_new(BIO_s_mem());
        PEM_write_bio_PUBKEY(bio, key_);
        char* data = nullptr;
        long const size = BIO_get_mem_data(bio, &data);
        std::string out(data, static_cast<std::size_t>(size));
        BIO_free(bio);
        return out;
    }
    [[nodiscard]] std::string sign(std::string const& text) const {
        EVP_MD_CTX* const context = EVP_MD_CTX_new();
        std::size_t size = 0;
        EVP_DigestSignInit(context, nullptr, EVP_sha256(), nullptr, key_);
        auto const* bytes = reinterpret_cast<unsigned char const*>(text.data());
        EVP_DigestSign(context, nullptr, &size, bytes, text.size());
        std::string out(size, '\0');
        EVP_DigestSign(context, reinterpret_cast<unsigned char*>(out.data()), &size, bytes, text.size());
        out.resize(size);
        EVP_MD_CTX_free(context);
        return out;
    }
    /// header.claims.signature of JSON texts as given.
    [[nodiscard]] std::string token(std::string const& claims,
                                    std::string const& header = R"({"alg":"RS256","typ":"JWT"})") const {
        std::string const text =
            base64_encode(header, Base64::url) + '.' + base64_encode(claims, Base64::url);
        return text + '.' + base64_encode(sign(text), Base64::url);
    }

  private:
    EVP_PKEY* key_;
};

/// One key for all tests: making one takes a while.
inline TestKey const& test_key() {
    static TestKey const key;
    return key;
}

}  // namespace execd::auth
