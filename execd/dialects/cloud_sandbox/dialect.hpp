// The manners of the cloud_sandbox dialect (docs/cloud-sandbox.md): an error is a text under `error`, which
// its client shows; the status alone chooses the client's exception (401, 404, 429, 502).
#pragma once
#include "execd/http/route.hpp"
#include "execd/http/typed_row.hpp"

namespace execd::cloud_sandbox {

[[nodiscard]] http::Answer refusal(unsigned status, std::string_view code, std::string_view message);

class Dialect final : public http::Dialect, public http::Manners {
  public:
    [[nodiscard]] std::string_view name() const override { return "cloud_sandbox"; }
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

}  // namespace execd::cloud_sandbox
