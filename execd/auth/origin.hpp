// Which browser pages may talk to execd. A program sends no Origin and is not concerned.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace execd::auth {

struct OriginPolicy {
    /// Whole origins ("https://console.example:8443"), or "*" for any.
    std::vector<std::string> allowed;

    /// `host` is the request's Host header. Safe requests (GET, HEAD, OPTIONS that upgrade nothing) pass:
    /// without CORS headers no page can read their answers. Everything else needs no Origin, one of this very
    /// host, or an allowed one.
    [[nodiscard]] bool permits(std::optional<std::string_view> origin, std::string_view host,
                               std::string_view method, bool upgrade) const;
};

}  // namespace execd::auth
