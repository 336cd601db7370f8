#include "execd/claims/claims.hpp"

#include <algorithm>

#include "base/ids.hpp"
#include "base/log.hpp"
#include "kernels/contexts.hpp"
#include "shell/owners.hpp"
#include "shell/sessions.hpp"

namespace execd::claims {

std::string_view to_string(State state) noexcept {
    switch (state) {
        case State::pending: return "pending";
        case State::running: return "running";
        case State::pausing: return "pausing";
        case State::paused: return "paused";
        case State::ended: return "ended";
    }
    return "ended";
}

std::string_view to_string(Cause cause) noexcept {
    switch (cause) {
        case Cause::none: return "";
        case Cause::killed: return "killed";
        case Cause::expired: return "expired";
        case Cause::idle: return "idle";
        case Cause::shutdown: return "shutdown";
    }
    return "";
}

Claim::Claim(Clock& clock, Spec spec)
    : clock_(&clock),
      spec_(std::move(spec)),
      created_(clock.wall()),
      updated_(created_),
      since_(created_),
      last_used_(clock.now()),
      deadline_(clock),
      idle_timer_(clock) {}

std::string Claim::note(std::string_view name) const {
    auto const found = spec_.notes.find(name);
    return found == spec_.notes.end() ? std::string() : found->second;
}

Activity::Activity(ClaimPtr claim) : claim_(std::move(claim)) {
    if (claim_) ++claim_->requests_;
}

Activity::~Activity() {
    if (!claim_) return;
    --claim_->requests_;
    claim_->last_used_ = claim_->clock_->now();
}

// ---- the registry

Claims::Claims(Loop& loop, shell::Executions& executions, shell::Sessions& sessions,
               shell::Terminals& terminals)
    : Claims(loop, executions, sessions, terminals, Options()) {}

Claims::Claims(Loop& loop, shell::Executions& executions, shell::Sessions& sessions,
               shell::Terminals& terminals, Options options)
    : loop_(&loop),
      executions_(&executions),
      sessions_(&sessions),
      terminals_(&terminals),
      options_(options),
      scope_(loop, "claims") {}

Claims::~Claims() = default;

namespace {

std::size_t bytes_of(Texts const& texts) {
    std::size_t out = 0;
    for (auto const& [name, value] : texts) out += name.size() + value.size();
    return out;
}

bool is_variable(std::string_view name, std::string_view value) {
    return !name.empty() && name.find('=') == std::string_view::npos &&
           name.find('\0') == std::string_view::npos && value.find('\0') == std::string_view::npos;
}

}  // namespace

Result<void> Claims::check(Spec const& spec) const {
    if (closing_) return fail(Code::unavailable, "claim", "shutting down");
    if (auto const known = find(spec.id); known && !(spec.may_reuse_id && known->gone_))
        return fail(Code::already_exists, "claim", spec.id);
    if (living_ >= options_.most) return fail(Code::exhausted, "claim", std::to_string(living_) + " live");
    for (auto const& [name, value] : spec.env)
        if (!is_variable(name, value))
            return fail(Code::invalid_argument, "claim", "no environment variable: " + name);
    if (spec.id.size() + bytes_of(spec.env) + bytes_of(spec.metadata) + bytes_of(spec.notes) >
        options_.kept_bytes)
        return fail(Code::too_large, "claim",
                    "env and metadata hold more than " + std::to_string(options_.kept_bytes) + " bytes");
    if (spec.expires && *spec.expires <= loop_->clock().wall())
        return fail(Code::invalid_argument, "claim", "it would have expired already");
    if (spec.idle < Duration::zero()) return fail(Code::invalid_argument, "claim", "negative idle time");
    return {};
}

Task<Result<ClaimPtr>> Claims::create(Spec spec) {
    if (spec.id.empty()) spec.id = uuid();
    if (auto good = check(spec); !good) co_return tl::unexpected(good.error());
    forget(spec.id);  // a dead one that may be replaced
    ClaimPtr const claim(new Claim(loop_->clock(), std::move(spec)));
    by_id_.emplace(claim->id(), claim);
    order_.push_back(claim->id());
    ++living_;
    // A creator that goes away meanwhile leaves nothing behind.
    struct Undo {
        Claims* claims;
        ClaimPtr claim;
        ~Undo() {
            if (claims != nullptr && claim->state() == State::pending)
                claims->end_later(claim->id(), Cause::killed);
        }
    } undo{this, claim};
    auto const owner = co_await executions_->open_owner(claim->id(), claim->limits());
    undo.claims = nullptr;
    claim->not_enforced_ = owner->not_enforced;
    if (!claim->alive()) co_return fail(Code::gone, "claim", claim->id() + " was ended while it was made");
    claim->last_used_ = loop_->clock().now();
    set_state(*claim, State::running);
    arm_deadline(*claim);
    arm_idle(*claim);
    co_return claim;
}

ClaimPtr Claims::find(std::string_view id, std::string_view kind) const {
    auto const found = by_id_.find(id);
    if (found == by_id_.end() || (!kind.empty() && found->second->kind() != kind)) return nullptr;
    return found->second;
}

std::vector<ClaimPtr> Claims::list(std::string_view kind) const {
    std::vector<ClaimPtr> out;
    for (auto const& id : order_)
        if (auto claim = find(id, kind)) out.push_back(std::move(claim));
    return out;
}

Result<Activity> Claims::enter(std::string_view id, std::string_view kind) {
    auto claim = find(id, kind);
    if (!claim) return fail(Code::not_found, "claim", std::string(id));
    if (!claim->alive()) return fail(Code::gone, "claim", std::string(id) + " has ended");
    if (claim->state() != State::running)
        return fail(Code::conflict, "claim",
                    std::string(id) + " is " + std::string(to_string(claim->state())));
    return Activity(std::move(claim));
}

void Claims::set_state(Claim& claim, State state) {
    claim.state_ = state;
    claim.since_ = loop_->clock().wall();
    claim.updated_ = claim.since_;
    executions_->tell_owner(claim.id(), to_string(state), to_string(claim.cause_));
    log::info("claim", {{"id", claim.id()},
                        {"kind", claim.kind()},
                        {"state", to_string(state)},
                        {"cause", to_string(claim.cause_)}});
    claim.changed_.notify_all();
    changed_.notify_all();
}

// ---- pause and resume

namespace {
/// Executions see to their own time when their owner is frozen; what counts time above them is told here.
void stand_still(shell::Sessions& sessions, kernels::Contexts* contexts, std::string_view id, bool still) {
    for (auto const& session : sessions.list(id)) session->stand_still(still);
    if (contexts == nullptr) return;
    for (auto const& context : contexts->list({}, id)) context->stand_still(still);
}
}  // namespace

Task<Result<void>> Claims::pause(ClaimPtr claim) {
    if (!claim->alive()) co_return fail(Code::gone, "claim", claim->id() + " has ended");
    if (claim->state() != State::running)
        co_return fail(Code::conflict, "claim",
                       claim->id() + " is " + std::string(to_string(claim->state())));
    set_state(*claim, State::pausing);
    // A caller that goes away leaves a claim that runs or that is paused, not one in between.
    struct Settle {
        Claims* claims;
        Claim* claim;
        State to = State::paused;
        ~Settle() {
            if (claim->state() == State::pausing) claims->set_state(*claim, to);
        }
    } settle{this, claim.get()};
    stand_still(*sessions_, contexts_, claim->id(), true);
    auto frozen = co_await executions_->freeze_owner(claim->id(), true);
    if (!frozen) {
        stand_still(*sessions_, contexts_, claim->id(), false);
        settle.to = State::running;
        co_return frozen;
    }
    stand_still(*sessions_, contexts_, claim->id(), true);  // what came up while the rest was being stopped
    if (!claim->alive()) co_return fail(Code::gone, "claim", claim->id() + " ended meanwhile");
    co_return Result<void>();
}

Task<Result<void>> Claims::resume(ClaimPtr claim) {
    if (!claim->alive()) co_return fail(Code::gone, "claim", claim->id() + " has ended");
    if (claim->state() != State::paused)
        co_return fail(Code::conflict, "claim",
                       claim->id() + " is " + std::string(to_string(claim->state())));
    auto thawed = co_await executions_->freeze_owner(claim->id(), false);
    if (!claim->alive()) co_return fail(Code::gone, "claim", claim->id() + " ended meanwhile");
    if (!thawed) co_return thawed;
    stand_still(*sessions_, contexts_, claim->id(), false);
    if (claim->state() != State::paused) co_return Result<void>();  // somebody else resumed it too
    claim->last_used_ = loop_->clock().now();
    set_state(*claim, State::running);
    arm_idle(*claim);
    co_return Result<void>();
}

// ---- deadlines

Result<void> Claims::renew(Claim& claim, std::optional<WallTime> expires) {
    if (!claim.alive()) return fail(Code::gone, "claim", claim.id() + " has ended");
    if (expires && *expires <= loop_->clock().wall())
        return fail(Code::invalid_argument, "claim", "the new end is not in the future");
    claim.spec_.expires = expires;
    claim.updated_ = loop_->clock().wall();
    arm_deadline(claim);
    changed_.notify_all();
    return {};
}

Result<void> Claims::set_idle(Claim& claim, Duration idle) {
    if (!claim.alive()) return fail(Code::gone, "claim", claim.id() + " has ended");
    if (idle < Duration::zero()) return fail(Code::invalid_argument, "claim", "negative idle time");
    claim.spec_.idle = idle;
    claim.updated_ = loop_->clock().wall();
    arm_idle(claim);
    return {};
}

Result<void> Claims::set_metadata(Claim& claim, Texts metadata) {
    if (!claim.alive()) return fail(Code::gone, "claim", claim.id() + " has ended");
    if (bytes_of(metadata) > options_.kept_bytes)
        return fail(Code::too_large, "claim",
                    "metadata holds more than " + std::to_string(options_.kept_bytes) + " bytes");
    claim.spec_.metadata = std::move(metadata);
    claim.updated_ = loop_->clock().wall();
    changed_.notify_all();
    return {};
}

Result<void> Claims::set_note(Claim& claim, std::string_view name, std::string value) {
    if (bytes_of(claim.spec_.notes) + name.size() + value.size() > options_.kept_bytes)
        return fail(Code::too_large, "claim", std::string(name));
    claim.spec_.notes.insert_or_assign(std::string(name), std::move(value));
    return {};
}

void Claims::arm_deadline(Claim& claim) {
    claim.deadline_.cancel();
    if (!claim.spec_.expires) return;
    // A century is never: steady time would overflow.
    constexpr auto kFar = std::chrono::hours(24 * 365 * 100);
    auto const left = *claim.spec_.expires - loop_->clock().wall();
    if (left > kFar) return;
    Deadline const at = Deadline::in(loop_->clock(), std::max<Duration>(left, Duration::zero()));
    claim.deadline_.arm(at, [this, id = claim.id()] { end_later(id, Cause::expired); });
}

// A paused claim is not used because it cannot be: the rule sleeps with it.
void Claims::arm_idle(Claim& claim) {
    claim.idle_timer_.cancel();
    if (claim.spec_.idle <= Duration::zero() || claim.state() != State::running) return;
    Pulse const now = pulse(claim);
    TimePoint const last = now.busy ? loop_->clock().now() : now.last;
    constexpr Duration kFar = std::chrono::hours(24 * 365 * 100);
    Deadline const at(last + std::min(claim.spec_.idle, kFar));
    claim.idle_timer_.arm(at, [this, id = claim.id()] { look_if_idle(id); });
}

// Whatever was used since the timer was armed moves it on to that moment plus the idle time: nothing polls.
void Claims::look_if_idle(std::string const& id) {
    auto const claim = find(id);
    if (!claim || claim->state() != State::running || claim->spec_.idle <= Duration::zero()) return;
    Pulse const now = pulse(*claim);
    bool const over = !now.busy && now.last + claim->spec_.idle <= loop_->clock().now();
    if (over) return end_later(id, Cause::idle);
    arm_idle(*claim);
}

Claims::Pulse Claims::pulse(Claim const& claim) const {
    Pulse out{claim.requests_ > 0, claim.last_used_};
    auto const used = [&out](bool busy, TimePoint last) {
        out.busy = out.busy || busy;
        out.last = std::max(out.last, last);
    };
    for (auto const& execution : executions_->list(claim.id())) {
        // A shell or a kernel that waits is no work: sessions, terminals and contexts say when they are.
        std::string const& label = execution->label();
        bool const waits = label == "session" || label == "kernel" || label == "terminal";
        if (execution->running())
            used(!waits, {});
        else
            used(false, execution->verdict()->at);
    }
    for (auto const& session : sessions_->list(claim.id())) used(session->busy(), session->last_used());
    for (auto const& terminal : terminals_->list(claim.id()))
        used(terminal->running() && terminal->has_writer(), {});
    if (contexts_ == nullptr) return out;
    for (auto const& context : contexts_->list({}, claim.id())) {
        auto const state = context->state();
        bool const rests = state == kernels::ContextState::idle || state == kernels::ContextState::dead;
        used(!rests || context->queued() > 0, context->last_active());
    }
    return out;
}

// ---- the end

void Claims::end_later(std::string const& id, Cause cause) {
    auto claim = find(id);
    if (claim) scope_.spawn("claim.end", end(std::move(claim), cause));
}

Task<void> Claims::end_work(ClaimPtr claim, Duration grace) {
    std::string const& id = claim->id();
    // The processes first: frozen ones could not answer a kernel's shutdown request or a session's.
    co_await executions_->close_owner(id, grace);
    if (contexts_ != nullptr) {
        for (auto const& context : contexts_->list({}, id)) {
            (void)co_await contexts_->remove(context->id(), Duration::zero());
        }
    }
    for (auto const& session : sessions_->list(id)) {
        auto const taken = sessions_->take(session->id());
        if (taken) co_await taken->close(Duration::zero());
    }
    for (auto const& terminal : terminals_->list(id)) {
        auto const taken = terminals_->take(terminal->id());
        if (taken) co_await taken->close(Duration::zero());
    }
}

Task<void> Claims::end(ClaimPtr claim, Cause cause, Duration grace) {
    if (!claim->alive()) {
        while (!claim->gone_) co_await claim->changed_.wait();
        co_return;
    }
    claim->cause_ = cause;
    claim->ended_ = loop_->clock().wall();
    claim->deadline_.cancel();
    claim->idle_timer_.cancel();
    --living_;
    std::erase(order_, claim->id());
    dead_.push_back(claim->id());
    set_state(*claim, State::ended);
    for (auto const& call : when_ended_) call(*claim);
    // Also when whoever asked for it goes away.
    bool const started = scope_.spawn("claim.finish", finish(claim, cause, grace));
    if (!started) co_await finish(claim, cause, grace);
    while (!claim->gone_) co_await claim->changed_.wait();
}

Task<void> Claims::finish(ClaimPtr claim, Cause cause, Duration grace) {
    co_await end_work(claim, grace);
    claim->gone_ = true;
    claim->changed_.notify_all();
    changed_.notify_all();
    forget_oldest();
    if (living_ == 0 && cause != Cause::shutdown && !closing_ && on_last_ended_) on_last_ended_();
}

void Claims::forget(std::string const& id) {
    if (by_id_.erase(id) == 0) return;
    executions_->forget_owner(id);
    std::erase(dead_, id);
}

void Claims::forget_oldest() {
    while (dead_.size() > options_.remembered) {
        auto const oldest = find(dead_.front());
        if (oldest && !oldest->gone_) return;
        forget(std::string(dead_.front()));
    }
}

Task<void> Claims::close(Deadline deadline) {
    closing_ = true;
    std::vector<ClaimPtr> const left = list();
    for (auto const& claim : left) end_later(claim->id(), Cause::shutdown);
    for (auto const& claim : left) {
        while (!claim->gone_) {
            bool const told = co_await claim->changed_.wait(loop_->clock(), deadline);
            if (!told) break;
        }
    }
    (void)co_await scope_.close(deadline);
}

}  // namespace execd::claims
