// What the files of this dialect share: its state, the table of its routes, sessions and sandboxes.
//
// A session is a claim. A sandbox is a session that somebody has acquired: its id is the session's with a
// random end, new at each acquire, and dead after the release.
#pragma once
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "execd/auth/authenticator.hpp"
#include "execd/claim_work.hpp"
#include "execd/dialects/cloud_sandbox/dialect.hpp"
#include "execd/dialects/cloud_sandbox/schemas.hpp"
#include "execd/dialects/dialect_table.hpp"
#include "execd/services.hpp"
#include "execd/workspace.hpp"

namespace execd::cloud_sandbox {

/// The kind of this dialect's claims.
inline constexpr std::string_view kKind = "cloud_sandbox";

/// One for all routes. Thread: the reactor.
struct State {
    State(Services& all, Dialect& manners, auth::Authenticator& who)
        : services(all), dialect(manners), authenticator(who), workspace(all) {}
    Services& services;
    Dialect& dialect;
    auth::Authenticator& authenticator;
    Workspace workspace;
    std::uint64_t turn = 0;  // of the last session that was created or resumed
};
using StatePtr = std::shared_ptr<State>;

using Table = DialectTable<State>;

[[nodiscard]] http::Row row_of(std::string method, std::string path, std::string operation, std::string doc);

void add_sessions(Table& table);
void add_sandboxes(Table& table);
void add_execute(Table& table);
void add_files(Table& table);

/// A claim for the caller, which lives for `life`.
[[nodiscard]] Task<Result<claims::ClaimPtr>> open_session(State& state, std::string user, claims::Spec spec,
                                                          Duration life);
/// The caller's living session or sandbox; not_found otherwise.
[[nodiscard]] Result<claims::ClaimPtr> session_of(State& state, http::Call const& call,
                                                  std::string const& id);
[[nodiscard]] Result<claims::ClaimPtr> sandbox_of(State& state, http::Call const& call,
                                                  std::string const& id);
/// A sandbox to be used; conflict while its session is paused.
[[nodiscard]] Result<claims::Activity> enter(State& state, http::Call const& call, std::string const& id);
/// It becomes the one that the next acquire takes.
void take_turn(State& state, claims::Claim& session);

inline constexpr Duration kDefaultLife = std::chrono::hours(24);

}  // namespace execd::cloud_sandbox
