// POST /execd/v1/tickets: a short-lived key for URLs that cannot carry a header: a browser's WebSocket, a
// page and its files. Every dialect takes it as `?ticket=` (docs/architecture.md, 7).
#pragma once
#include <functional>

#include "execd/auth/tokens.hpp"
#include "execd/http/route.hpp"

namespace execd::own {

/// True for a caller who came with a credential of his own: tickets beget nothing.
using MayMint = std::function<bool(http::Call const& call)>;

[[nodiscard]] http::Row ticket_row(auth::TicketStore& store, MayMint may_mint);

}  // namespace execd::own
