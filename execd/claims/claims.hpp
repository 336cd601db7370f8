// Claims: the sandboxes that clients believe to have created (docs/architecture.md §8). There is one
// container; a claim is a share of it with its own id, environment, metadata, limits and end. What carries
// the claim's id as its owner (executions, sessions, terminals, contexts) is the claim's: it is frozen,
// thawed and ended with it. The container and everything without an owner live on.
//
//   auto made = co_await claims.create({.kind = "mine", .env = ..., .expires = ...});   // running
//   auto entered = claims.enter(id, "mine");      // for a request: not_found, gone (dead), conflict (paused)
//   spec.owner = (*entered).claim()->id();         // hold `entered` until the answer is out
//   co_await claims.pause(claim);  co_await claims.resume(claim);  co_await claims.end(claim, Cause::killed);
//
// Ids stay taken when their claim is dead; the last 10,000 dead are remembered and can still be asked for.
// Every change of state is an event (Executions::tell_owner).
//
// Thread: the reactor. Owner: the daemon; close() before the rooms below are closed.
#pragma once
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/scope.hpp"
#include "shell/cgroup.hpp"

namespace execd::shell {
class Executions;
class Sessions;
class Terminals;
}  // namespace execd::shell
namespace execd::kernels {
class Contexts;
}

namespace execd::claims {

enum class State : std::uint8_t { pending, running, pausing, paused, ended };
[[nodiscard]] std::string_view to_string(State) noexcept;

/// Why it ended.
enum class Cause : std::uint8_t {
    none,      // it lives
    killed,    // somebody asked for it
    expired,   // its deadline passed
    idle,      // nobody used it for too long
    shutdown,  // the daemon ends
};
[[nodiscard]] std::string_view to_string(Cause) noexcept;

using Texts = std::map<std::string, std::string, std::less<>>;

struct Spec {
    /// Empty: a new UUID. Dialects with ids of another shape make them.
    std::string id{};
    /// Who made it: a dialect finds and lists its own kind.
    std::string kind{};
    /// Over the environment that everything here gets.
    Texts env{};
    Texts metadata{};
    /// What its maker wants to remember of the request (template, image ...); nobody else looks.
    Texts notes{};
    shell::ResourceLimits limits{};
    /// The id of a dead claim may be used again.
    bool may_reuse_id = false;
    /// Nothing: never.
    std::optional<WallTime> expires{};
    /// Ended when there was neither a request nor running work for so long; 0: never.
    Duration idle{};
};

class Claim {
  public:
    [[nodiscard]] std::string const& id() const { return spec_.id; }
    [[nodiscard]] std::string const& kind() const { return spec_.kind; }
    [[nodiscard]] Texts const& env() const { return spec_.env; }
    [[nodiscard]] Texts const& metadata() const { return spec_.metadata; }
    [[nodiscard]] Texts const& notes() const { return spec_.notes; }
    /// Empty when there is no such note.
    [[nodiscard]] std::string note(std::string_view name) const;
    [[nodiscard]] shell::ResourceLimits const& limits() const { return spec_.limits; }
    /// "memory", "pids", "cpu": asked for and not in force here.
    [[nodiscard]] std::vector<std::string> const& not_enforced() const { return not_enforced_; }
    [[nodiscard]] std::optional<WallTime> expires() const { return spec_.expires; }
    [[nodiscard]] Duration idle() const { return spec_.idle; }

    [[nodiscard]] State state() const { return state_; }
    [[nodiscard]] bool alive() const { return state_ != State::ended; }
    [[nodiscard]] Cause cause() const { return cause_; }
    [[nodiscard]] WallTime created() const { return created_; }
    /// Of the last change of state, metadata or deadlines.
    [[nodiscard]] WallTime updated() const { return updated_; }
    /// Of the last change of state.
    [[nodiscard]] WallTime since() const { return since_; }
    [[nodiscard]] std::optional<WallTime> ended() const { return ended_; }
    /// Requests that are being answered.
    [[nodiscard]] std::size_t requests() const { return requests_; }

  private:
    friend class Claims;
    friend class Activity;
    Claim(Clock& clock, Spec spec);

    Clock* clock_;
    Spec spec_;
    std::vector<std::string> not_enforced_;
    State state_ = State::pending;
    Cause cause_ = Cause::none;
    WallTime created_{};
    WallTime updated_{};
    WallTime since_{};
    std::optional<WallTime> ended_{};
    std::size_t requests_ = 0;
    TimePoint last_used_{};
    bool gone_ = false;  // all that it had has ended
    Event changed_;
    Timer deadline_;
    Timer idle_timer_;
};
using ClaimPtr = std::shared_ptr<Claim>;

/// A request that is being answered for a claim: while one lives the claim is not idle.
class Activity {
  public:
    Activity() = default;
    explicit Activity(ClaimPtr claim);
    ~Activity();
    Activity(Activity&& other) noexcept : claim_(std::move(other.claim_)) {}
    Activity& operator=(Activity&& other) noexcept {
        std::swap(claim_, other.claim_);
        return *this;
    }
    /// Null: of no claim.
    [[nodiscard]] ClaimPtr const& claim() const { return claim_; }

