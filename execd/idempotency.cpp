#include "execd/idempotency.hpp"

#include <algorithm>

#include "execd/auth/secret.hpp"
#include "execd/self_proxy.hpp"

namespace execd {

namespace {
constexpr std::size_t kLongest = 255;
}  // namespace

std::string request_digest(std::string_view canonical) { return auth::hex(auth::sha256(canonical)); }

Result<std::optional<StartKey>> start_key(http::Call const& call, std::string_view canonical) {
    auto const key = call.header(kIdempotencyKey);
    if (!key) return std::optional<StartKey>();
    bool const visible = std::all_of(key->begin(), key->end(), [](char c) { return c > ' ' && c < 0x7f; });
    if (key->empty() || key->size() > kLongest || !visible)
        return fail(Code::invalid_argument, kIdempotencyKey, "1 to 255 visible ASCII characters are a key");
    // NUL can be in none of the parts: they cannot run into each other.
    std::string scope = call.principal.name;
    std::string_view const dialect = call.dialect != nullptr ? call.dialect->name() : std::string_view();
    // The same key in two claims names two starts.
    std::string const claim =
        mounted_claim(call).value_or(std::string(call.header(kClaimHeader).value_or("")));
    for (std::string_view const part :
         {dialect, call.head->method, std::string_view(call.path), std::string_view(claim), *key}) {
        scope += '\0';
        scope += part;
    }
    return StartKey{request_digest(scope).substr(0, 32), request_digest(canonical)};
}

}  // namespace execd
