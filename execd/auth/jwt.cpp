#include "execd/auth/jwt.hpp"

#include <cmath>
#include <nlohmann/json.hpp>

#include "base/base64.hpp"
#include "execd/auth/rsa.hpp"

namespace execd::auth {

namespace {

constexpr std::string_view kWhere = "jwt";
// Strict: two texts for the same bytes would make two names of one token.
std::optional<std::string> part_of_token(std::string_view encoded) {
    if (encoded.ends_with('=')) return std::nullopt;
    return base64_decode(encoded, {.alphabet = Base64::url, .spare_bits = false});
}

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
    auto const text = part_of_token(encoded);
    if (!text || too_deep(*text, JwtVerifier::kMaxDepth)) return std::nullopt;
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

Result<JwtVerifier> JwtVerifier::from_public_key(std::string_view text) {
    constexpr std::size_t kMaxKey = 64 * 1024;
    if (text.size() > kMaxKey) return fail(Code::too_large, kWhere, "the public key is too long");
    std::string pem(text);
    if (pem.find("-----BEGIN") == std::string::npos) {
        auto decoded =
            base64_decode(pem, {.alphabet = Base64::standard, .spaces = true, .spare_bits = false});
        if (!decoded) return fail(Code::decode, kWhere, "the public key is neither PEM nor base64 of PEM");
        pem = std::move(*decoded);
    }
    auto key = RsaKey::from_pem(pem);
    if (!key) return Failure(key.error());
    JwtVerifier out;
    out.key_ = *std::move(key);
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

    auto const signature = part_of_token(token.substr(second + 1));
    if (!signature) return refuse("malformed signature");
    bool const good = key_->verifies(*signature, sha256(token.substr(0, second)));
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
