// /execd/v1/contexts and /execd/v1/runs (docs/own-api-contexts.md): the rows, and what their files share.
//
// Thread: the reactor.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "execd/dialects/own/contexts_schemas.hpp"
#include "execd/http/route.hpp"
#include "execd/http/wire/decode.hpp"
#include "execd/http/wire/encode.hpp"
#include "execd/services.hpp"
#include "kernels/contexts.hpp"

namespace execd::own {

[[nodiscard]] std::vector<http::Row> contexts_rows(Services& services);
[[nodiscard]] std::vector<http::Row> runs_rows(Services& services);

/// Rows of one tag, below /execd/v1/.
class RowTable {
  public:
    RowTable(std::string tag, std::string prefix) : tag_(std::move(tag)), prefix_(std::move(prefix)) {}
    http::Row& add(std::string method, std::string path, std::string id, std::string doc,
                   std::vector<http::Row::Status> statuses);
    /// One that reads a JSON body.
    http::Row& add_with_body(wire::Ops const& body, std::string method, std::string path, std::string id,
                             std::string doc, std::vector<http::Row::Status> statuses);
    std::vector<http::Row> take() { return std::move(rows_); }

  private:
    std::string tag_;
    std::string prefix_;
    std::vector<http::Row> rows_;
};

/// Fills `out` from body, path, query and headers; Code::invalid_argument says every fault with its place.
[[nodiscard]] Task<Result<void>> read_request(http::Call& call, wire::Ops const& ops, void* out);
template <class T>
[[nodiscard]] Task<Result<void>> read_request(http::Call& call, T& out) {
    return read_request(call, wire::Codec<T>::ops, &out);
}
template <class T>
[[nodiscard]] http::Answer json_answer(T const& value, unsigned status = 200) {
    std::string body;
    wire::encode(wire::Codec<T>::ops, &value, wire::EncodePolicy{}, body);
    return http::Answer::bytes(status, "application/json", std::move(body));
}

/// Code::not_found.
[[nodiscard]] Result<std::shared_ptr<kernels::Context>> context_of(Services& services, http::Call& call);

[[nodiscard]] RunInfo described(kernels::Context const& context, kernels::Run& run);
[[nodiscard]] OutputItem item_of(kernels::OutputLog::Entry const& entry);
/// What was dropped before the page's first entry; number is where it would have been.
[[nodiscard]] OutputItem gap_of(kernels::OutputLog::Page const& page, Clock const& clock);
/// A page of `log` (shared with its run or context) from `from` on, waited for as the query asks.
[[nodiscard]] Task<http::Answer> page_answer(Services& services, std::shared_ptr<kernels::OutputLog> log,
                                             std::uint64_t from, OutputsQuery query);
[[nodiscard]] wire::Timestamp stamp_of(WallTime at);

[[nodiscard]] bool wants_events(http::Call const& call);
/// Where to read on: `from`, or behind the Last-Event-ID. Code::invalid_argument.
[[nodiscard]] Result<std::uint64_t> start_of(OutputsQuery const& query);
/// The outputs of a run from `from` on as server-sent events, its state in front, its outcome behind.
[[nodiscard]] http::Answer run_events(Services& services, std::shared_ptr<kernels::Context> context,
                                      std::shared_ptr<kernels::Run> run, std::uint64_t from, Leave leave);
/// The outputs of a context that belong to no run, as they come.
[[nodiscard]] http::Answer context_events(Services& services, std::shared_ptr<kernels::Context> context,
                                          std::uint64_t from);

}  // namespace execd::own
