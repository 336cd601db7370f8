#include "execd/auth/origin.hpp"

#include <algorithm>

namespace execd::auth {

namespace {

std::string lower(std::string_view text) {
    std::string out(text);
    for (char& c : out)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
    return out;
}

// The authority of "scheme://authority" without the scheme's default port; empty when it is not of that form.
std::string authority_of(std::string_view origin) {
    auto const mark = origin.find("://");
    if (mark == std::string_view::npos) return {};
    std::string const scheme = lower(origin.substr(0, mark));
    std::string authority = lower(origin.substr(mark + 3));
    if (authority.empty() || authority.find_first_of("/?#@ ") != std::string::npos) return {};
    std::string_view const port = scheme == "http" ? ":80" : scheme == "https" ? ":443" : "";
    if (port.empty()) return {};
    if (authority.ends_with(port)) authority.resize(authority.size() - port.size());
    return authority;
}

}  // namespace

bool OriginPolicy::permits(std::optional<std::string_view> origin, std::string_view host,
                           std::string_view method, bool upgrade) const {
    if (!origin) return true;
    bool const safe = !upgrade && (method == "GET" || method == "HEAD" || method == "OPTIONS");
    if (safe) return true;
    std::string const wanted = lower(*origin);
    auto const listed = [&](std::string const& one) { return one == "*" || lower(one) == wanted; };
    if (std::any_of(allowed.begin(), allowed.end(), listed)) return true;
    std::string const authority = authority_of(*origin);
    if (authority.empty()) return false;  // "null": a sandboxed frame, a file, a redirect
    // TLS ends at the ingress, so Host may name the outer port or none.
    std::string const here = lower(host);
    return authority == here || authority + ":80" == here || authority + ":443" == here;
}

}  // namespace execd::auth
