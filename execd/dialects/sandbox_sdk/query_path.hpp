// The path in a query that the client builds without encoding it: `files?path=/a b&c+d`. Pure.
#pragma once
#include <optional>
#include <string>
#include <string_view>

namespace execd::sandbox_sdk {

/// All that follows `path=`, whatever it contains: `path` is the only parameter of its routes, and '&', '='
/// and '+' in a file's name come as they are. Percent escapes (of clients that do encode, and of what their
/// HTTP library encodes by itself) are decoded; a broken one stays. Nothing: there is no `path`.
[[nodiscard]] std::optional<std::string> path_of_query(std::string_view raw_query);

}  // namespace execd::sandbox_sdk
