#include "execd/self_proxy.hpp"

#include "execd/http/target.hpp"

namespace execd {

namespace {

constexpr std::string_view kSelf = "/proxy/44772";
constexpr std::string_view kSandboxes = "/v1/sandboxes/";

bool is_self(std::string_view path) {
    return path.starts_with(kSelf) && (path.size() == kSelf.size() || path[kSelf.size()] == '/');
}

/// "/v1/sandboxes/{id}" in front of "/proxy/...": its length, or 0.
std::size_t claim_prefix(std::string_view path) {
    if (!path.starts_with(kSandboxes)) return 0;
    auto const slash = path.find('/', kSandboxes.size());
    if (slash == std::string_view::npos || slash == kSandboxes.size()) return 0;
    return path.substr(slash).starts_with("/proxy/") ? slash : 0;
}

}  // namespace

void self_proxy(http::Call& call) {
    if (call.self_proxied) return;
    std::size_t taken = claim_prefix(call.path);
    bool const self = is_self(std::string_view(call.path).substr(taken));
    if (taken == 0 && !self) return;
    call.self_proxied = true;
    if (self) taken += kSelf.size();
    call.mount = call.path.substr(0, taken);
    call.path.erase(0, taken);
    if (call.path.empty()) call.path = "/";
}

std::optional<std::string> mounted_claim(http::Call const& call) {
    std::string_view mount = call.mount;
    if (!mount.starts_with(kSandboxes)) return std::nullopt;
    mount.remove_prefix(kSandboxes.size());
    return http::percent_decode(mount.substr(0, mount.find('/')));
}

}  // namespace execd
