// The OpenSandbox dialect's manners (contracts/opensandbox.md §1.0): bare `{"code","message"}` errors, a
// plain 404 for everything unknown (there is no 405, no OPTIONS, no HEAD), 401 with `error`.
#pragma once
#include <string_view>

#include "execd/http/route.hpp"

namespace execd::opensandbox {

/// Error codes of the contract.
namespace code {
inline constexpr std::string_view kBody = "INVALID_REQUEST_BODY";
inline constexpr std::string_view kQuery = "MISSING_QUERY";
inline constexpr std::string_view kConflict = "IDEMPOTENCY_CONFLICT";
inline constexpr std::string_view kRuntime = "RUNTIME_ERROR";
inline constexpr std::string_view kFile = "INVALID_FILE";
inline constexpr std::string_view kFileContent = "INVALID_FILE_CONTENT";
inline constexpr std::string_view kFileMetadata = "INVALID_FILE_METADATA";
inline constexpr std::string_view kFileNotFound = "FILE_NOT_FOUND";
inline constexpr std::string_view kUnknown = "UNKNOWN";
inline constexpr std::string_view kContextNotFound = "CONTEXT_NOT_FOUND";
inline constexpr std::string_view kNotSupported = "NOT_SUPPORTED";
inline constexpr std::string_view kUnavailable = "SERVICE_UNAVAILABLE";
}  // namespace code

/// `{"code":code,"message":message}`; both keys always there (opensandbox-1.1.md §2.4). 502 and 503 tell
/// clients to retry at once, or their back-off makes a refusal cost seconds (§2.3).
[[nodiscard]] http::Answer refusal(unsigned status, std::string_view code, std::string_view message);

/// A JSON text with the contract's content type.
[[nodiscard]] http::Answer json(std::string body, unsigned status = 200);

class Dialect final : public http::Dialect {
  public:
    [[nodiscard]] std::string_view name() const override { return "opensandbox"; }
    [[nodiscard]] http::Answer error(Error const& error, http::Call const* call) override;
    [[nodiscard]] http::Answer not_found(http::Head const& head) override;
    [[nodiscard]] http::Answer method_not_allowed(http::Head const& head,
                                                  std::vector<std::string> const&) override {
        return not_found(head);
    }
    [[nodiscard]] http::Answer unauthorized(http::Head const& head, Error const& why) override;
    [[nodiscard]] http::Answer bad_request(http::HeadRefusal const& fault) override;
    [[nodiscard]] bool serves_head() const override { return false; }
};

}  // namespace execd::opensandbox
