// The cloud_sandbox dialect: the routes of docs/cloud-sandbox.md below /api/v1.
#pragma once
#include <vector>

#include "execd/auth/authenticator.hpp"
#include "execd/dialects/cloud_sandbox/dialect.hpp"
#include "execd/services.hpp"

namespace execd::cloud_sandbox {

[[nodiscard]] std::vector<http::Row> rows(Services& services, Dialect& dialect,
                                          auth::Authenticator& authenticator);

}  // namespace execd::cloud_sandbox
