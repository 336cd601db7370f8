// Idempotent starts (header Idempotency-Key), for every dialect: a request that is sent again, because its
// answer was lost, finds what the first one started.
//
// The key's scope is principal + dialect + route (method and path); together they name the execution, so
// nothing has to be remembered beside the execution itself: a key is known as long as its execution is
// (running, then retention). The digest of the request tells a repetition from a mistake:
//
//   auto const key = start_key(call, to_json(request));
//   if (!key) return refusal(400, ...);                      // not a key
//   if (*key) { spec.id = (*key)->id; spec.digest = (*key)->digest; spec.journal.keep = Keep::all; }
//   auto attached = co_await executions.start_or_attach(std::move(spec));   // Code::conflict: another digest
//
// Pure; any thread.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "base/error.hpp"
#include "execd/http/route.hpp"

namespace execd {

inline constexpr std::string_view kIdempotencyKey = "Idempotency-Key";

struct StartKey {
    /// 32 hexadecimal digits, as every generated id.
    std::string id;
    std::string digest;
};

/// Of a request in one canonical form (the same request gives the same text, however it was spelled).
[[nodiscard]] std::string request_digest(std::string_view canonical);

/// None without the header. invalid_argument: empty, longer than 255 bytes, or not visible ASCII.
[[nodiscard]] Result<std::optional<StartKey>> start_key(http::Call const& call, std::string_view canonical);

}  // namespace execd
