// The table of a dialect's typed routes: rows whose handlers get the dialect's state.
#pragma once
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "execd/http/route.hpp"
#include "execd/http/typed_row.hpp"

namespace execd {

/// `State` has the member `dialect`, which is the dialect and its manners, and lives as long as the rows.
template <class State>
class DialectTable {
  public:
    explicit DialectTable(std::shared_ptr<State> state) : state_(std::move(state)) {}
    /// `Shown` is what the documents show as the answer; the handler gives `Res`, which may be http::Answer.
    template <class Req, class Shown, class Res>
    void add(http::Row row, Task<Result<Res>> (*handler)(State&, http::Call&, Req)) {
        row.tag = std::string(state_->dialect.name());
        row.dialect = &state_->dialect;
        if (row.statuses.empty()) row.statuses = {{200, nullptr, "application/json", "Done"}};
        row.statuses.front().answer = &wire::Codec<Shown>::ops;
        rows_.push_back(http::route<Req, Res>(
            std::move(row), state_->dialect,
            http::TypedHandler<Req, Res>([state = state_, handler](http::Call& call, Req request) {
                return handler(*state, call, std::move(request));
            })));
    }
    [[nodiscard]] std::shared_ptr<State> const& state() const { return state_; }
    [[nodiscard]] std::vector<http::Row>& rows() { return rows_; }

  private:
    std::shared_ptr<State> state_;
    std::vector<http::Row> rows_;
};

}  // namespace execd
