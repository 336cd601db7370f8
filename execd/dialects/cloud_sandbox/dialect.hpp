// The manners of the cloud_sandbox dialect (docs/cloud-sandbox.md): an error is a text under `error`, which
// its client shows; the status alone chooses the client's exception (401, 404, 429, 502).
#pragma once
#include "execd/dialects/plain_dialect.hpp"

namespace execd::cloud_sandbox {

class Dialect final : public PlainDialect {
  public:
    Dialect()
        : PlainDialect({.name = "cloud_sandbox",
                        .member = "error",
                        .credential = "a token is required",
                        .timed_out = 504,
                        .unavailable = 502}) {}
};

}  // namespace execd::cloud_sandbox
