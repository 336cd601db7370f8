// What the files of this dialect share: the groups of routes, the user's home, paths, answers of any size.
#pragma once
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "execd/dialects/agentrun/claims.hpp"
#include "execd/dialects/agentrun/dialect.hpp"
#include "execd/dialects/agentrun/schemas.hpp"
#include "execd/services.hpp"

namespace execd::fs {
struct Entry;
}

namespace execd::agentrun {

/// Ids of ended contexts, the last 1,024: ending one twice is harmless (§11.6).
class EndedIds {
  public:
    void add(std::string id);
    [[nodiscard]] bool knows(std::string const& id) const { return ids_.contains(id); }

  private:
    std::set<std::string> ids_;
    std::vector<std::string> ring_;
    std::size_t next_ = 0;
};

/// One for all routes. Thread: the reactor.
struct State {
    State(Services& all, Dialect& manners) : services(all), dialect(manners) {}
    Services& services;
    Dialect& dialect;
    std::string home{};  // once it is known: home_of()
    EndedIds ended_contexts;
    TimePoint started = services.loop.clock().now();
};
using StatePtr = std::shared_ptr<State>;

/// The routes; each is served bare and below /sandboxes/{sandboxId}.
class Table {
  public:
    explicit Table(StatePtr state) : state_(std::move(state)) {}
    /// `Shown` is what the documents show as the answer; the handler gives `Res`, which may be http::Answer.
    template <class Req, class Shown, class Res>
    void add(http::Row row, Task<Result<Res>> (*handler)(State&, http::Call&, Req)) {
        if constexpr (!std::is_same_v<Shown, http::Nothing>)
            if (row.statuses.empty())
                row.statuses = {{200, &wire::Codec<Shown>::ops, "application/json", "Done"}};
        row.tag = "AgentRun";
        row = http::route<Req, Res>(
            std::move(row), state_->dialect,
            http::TypedHandler<Req, Res>([state = state_, handler](http::Call& call, Req request) {
                return handler(*state, call, std::move(request));
            }));
        add_both(std::move(row));
    }
    void add_both(http::Row row);
    [[nodiscard]] StatePtr const& state() const { return state_; }
    [[nodiscard]] std::vector<http::Row>& rows() { return rows_; }

  private:
    StatePtr state_;
    std::vector<http::Row> rows_;
};

[[nodiscard]] http::Row row_of(std::string method, std::string path, std::string operation, std::string doc);

void add_health(Table& table);
void add_contexts(Table& table);
void add_files(Table& table);
void add_transfers(Table& table);
void add_processes(Table& table);
void add_terminal(Table& table);
void add_browser(Table& table);
void add_recordings(Table& table);
void add_lifecycle(Table& table);

/// /home/user, the SDK's default directory, made at the first use; the daemon's own home where it cannot be
/// made.
[[nodiscard]] Task<std::string> home_of(State& state);
/// The same for something that starts there: made again when somebody removed it.
[[nodiscard]] Task<std::string> home_to_start_in(State& state);
/// Absolute and cleaned; relative ones start at the home (§5.1), and /home/user means the home.
[[nodiscard]] Task<Result<std::string>> path_of(State& state, std::string text);
/// Seconds as a client gives them: any size; nothing and 0 are no limit.
[[nodiscard]] Duration limit_of(std::optional<double> seconds);
[[nodiscard]] wire::Timestamp stamp_of(WallTime at);
[[nodiscard]] wire::Timestamp stamp_of_ns(std::int64_t since_epoch);

/// Does `work` here, or on the pool when it makes more than 128 KiB (about): nothing holds the reactor.
[[nodiscard]] Task<void> do_work(State& state, std::size_t weight, std::function<void()> work);
/// A JSON answer of about `weight` bytes.
[[nodiscard]] Task<http::Answer> render(State& state, wire::Ops const& ops, void const* value,
                                        std::size_t weight);
template <class T>
[[nodiscard]] Task<Result<http::Answer>> answer_of(State& state, T value, std::size_t weight) {
    co_return co_await render(state, wire::Codec<T>::ops, &value, weight);
}

}  // namespace execd::agentrun
