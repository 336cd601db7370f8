// One command of a session as the dialect's event stream (contracts/opensandbox.md §1.7, §2, §10, §13.9).
#pragma once
#include <memory>
#include <string>

#include "execd/http/route.hpp"
#include "execd/services.hpp"
#include "shell/session.hpp"

namespace execd::opensandbox {

/// init (the session's id), ping, output as `stdout`, exactly one end. A client that goes away ends the
/// command: nobody else could, and the session would stay busy. One that named its start (Idempotency-Key)
/// can come back to it, so there it goes on.
[[nodiscard]] http::Answer session_stream(Services& services, http::Call const& call,
                                          std::shared_ptr<shell::Session> session,
                                          std::shared_ptr<shell::SessionRun> run, Duration timeout);
/// init and a proper `error` event: a bare object in the stream is dropped by the SDK (§13.9).
[[nodiscard]] http::Answer refused_run(Services& services, std::string_view session_id,
                                       std::string const& why);

}  // namespace execd::opensandbox
