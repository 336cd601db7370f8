#include "execd/self_proxy.hpp"

namespace execd {

void self_proxy(http::Call& call) {
    static constexpr std::string_view kSelf = "/proxy/44772";
    if (!call.path.starts_with(kSelf) || call.self_proxied) return;
    std::string_view const rest = std::string_view(call.path).substr(kSelf.size());
    if (!rest.empty() && rest.front() != '/') return;
    call.self_proxied = true;
    call.mount = kSelf;
    call.path = rest.empty() ? "/" : std::string(rest);
}

}  // namespace execd
