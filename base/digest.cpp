#include "base/digest.hpp"

#define OPENSSL_SUPPRESS_DEPRECATED  // why: see the header
#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <algorithm>

namespace execd {

namespace {

constexpr std::size_t kBlock = SHA256_CBLOCK;

SHA256_CTX* context(std::array<std::byte, 112>& state) noexcept {
    static_assert(sizeof(SHA256_CTX) == sizeof(state) && alignof(SHA256_CTX) <= 8);
    return reinterpret_cast<SHA256_CTX*>(state.data());
}

}  // namespace

Sha256::Sha256() noexcept { SHA256_Init(context(state_)); }

void Sha256::update(std::string_view bytes) noexcept {
    SHA256_Update(context(state_), bytes.data(), bytes.size());
}

Sha256Digest Sha256::finish() noexcept {
    Sha256Digest out;
    SHA256_Final(reinterpret_cast<unsigned char*>(out.data()), context(state_));
    return out;
}

Sha256Digest sha256(std::string_view bytes) noexcept {
    Sha256 hash;
    hash.update(bytes);
    return hash.finish();
}

std::array<std::byte, 20> sha1(std::string_view bytes) noexcept {
    std::array<std::byte, 20> out;
    SHA_CTX state;  // not SHA1(), which goes through EVP
    SHA1_Init(&state);
    SHA1_Update(&state, bytes.data(), bytes.size());
    SHA1_Final(reinterpret_cast<unsigned char*>(out.data()), &state);
    return out;
}

HmacSha256::HmacSha256(std::string_view key) noexcept {
    std::array<char, kBlock> pad{};
    if (key.size() > kBlock) {
        auto const digest = sha256(key);
        std::transform(digest.begin(), digest.end(), pad.begin(),
                       [](std::byte b) { return static_cast<char>(b); });
    } else {
        std::copy(key.begin(), key.end(), pad.begin());
    }
    for (char& c : pad) c = static_cast<char>(c ^ 0x36);
    inner_.update({pad.data(), pad.size()});
    for (char& c : pad) c = static_cast<char>(c ^ 0x36 ^ 0x5c);
    outer_.update({pad.data(), pad.size()});
    wipe_memory(pad.data(), pad.size());
}

Sha256Digest HmacSha256::sign(std::span<std::string_view const> parts) const noexcept {
    Sha256 inner = inner_;
    for (auto const part : parts) inner.update(part);
    auto const digest = inner.finish();
    Sha256 outer = outer_;
    outer.update({reinterpret_cast<char const*>(digest.data()), digest.size()});
    return outer.finish();
}

Sha256Digest hmac_sha256(std::string_view key, std::string_view bytes) noexcept {
    return HmacSha256(key).sign({&bytes, 1});
}

std::string hex(std::span<std::byte const> bytes) {
    static constexpr char kDigits[] = "0123456789abcdef";
    std::string out;
    out.reserve(bytes.size() * 2);
    for (std::byte const b : bytes) {
        out += kDigits[std::to_integer<unsigned>(b) >> 4];
        out += kDigits[std::to_integer<unsigned>(b) & 15];
    }
    return out;
}

bool same_bytes(std::string_view a, std::string_view b) noexcept {
    return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

void wipe_memory(void* at, std::size_t size) noexcept { OPENSSL_cleanse(at, size); }

}  // namespace execd
