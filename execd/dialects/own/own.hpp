// execd's own routes: liveness, readiness, executions and their events, and later the console. Errors are
// `{"error":{"code","message"}}` with the status that fits the code.
#pragma once
#include <vector>

#include "execd/http/route.hpp"
#include "execd/services.hpp"

namespace execd::own {

class Dialect final : public http::Dialect {
  public:
    [[nodiscard]] std::string_view name() const override { return "execd"; }
    [[nodiscard]] http::Answer error(Error const& error, http::Call const* call) override;
    [[nodiscard]] http::Answer not_found(http::Head const& head) override;
    [[nodiscard]] http::Answer method_not_allowed(http::Head const& head,
                                                  std::vector<std::string> const& allowed) override;
    [[nodiscard]] http::Answer unauthorized(http::Head const& head, Error const& why) override;
};

[[nodiscard]] std::vector<http::Row> rows(Services& services);

}  // namespace execd::own
