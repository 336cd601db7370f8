// The AgentRun dialect's manners (contracts/agentrun.md §1.6): errors with `code`, `message` and `requestId`
// at the top, where the SDK looks, and once more under `error` for readers of the official documents;
// x-request-id beside them. Nothing is ever redirected.
#pragma once
#include <string>
#include <string_view>

#include "execd/http/route.hpp"
#include "execd/http/typed_row.hpp"

namespace execd::agentrun {

/// Error codes. INVALID_REQUEST, NOT_FOUND, ERR_FORBIDDEN and ERR_INTERNAL_SERVER were seen in the wild
/// (§1.6); the others follow them.
namespace code {
inline constexpr std::string_view kInvalid = "INVALID_REQUEST";
inline constexpr std::string_view kNotFound = "NOT_FOUND";
inline constexpr std::string_view kForbidden = "ERR_FORBIDDEN";
inline constexpr std::string_view kInternal = "ERR_INTERNAL_SERVER";
}  // namespace code

struct ErrorDetail {
    std::string field;
    std::string reason;
};

/// `details` says which parts of a request were wrong.
[[nodiscard]] http::Answer refusal(unsigned status, std::string_view code, std::string_view message,
                                   std::vector<ErrorDetail> const& details = {});
/// The same for an Error; `status` and code by its kind.
[[nodiscard]] http::Answer refusal(Error const& error);

class Dialect final : public http::Dialect, public http::Manners {
  public:
    [[nodiscard]] std::string_view name() const override { return "agentrun"; }
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

}  // namespace execd::agentrun
