// BodyReader: the request body, pulled piece by piece, so that nothing is read from the socket before
// somebody wants it. `100 Continue` is sent by the first pull.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.hpp"
#include "base/task.hpp"

namespace execd::http {

class BodyReader {
  public:
    virtual ~BodyReader() = default;
    /// The next bytes, valid until the next call; empty at the end of the body.
    /// Errors: too_large (over the row's limit), timed_out (no progress), disconnected, decode (bad
    /// chunking).
    [[nodiscard]] virtual Task<Result<std::string_view>> next() = 0;
    [[nodiscard]] virtual std::optional<std::uint64_t> content_length() const = 0;
    /// True when the request carries no body or all of it was read.
    [[nodiscard]] virtual bool done() const = 0;

    /// All of it; Code::too_large beyond `limit` bytes (before anything that large is allocated),
    /// Code::exhausted when the server holds too much already.
    [[nodiscard]] Task<Result<std::string>> read_all(std::uint64_t limit);
    /// Says that `bytes` of this body in all are kept in memory until the request ends; asked before they are
    /// allocated. Code::exhausted when that is over the client's or the server's budget.
    [[nodiscard]] virtual Result<void> hold(std::uint64_t) { return {}; }
};

}  // namespace execd::http
