// The sandbox_sdk dialect: the routes of docs/sandbox-sdk.md below /api.
#pragma once
#include <vector>

#include "execd/auth/authenticator.hpp"
#include "execd/dialects/sandbox_sdk/dialect.hpp"
#include "execd/services.hpp"

namespace execd::sandbox_sdk {

[[nodiscard]] std::vector<http::Row> rows(Services& services, Dialect& dialect,
                                          auth::Authenticator& authenticator);

}  // namespace execd::sandbox_sdk
