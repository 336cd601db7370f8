// The dialects as auth knows them: names for carriers and for what a token is valid in.
#pragma once
#include <cstddef>
#include <cstdint>

namespace execd::auth {

enum class Dialect : std::uint8_t { open_sandbox, agentrun, aio, sandbox_sdk, cloud_sandbox, e2b, own };
inline constexpr std::size_t kDialects = 7;

}  // namespace execd::auth
