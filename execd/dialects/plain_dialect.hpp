// The manners of dialects whose refusals are one flat object: a text under the member that their client
// reads, and `code` beside it for programs. What differs between them is said when one is made.
#pragma once
#include <string_view>

#include "execd/http/route.hpp"
#include "execd/http/typed_row.hpp"

namespace execd {

class PlainDialect : public http::Dialect, public http::Manners {
  public:
    struct Words {
        std::string_view name;
        /// Of the member with an error's text.
        std::string_view member;
        /// What is missing where a request has no credential.
        std::string_view credential;
        // Statuses that choose the exception which a client raises.
        unsigned timed_out = 408;
        unsigned unavailable = 503;
    };
    explicit PlainDialect(Words words) : words_(words) {}

    [[nodiscard]] std::string_view name() const override { return words_.name; }
    [[nodiscard]] http::Answer error(Error const& error, http::Call const* call) override;
    [[nodiscard]] http::Answer not_found(http::Head const& head) override;
    [[nodiscard]] http::Answer method_not_allowed(http::Head const& head,
                                                  std::vector<std::string> const& allowed) override;
    [[nodiscard]] http::Answer unauthorized(http::Head const& head, Error const& why) override;
    [[nodiscard]] http::Answer bad_request(http::HeadRefusal const& fault) override;

    [[nodiscard]] wire::Policy const& reading() const override;
    [[nodiscard]] wire::EncodePolicy const& writing() const override;
    [[nodiscard]] http::Answer refused(wire::Faults const& faults, http::Call const& call) override;

  private:
    [[nodiscard]] http::Answer refusal(unsigned status, std::string_view code, std::string_view text) const;
    [[nodiscard]] unsigned status_of(Code code) const;

    Words words_;
};

}  // namespace execd
