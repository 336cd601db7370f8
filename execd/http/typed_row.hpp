// route<Req, Res>: a row whose handler takes a described struct and gives one back. Decoding (from path,
// query, headers, form and body), the refusal with every fault, and encoding are done here by the dialect's
// manners; OpenAPI sees both structs.
//
//   Task<Result<Created>> create(Call& call, CreateRequest request);
//   rows.push_back(route<CreateRequest, Created>(std::move(row), manners, create));
//
// Thread: the reactor. `manners` and what the handler refers to outlive the router.
#pragma once
#include <functional>
#include <optional>
#include <string_view>
#include <type_traits>

#include "execd/http/route.hpp"
#include "execd/http/wire/decode.hpp"
#include "execd/http/wire/describe.hpp"
#include "execd/http/wire/encode.hpp"

namespace execd::http {

/// How a dialect reads requests, words their faults and writes answers.
class Manners {
  public:
    virtual ~Manners() = default;
    [[nodiscard]] virtual wire::Policy const& reading() const = 0;
    [[nodiscard]] virtual wire::EncodePolicy const& writing() const = 0;
    /// The answer to a request that does not fit; `faults` is not empty.
    [[nodiscard]] virtual Answer refused(wire::Faults const& faults, Call const& call) = 0;
    [[nodiscard]] virtual std::string_view media_type() const { return "application/json"; }
};

/// For rows that read nothing from their request, and for rows that answer without a body.
struct Nothing {};

/// `Res` may also be Answer itself: streams, files, upgrades.
template <class Req, class Res>
using TypedHandler = std::function<Task<Result<Res>>(Call&, Req)>;

namespace detail {

/// Fills `out` from every place that `ops` names; an Answer is the refusal, an Error a body that could not be
/// read.
[[nodiscard]] Task<Result<std::optional<Answer>>> read_request(Call& call, Manners& manners,
                                                               wire::Ops const& ops, void* out);
[[nodiscard]] Answer write_answer(Call const& call, Manners const& manners, wire::Ops const& ops,
                                  void const* value);
[[nodiscard]] Answer write_nothing(Call const& call);
/// Body policy, request and answer structs of a row, where the row does not say them itself.
void complete(Row& row, wire::Ops const* request, wire::Ops const* answer);

template <class T>
[[nodiscard]] wire::Ops const* described() {
    if constexpr (std::is_same_v<T, Nothing> || std::is_same_v<T, Answer>)
        return nullptr;
    else
        return &wire::ops_of<T>();
}

template <class Req, class Res>
Task<Result<Answer>> serve_typed(Call& call, Manners& manners, TypedHandler<Req, Res> const& handler) {
    Req request{};
    if constexpr (!std::is_same_v<Req, Nothing>) {
        auto refusal = co_await read_request(call, manners, *described<Req>(), &request);
        if (!refusal) co_return Failure(refusal.error());
        if (*refusal) co_return std::move(**refusal);
    }
    auto made = co_await handler(call, std::move(request));
    if (!made) co_return Failure(made.error());
    if constexpr (std::is_same_v<Res, Answer>)
        co_return std::move(*made);
    else if constexpr (std::is_same_v<Res, Nothing>)
        co_return write_nothing(call);
    else
        co_return write_answer(call, manners, *described<Res>(), &*made);
}

}  // namespace detail

/// The status of a success is the first of `row.statuses` (200 without one, or 204 for Nothing).
template <class Req, class Res>
[[nodiscard]] Row route(Row row, Manners& manners, TypedHandler<Req, Res> handler) {
    detail::complete(row, detail::described<Req>(), detail::described<Res>());
    row.invoke = [&manners, handler = std::move(handler)](Call& call) {
        return detail::serve_typed<Req, Res>(call, manners, handler);
    };
    return row;
}

}  // namespace execd::http
