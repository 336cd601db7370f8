// The manners of the sandbox_sdk dialect (docs/sandbox-sdk.md): every refusal is JSON with `message`, the one
// member that its client reads.
#pragma once
#include "execd/dialects/plain_dialect.hpp"

namespace execd::sandbox_sdk {

class Dialect final : public PlainDialect {
  public:
    Dialect()
        : PlainDialect({.name = "sandbox_sdk", .member = "message", .credential = "an API key is required"}) {
    }
};

}  // namespace execd::sandbox_sdk
