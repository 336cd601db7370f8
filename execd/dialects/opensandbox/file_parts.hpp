// What the file routes of this dialect share.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.hpp"
#include "execd/dialects/opensandbox/schemas.hpp"
#include "execd/http/route.hpp"
#include "execd/services.hpp"
#include "fs/entry.hpp"

namespace execd::opensandbox {

[[nodiscard]] FileInfo file_info(fs::Entry const& entry);
/// 0644 -> 644: the wire's mode is a decimal number whose digits are octal (§0.6).
[[nodiscard]] std::uint32_t digits_of_mode(std::uint32_t mode);
/// 644 -> 0644; nothing for 0; invalid_argument for a digit above 7.
[[nodiscard]] Result<std::optional<std::uint32_t>> mode_of_digits(std::int64_t digits);
/// 404 with the contract's text for what is not there, 500 otherwise.
[[nodiscard]] http::Answer file_failure(Error const& error, std::string_view path);
/// "open /x: permission denied"
[[nodiscard]] std::string go_text(Error const& error, std::string_view call, std::string_view path);

[[nodiscard]] Task<Result<http::Answer>> download(Services& services, http::Call& call);
[[nodiscard]] Task<Result<http::Answer>> upload(Services& services, http::Call& call);

}  // namespace execd::opensandbox
