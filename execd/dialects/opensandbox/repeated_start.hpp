// Starts with an Idempotency-Key (execd/idempotency.hpp) in this dialect's words.
#pragma once
#include <string>
#include <string_view>

#include "execd/http/route.hpp"
#include "execd/idempotency.hpp"

namespace execd::opensandbox {

/// A StartKey's id as this dialect writes those of sessions and terminals.
[[nodiscard]] std::string dashed(std::string_view id);
/// 409: the key came with another request before.
[[nodiscard]] http::Answer other_request();

}  // namespace execd::opensandbox
