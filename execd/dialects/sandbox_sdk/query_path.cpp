#include "execd/dialects/sandbox_sdk/query_path.hpp"

#include "execd/http/target.hpp"

namespace execd::sandbox_sdk {

std::optional<std::string> path_of_query(std::string_view raw_query) {
    constexpr std::string_view kName = "path=";
    std::size_t at = raw_query.starts_with(kName) ? 0 : raw_query.find("&path=");
    if (at == std::string_view::npos) return std::nullopt;
    at += raw_query[at] == '&' ? 1 : 0;
    std::string_view const value = raw_query.substr(at + kName.size());
    std::string out;
    for (std::size_t i = 0; i < value.size(); ++i) {
        if (value[i] == '%' && i + 2 < value.size()) {
            if (auto const one = http::percent_decode(value.substr(i, 3))) {
                out += *one;
                i += 2;
                continue;
            }
        }
        out += value[i];
    }
    return out;
}

}  // namespace execd::sandbox_sdk
