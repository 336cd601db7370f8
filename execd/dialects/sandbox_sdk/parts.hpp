// What the files of this dialect share: its state, the table of its routes, the sandbox of a request.
#pragma once
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "execd/auth/authenticator.hpp"
#include "execd/claim_work.hpp"
#include "execd/dialects/dialect_table.hpp"
#include "execd/dialects/sandbox_sdk/dialect.hpp"
#include "execd/dialects/sandbox_sdk/schemas.hpp"
#include "execd/dialects/sandbox_sdk/templates.hpp"
#include "execd/services.hpp"
#include "execd/workspace.hpp"

namespace execd::sandbox_sdk {

/// The kind of this dialect's claims.
inline constexpr std::string_view kKind = "sandbox_sdk";

/// One for all routes. Thread: the reactor.
struct State {
    State(Services& all, Dialect& manners, auth::Authenticator& who)
        : services(all), dialect(manners), authenticator(who), workspace(all) {}
    Services& services;
    Dialect& dialect;
    auth::Authenticator& authenticator;
    Workspace workspace;
    Templates templates;
};
using StatePtr = std::shared_ptr<State>;

using Table = DialectTable<State>;

[[nodiscard]] http::Row row_of(std::string method, std::string path, std::string operation, std::string doc);

void add_account(Table& table);
void add_templates(Table& table);
void add_sandboxes(Table& table);
void add_execute(Table& table);
void add_files(Table& table);

/// The caller's sandbox {sandboxId}, to be used: not_found (unknown, ended, somebody else's), conflict
/// (paused).
[[nodiscard]] Result<claims::Activity> enter(State& state, http::Call& call);
/// The same whatever state it is in, if it lives.
[[nodiscard]] Result<claims::ClaimPtr> sandbox_of(State& state, http::Call& call);
/// What a request with a null language means: the template's.
[[nodiscard]] std::string language_of(claims::Claim const& sandbox, std::optional<std::string> asked);

[[nodiscard]] inline wire::Timestamp stamp_of(WallTime at) {
    return {std::chrono::time_point_cast<std::chrono::nanoseconds>(at)};
}

/// A JSON answer of about `weight` bytes.
template <class T>
[[nodiscard]] Task<Result<http::Answer>> answer_of(State& state, T value, std::size_t weight) {
    std::string text;
    std::function<void()> write = [&state, &value, &text] {
        wire::encode(value, state.dialect.writing(), text);
    };
    co_await do_work(state.services, weight, std::move(write));
    co_return http::Answer::bytes(200, "application/json", std::move(text));
}

}  // namespace execd::sandbox_sdk
