#include "execd/auth/jwt.hpp"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "execd/auth/base64.hpp"

namespace execd::auth {

namespace {

constexpr std::string_view kWhere = "jwt";
constexpr int kMinBits = 2048;

struct EvpContextFree {
    void operator()(EVP_MD_CTX* p) const { EVP_MD_CTX_free(p); }
};
struct BioFree {
    void operator()(BIO* p) const { BIO_free(p); }
};

Failure refuse(std::string why) { return fail(Code::permission_denied, kWhere, std::move(why)); }

// Nested deeper than the limit? Looked at before the parser allocates anything for it.
bool too_deep(std::string_view json, int limit) {
    int depth = 0;
    bool in_string = false;
    for (std::size_t i = 0; i < json.size(); ++i) {
        char const c = json[i];
        if (in_string) {
            if (c == '\\') ++i;
            if (c == '"') in_string = false;
            continue;
        }
        if (c == '"') in_string = true;
        if (c == '[' || c == '{') {
            if (++depth > limit) return true;
        }
        if (c == ']' || c == '}') --depth;
    }
    return false;
}

std::optional<nlohmann::json> object_of(std::string_view encoded) {
    auto const text = base64_decode(encoded, Alphabet::url);
    if (!text || encoded.ends_with('=') || too_deep(*text, JwtVerifier::kMaxDepth)) return std::nullopt;
    auto json = nlohmann::json::parse(*text, nullptr, false);
    if (!json.is_object()) return std::nullopt;
    return json;
}

// A NumericDate (RFC 7519, section 2): seconds, possibly with a fraction.
std::optional<WallTime> time_of(nlohmann::json const& claims, char const* name) {
    auto const at = claims.find(name);
    if (at == claims.end() || !at->is_number()) return std::nullopt;
    double const seconds = at->get<double>();
    if (!std::isfinite(seconds)) return std::nullopt;
    // What lies outside of what the clock can say is "for ever" on its side.
    double const clamped = std::min(std::max(seconds, 0.0), 9e9);
    return WallTime(std::chrono::duration_cast<WallTime::duration>(std::chrono::duration<double>(clamped)));
}

}  // namespace

struct JwtVerifier::Key {
    EVP_PKEY* key = nullptr;
    ~Key() { EVP_PKEY_free(key); }
};

Result<JwtVerifier> JwtVerifier::from_public_key(std::string_view text) {
    constexpr std::size_t kMaxKey = 64 * 1024;
    if (text.size() > kMaxKey) return fail(Code::too_large, kWhere, "the public key is too long");
    std::string pem(text);
    if (pem.find("-----BEGIN") == std::string::npos) {
        std::erase_if(pem, [](char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; });
        auto decoded = base64_decode(pem, Alphabet::standard);
        if (!decoded) return fail(Code::decode, kWhere, "the public key is neither PEM nor base64 of PEM");
        pem = std::move(*decoded);
    }
    std::unique_ptr<BIO, BioFree> const bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
    auto key = std::make_shared<Key>();
    if (bio) key->key = PEM_read_bio_PUBKEY(bio.get(), nullptr, nullptr, nullptr);
    ERR_clear_error();
    if (key->key == nullptr) return fail(Code::decode, kWhere, "the public key cannot be read");
    if (EVP_PKEY_get_base_id(key->key) != EVP_PKEY_RSA)
        return fail(Code::decode, kWhere, "the public key is not RSA");
    if (EVP_PKEY_get_bits(key->key) < kMinBits)
        return fail(Code::decode, kWhere, "the public key has fewer than 2048 bits");
    JwtVerifier out;
    out.key_ = std::move(key);
    return out;
}

Result<JwtClaims> JwtVerifier::verify(std::string_view token, WallTime now) const {
    if (!key_) return refuse("no key");
    if (token.size() > kMaxLength) return refuse("too long");
    auto const first = token.find('.');
    auto const second = first == std::string_view::npos ? first : token.find('.', first + 1);
    if (second == std::string_view::npos || token.find('.', second + 1) != std::string_view::npos)
        return refuse("not three parts");

    auto const header = object_of(token.substr(0, first));
    if (!header) return refuse("malformed header");
    auto const alg = header->find("alg");
    if (alg == header->end() || !alg->is_string() || alg->get_ref<std::string const&>() != "RS256")
        return refuse("algorithm is not RS256");
    if (header->contains("crit")) return refuse("critical extension");

    auto const signature = base64_decode(token.substr(second + 1), Alphabet::url);
    if (!signature || token.ends_with('=')) return refuse("malformed signature");
    auto const signed_part = token.substr(0, second);
    std::unique_ptr<EVP_MD_CTX, EvpContextFree> const context(EVP_MD_CTX_new());
    bool const good =
        context && EVP_DigestVerifyInit(context.get(), nullptr, EVP_sha256(), nullptr, key_->key) == 1 &&
        EVP_DigestVerify(context.get(), reinterpret_cast<unsigned char const*>(signature->data()),
                         signature->size(), reinterpret_cast<unsigned char const*>(signed_part.data()),
                         signed_part.size()) == 1;
    ERR_clear_error();
    if (!good) return refuse("wrong signature");

    auto const claims = object_of(token.substr(first + 1, second - first - 1));
    if (!claims) return refuse("malformed claims");
    auto const expires = time_of(*claims, "exp");
    if (!expires) return refuse("no expiry");
    if (now >= *expires + kLeeway) return refuse("expired");
    if (claims->contains("nbf")) {
        auto const begins = time_of(*claims, "nbf");
        if (!begins || now + kLeeway < *begins) return refuse("not yet valid");
    }
    JwtClaims out{{}, *expires};
    auto const sub = claims->find("sub");
    if (sub != claims->end() && sub->is_string()) out.subject = sub->get<std::string>();
    return out;
}

}  // namespace execd::auth
