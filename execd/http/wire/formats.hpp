// Text forms of time. Pure.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "execd/http/wire/ops.hpp"

namespace execd::wire {

/// Appends in one of the text formats (rfc3339: UTC "Z", fraction without trailing zeros, as Go writes).
void append_time(std::string& out, Timestamp, TimeFormat);
/// RFC 3339; a space for the T and a missing offset (taken as UTC) are accepted.
[[nodiscard]] std::optional<Timestamp> parse_time(std::string_view text);

}  // namespace execd::wire
