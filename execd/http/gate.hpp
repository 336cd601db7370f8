// Something that every request of a row passes first: a question that may answer in the handlers' place.
#pragma once
#include <functional>
#include <optional>

#include "execd/http/route.hpp"

namespace execd::http {

/// Empty when the request may go on; otherwise this is the row's answer. Waits for nothing. Thread: the
/// reactor.
using Gate = std::function<std::optional<Result<Answer>>(Call&)>;

/// Puts `gate` before both handlers of `row`, and before the gates it has already.
void put_before(Row& row, Gate gate);

}  // namespace execd::http
