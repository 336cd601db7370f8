// Foreign JSON (kernel messages, kernel.json) into values: bounded depth, broken text repaired instead of
// refused.
//
// Pure; any thread.
#pragma once
#include <nlohmann/json.hpp>

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.hpp"

namespace execd::kernels {

using Json = nlohmann::json;

/// Deeper nesting is refused before a tree is built: a destructor or dump() of it would overflow the stack.
inline constexpr std::size_t kMaxJsonDepth = 128;

/// The deepest nesting of arrays and objects, looking past strings. Does not validate.
[[nodiscard]] std::size_t json_depth(std::string_view text) noexcept;

/// Parses one JSON text. Bytes that are not UTF-8 and lone surrogates become U+FFFD: ipykernel writes both
/// when a cell prints an undecodable file name, and losing the whole output for it would be worse.
/// Code::decode otherwise.
[[nodiscard]] Result<Json> parse_json(std::string_view text, std::size_t max_depth = kMaxJsonDepth);

/// Compact text; invalid UTF-8 in strings becomes U+FFFD, never throws.
[[nodiscard]] std::string dump_json(Json const& value);

/// The end of a string member of a JSON object that is too large to be parsed: at most about `bytes` of its
/// text, cut between characters; `dropped` says how many bytes of JSON were before it. Nothing when there is
/// no such string. Does not validate the rest.
struct StringEnd {
    std::string text;
    std::size_t dropped = 0;
};
[[nodiscard]] std::optional<StringEnd> string_member(std::string_view object, std::string_view key,
                                                     std::size_t bytes);

/// A string member, or the fallback when absent or of another type.
[[nodiscard]] std::string text_of(Json const& object, char const* key, std::string_view fallback = {});

}  // namespace execd::kernels
