#include "execd/auth/rsa.hpp"

#include <mbedtls/asn1.h>
#include <mbedtls/oid.h>
#include <mbedtls/rsa.h>

#include "base/base64.hpp"

namespace execd::auth {

namespace {

constexpr std::string_view kBegin = "-----BEGIN PUBLIC KEY-----";
constexpr std::string_view kEnd = "-----END PUBLIC KEY-----";

Failure bad(char const* why) { return fail(Code::decode, "public key", why); }

struct Number {
    Number() { mbedtls_mpi_init(&value); }
    ~Number() { mbedtls_mpi_free(&value); }
    Number(Number const&) = delete;
    Number& operator=(Number const&) = delete;
    mbedtls_mpi value;
};

// What is left of DER to read.
struct Der {
    unsigned char* at;
    unsigned char const* end;

    // Steps into a SEQUENCE that fills the rest.
    bool enter_sequence() {
        std::size_t length = 0;
        int const tag = MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE;
        return mbedtls_asn1_get_tag(&at, end, &length, tag) == 0 && at + length == end;
    }
};

// SubjectPublicKeyInfo (RFC 5280, section 4.1) down to the inside of RSAPublicKey (RFC 8017, A.1.1).
Result<Der> rsa_part(std::string& der) {
    auto* const begin = reinterpret_cast<unsigned char*>(der.data());
    Der in{begin, begin + der.size()};
    mbedtls_asn1_buf algorithm{};
    if (!in.enter_sequence() || mbedtls_asn1_get_alg_null(&in.at, in.end, &algorithm) != 0)
        return bad("the public key cannot be read, or is not RSA");
    if (MBEDTLS_OID_CMP(MBEDTLS_OID_PKCS1_RSA, &algorithm) != 0) return bad("the public key is not RSA");
    std::size_t length = 0;
    if (mbedtls_asn1_get_bitstring_null(&in.at, in.end, &length) != 0 || in.at + length != in.end ||
        !in.enter_sequence())
        return bad("the public key cannot be read");
    return in;
}

}  // namespace

struct RsaKey::Impl {
    Impl() { mbedtls_rsa_init(&context, MBEDTLS_RSA_PKCS_V15, MBEDTLS_MD_NONE); }
    ~Impl() { mbedtls_rsa_free(&context); }
    Impl(Impl const&) = delete;
    Impl& operator=(Impl const&) = delete;
    mbedtls_rsa_context context;
};

Result<RsaKey> RsaKey::from_pem(std::string_view pem) {
    auto const begin = pem.find(kBegin);
    auto const end = begin == std::string_view::npos ? begin : pem.find(kEnd, begin);
    if (end == std::string_view::npos) return bad("no PEM block PUBLIC KEY");
    auto const body = pem.substr(begin + kBegin.size(), end - begin - kBegin.size());
    auto der = base64_decode(body, {.alphabet = Base64::standard, .spaces = true});
    if (!der) return bad("the public key's base64 cannot be read");
    auto in = rsa_part(*der);
    if (!in) return Failure(in.error());

    Number modulus;
    Number exponent;
    RsaKey out;
    out.impl_ = std::make_shared<Impl>();
    auto& context = out.impl_->context;
    if (mbedtls_asn1_get_mpi(&in->at, in->end, &modulus.value) != 0 ||
        mbedtls_asn1_get_mpi(&in->at, in->end, &exponent.value) != 0 || in->at != in->end ||
        mbedtls_rsa_import(&context, &modulus.value, nullptr, nullptr, nullptr, &exponent.value) != 0 ||
        mbedtls_rsa_complete(&context) != 0 || mbedtls_rsa_check_pubkey(&context) != 0)
        return bad("the public key cannot be read");
    if (mbedtls_mpi_bitlen(&modulus.value) < kMinBits) return bad("the public key has fewer than 2048 bits");
    return out;
}

bool RsaKey::verifies(std::string_view signature, Sha256Digest const& digest) const {
    auto& context = impl_->context;
    return signature.size() == mbedtls_rsa_get_len(&context) &&
           mbedtls_rsa_pkcs1_verify(&context, nullptr, nullptr, MBEDTLS_RSA_PUBLIC, MBEDTLS_MD_SHA256,
                                    static_cast<unsigned>(digest.size()),
                                    reinterpret_cast<unsigned char const*>(digest.data()),
                                    reinterpret_cast<unsigned char const*>(signature.data())) == 0;
}

}  // namespace execd::auth
