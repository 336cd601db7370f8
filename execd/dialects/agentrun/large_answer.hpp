// A JSON answer of any size that never holds the reactor: large ones go out piece by piece, and are freed by
// the pool.
#pragma once
#include <string>

#include "base/loop.hpp"
#include "execd/http/answer.hpp"

namespace execd::agentrun {

/// 200 with `text` as it is. Thread: the reactor.
[[nodiscard]] http::Answer json_answer(Loop& loop, std::string text);

/// Frees `text` on the pool when it is large: to give many pages back takes milliseconds.
void free_elsewhere(Loop& loop, std::string text);

}  // namespace execd::agentrun
