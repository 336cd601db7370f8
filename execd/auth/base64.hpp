// Base64 (RFC 4648), strict: no foreign characters, no bits left over.
#pragma once
#include <optional>
#include <string>
#include <string_view>

namespace execd::auth {

enum class Alphabet { standard, url };

/// With or without padding; nothing else is tolerated.
[[nodiscard]] std::optional<std::string> base64_decode(std::string_view text, Alphabet alphabet);
/// Without padding.
[[nodiscard]] std::string base64_encode(std::string_view bytes, Alphabet alphabet);

}  // namespace execd::auth
