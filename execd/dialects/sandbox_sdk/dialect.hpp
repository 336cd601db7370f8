// The manners of the sandbox_sdk dialect (docs/sandbox-sdk.md): every refusal is JSON with `message`, the one
// member that its client reads, and `code` beside it for programs.
#pragma once
#include "execd/http/route.hpp"
#include "execd/http/typed_row.hpp"

namespace execd::sandbox_sdk {

[[nodiscard]] http::Answer refusal(unsigned status, std::string_view code, std::string_view message);

class Dialect final : public http::Dialect, public http::Manners {
  public:
    [[nodiscard]] std::string_view name() const override { return "sandbox_sdk"; }
    [[nodiscard]] http::Answer error(Error const& error, http::Call const* call) override;
    [[nodiscard]] http::Answer not_found(http::Head const& head) override;
    [[nodiscard]] http::Answer method_not_allowed(http::Head const& head,
                                                  std::vector<std::string> const& allowed) override;
    [[nodiscard]] http::Answer unauthorized(http::Head const& head, Error const& why) override;
    [[nodiscard]] http::Answer bad_request(http::HeadRefusal const& fault) override;

    [[nodiscard]] wire::Policy const& reading() const override;
    [[nodiscard]] wire::EncodePolicy const& writing() const override;
    [[nodiscard]] http::Answer refused(wire::Faults const& faults, http::Call const& call) override;
};

}  // namespace execd::sandbox_sdk
