// Paths as text: cleaning, splitting, joining and the expansion of `~` and `$VAR` that several dialects
// promise. Pure: no system call; bytes are bytes (names need not be UTF-8).
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.hpp"

namespace execd::fs {

/// Lexical cleaning: no empty, "." or inner ".." elements, no trailing slash. "" becomes ".", "/.." becomes
/// "/".
[[nodiscard]] std::string clean_path(std::string_view path);
/// `path` when it is absolute, otherwise base/path; cleaned either way.
[[nodiscard]] std::string absolute_path(std::string_view path, std::string_view base);
/// One slash between both, nothing cleaned.
[[nodiscard]] std::string join_path(std::string_view directory, std::string_view name);
/// The last element of a cleaned path ("/" of "/").
[[nodiscard]] std::string_view base_name(std::string_view path);
/// All but the last element ("/" of "/x", "." of "x").
[[nodiscard]] std::string_view parent_of(std::string_view path);
/// With the dot; empty for none and for names that only start with a dot.
[[nodiscard]] std::string_view extension_of(std::string_view path);
/// invalid_argument for an empty path or one with a NUL byte.
[[nodiscard]] Result<void> check_path(std::string_view path);

struct Expansion {
    /// Replaces a leading `~` or `~/`; `~name` asks user_home. Nothing: `~` stays as it is.
    std::optional<std::string> home;
    std::function<std::optional<std::string>(std::string_view user)> user_home;
    /// Unset: `$` is an ordinary byte. Set: `$NAME` and `${NAME}` are replaced; a name that it does not know
    /// fails.
    std::function<std::optional<std::string>(std::string_view name)> variable;
    /// What relative results are resolved against; must be absolute.
    std::string base = "/";
};

/// An absolute, cleaned path. An undefined variable is invalid_argument with its name in `detail`
/// ("undefined variable: NAME", all of them, comma separated, in order); `$` before anything that cannot
/// begin a name is an ordinary byte, as is `\$`'s dollar (the backslash goes).
[[nodiscard]] Result<std::string> expand_path(std::string_view text, Expansion const& how);

}  // namespace execd::fs