  private:
    ClaimPtr claim_;
};

class Claims {
  public:
    struct Options {
        std::size_t most = 1000;           // living ones
        std::size_t remembered = 10'000;   // dead ones
        std::size_t kept_bytes = 1 << 20;  // texts of one claim together
    };
    Claims(Loop& loop, shell::Executions& executions, shell::Sessions& sessions, shell::Terminals& terminals);
    Claims(Loop& loop, shell::Executions& executions, shell::Sessions& sessions, shell::Terminals& terminals,
           Options options);
    ~Claims();
    Claims(Claims const&) = delete;
    Claims& operator=(Claims const&) = delete;
    /// Contexts come later than the rest.
    void set_contexts(kernels::Contexts* contexts) { contexts_ = contexts; }

    /// Comes back when it runs. already_exists: the id is a living or a dead claim's; exhausted; too_large;
    /// invalid_argument: it would have expired already, or a variable's name cannot be; gone: ended
    /// meanwhile.
    [[nodiscard]] Task<Result<ClaimPtr>> create(Spec spec);
    /// Living or dead, of this kind or (empty) of any; null when never heard of or long forgotten.
    [[nodiscard]] ClaimPtr find(std::string_view id, std::string_view kind = {}) const;
    /// The living ones of a kind (empty: of all), oldest first.
    [[nodiscard]] std::vector<ClaimPtr> list(std::string_view kind = {}) const;
    [[nodiscard]] std::size_t living() const { return living_; }

    /// For a request that wants to use a claim: it has to run. Code::not_found, gone (it ended), conflict (it
    /// is paused, or about to be).
    [[nodiscard]] Result<Activity> enter(std::string_view id, std::string_view kind = {});

    /// Freezes all that the claim has; new work is refused until resume(). conflict: it does not run;
    /// gone; timed_out: something did not stop, and all of it runs on.
    [[nodiscard]] Task<Result<void>> pause(ClaimPtr claim);
    /// conflict: it is not paused.
    [[nodiscard]] Task<Result<void>> resume(ClaimPtr claim);
    /// A new deadline, earlier or later; nothing: none. invalid_argument: it has passed; gone.
    Result<void> renew(Claim& claim, std::optional<WallTime> expires);
    Result<void> set_idle(Claim& claim, Duration idle);
    /// Replaces all of it. too_large; gone.
    Result<void> set_metadata(Claim& claim, Texts metadata);
    Result<void> set_note(Claim& claim, std::string_view name, std::string value);
    /// Ends the claim and all of its work, and waits until nothing is left. Also when it is ending already;
    /// a dead one is done at once.
    [[nodiscard]] Task<void> end(ClaimPtr claim, Cause cause, Duration grace = Duration::zero());

    /// Notified at each change of a claim.
    [[nodiscard]] Event& changed() { return changed_; }
    /// Called at the end of each claim, before its work is ended. Callers live as long as this.
    void when_ended(std::function<void(Claim const&)> call) { when_ended_.push_back(std::move(call)); }
    /// Called when the last living claim has ended, never before there was one, nor by close().
    void on_last_ended(std::function<void()> call) { on_last_ended_ = std::move(call); }
    /// Ends all of them; nothing is created from then on.
    [[nodiscard]] Task<void> close(Deadline deadline);

  private:
    struct Pulse {
        bool busy = false;
        TimePoint last{};
    };
    [[nodiscard]] Result<void> check(Spec const& spec) const;
    [[nodiscard]] Pulse pulse(Claim const& claim) const;
    [[nodiscard]] Task<void> end_work(ClaimPtr claim, Duration grace);
    [[nodiscard]] Task<void> finish(ClaimPtr claim, Cause cause, Duration grace);
    void set_state(Claim& claim, State state);
    void arm_deadline(Claim& claim);
    void arm_idle(Claim& claim);
    void look_if_idle(std::string const& id);
    void end_later(std::string const& id, Cause cause);
    void forget_oldest();
    void forget(std::string const& id);

    Loop* loop_;
    shell::Executions* executions_;
    shell::Sessions* sessions_;
    shell::Terminals* terminals_;
    kernels::Contexts* contexts_ = nullptr;
    Options options_;
    std::map<std::string, ClaimPtr, std::less<>> by_id_;
    std::vector<std::string> order_;  // of the living, as created
    std::deque<std::string> dead_;    // as ended
    std::size_t living_ = 0;
    bool closing_ = false;
    Event changed_;
    std::vector<std::function<void(Claim const&)>> when_ended_;
    std::function<void()> on_last_ended_;
    Scope scope_;
};

}  // namespace execd::claims
