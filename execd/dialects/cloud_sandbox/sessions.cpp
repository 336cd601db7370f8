// /api/v1/sessions and /api/v1/sandbox (docs/cloud-sandbox.md).
#include <charconv>
#include <cmath>

#include "base/ids.hpp"
#include "execd/dialects/cloud_sandbox/parts.hpp"

namespace execd::cloud_sandbox {

using http::Call;

namespace {

double number_note(claims::Claim const& session, std::string_view name) {
    std::string const text = session.note(name);
    double out = 0;
    std::from_chars(text.data(), text.data() + text.size(), out);
    return out;
}

wire::Timestamp stamp_of(WallTime at) { return {std::chrono::time_point_cast<std::chrono::nanoseconds>(at)}; }

// "user:alice" is alice.
std::string shown(std::string const& user) {
    auto const colon = user.find(':');
    return colon == std::string::npos ? user : user.substr(colon + 1);
}

bool is_paused(claims::Claim const& session) {
    return session.state() == claims::State::paused || session.state() == claims::State::pausing;
}

SessionBody described(claims::Claim const& session) {
    SessionBody out;
    out.id = session.id();
    out.user_id = shown(session.note("user"));
    out.status = is_paused(session) ? "paused" : "active";
    if (auto sandbox = session.note("sandbox"); !sandbox.empty()) out.sandbox_id = std::move(sandbox);
    out.image = session.note("image");
    out.cpu_count = session.limits().cpu.value_or(0);
    out.memory_mb = number_note(session, "memory_mb");
    out.created_at = stamp_of(session.created());
    out.updated_at = stamp_of(session.updated());
    auto const active = static_cast<std::int64_t>(number_note(session, "active"));
    out.last_active_at = stamp_of(WallTime(std::chrono::milliseconds(active)));
    if (session.expires()) out.expires_at = stamp_of(*session.expires());
    if (is_paused(session)) out.paused_at = stamp_of(session.since());
    for (auto const& [name, value] : session.metadata()) out.metadata[name] = value;
    if (!out.image.empty()) out.not_enforced.emplace_back("image");
    for (auto const& limit : session.not_enforced()) out.not_enforced.push_back(limit);
    return out;
}

// ---- sessions

Task<Result<SessionBody>> create(State& state, Call& call, SessionRequest request) {
    constexpr double kMostMegabytes = 1e9;
    claims::Spec spec;
    spec.notes["image"] = request.image.value_or("");
    if (request.cpu_count.value_or(0) > 0) spec.limits.cpu = *request.cpu_count;
    if (double const mb = std::min(request.memory_mb.value_or(0), kMostMegabytes); mb > 0) {
        spec.limits.memory = static_cast<std::uint64_t>(std::ceil(mb * (1 << 20)));
        spec.notes["memory_mb"] = std::to_string(mb);
    }
    if (request.metadata)
        for (auto& [name, value] : *request.metadata) spec.metadata[name] = std::move(value);
    Duration const asked = bounded(request.ttl.value_or(0));
    Duration const life = asked > Duration::zero() ? asked : kDefaultLife;
    auto made = co_await open_session(state, caller_of(call), std::move(spec), life);
    if (!made) co_return Failure(made.error());
    co_return described(**made);
}

Task<Result<SessionBody>> get(State& state, Call& call, http::Nothing) {
    auto session = session_of(state, call, call.param("sessionId"));
    if (!session) co_return Failure(session.error());
    co_return described(**session);
}

/// The caller's, oldest first.
std::vector<claims::ClaimPtr> all_of(State& state, Call const& call) {
    std::string const user = caller_of(call);
    std::vector<claims::ClaimPtr> out;
    for (auto const& claim : state.services.claims->list(kKind))
        if (claim->note("user") == user) out.push_back(claim);
    return out;
}

Task<Result<SessionsAnswer>> list(State& state, Call& call, http::Nothing) {
    SessionsAnswer out;
    for (auto const& session : all_of(state, call))
        if (session->note("pooled").empty()) out.sessions.push_back(described(*session));
    co_return out;
}

Task<Result<Success>> remove(State& state, Call& call, http::Nothing) {
    auto session = session_of(state, call, call.param("sessionId"));
    if (!session) co_return Failure(session.error());
    co_await state.services.claims->end(*session, claims::Cause::killed);
    co_return Success();
}

// A session that is paused already is as good as one that was paused now; the same for resume.
Task<Result<SessionBody>> pause(State& state, Call& call, http::Nothing) {
    auto session = session_of(state, call, call.param("sessionId"));
    if (!session) co_return Failure(session.error());
    if ((*session)->state() != claims::State::paused) {
        auto done = co_await state.services.claims->pause(*session);
        if (!done) co_return Failure(done.error());
    }
    co_return described(**session);
}

Task<Result<SessionBody>> resume(State& state, Call& call, http::Nothing) {
    auto session = session_of(state, call, call.param("sessionId"));
    if (!session) co_return Failure(session.error());
    if ((*session)->state() != claims::State::running) {
        auto done = co_await state.services.claims->resume(*session);
        if (!done) co_return Failure(done.error());
    }
    take_turn(state, **session);
    co_return described(**session);
}

// ---- sandboxes

/// The running session that was created or resumed last, one that nobody has acquired before others; null:
/// none.
claims::ClaimPtr next_session(State& state, Call const& call) {
    claims::ClaimPtr best;
    auto const rank = [](claims::Claim const& one) {
        return std::pair(one.note("sandbox").empty(), number_note(one, "turn"));
    };
    for (auto const& session : all_of(state, call)) {
        bool const fits = session->state() == claims::State::running && session->note("pooled").empty();
        if (fits && (!best || rank(*session) > rank(*best))) best = session;
    }
    return best;
}

// Without a session there is a sandbox of its own, which ends with its release.
Task<Result<SandboxBody>> acquire(State& state, Call& call, http::Nothing) {
    auto session = next_session(state, call);
    if (!session) {
        claims::Spec spec;
        spec.notes["pooled"] = "1";
        auto made = co_await open_session(state, caller_of(call), std::move(spec), kDefaultLife);
        if (!made) co_return Failure(made.error());
        session = *made;
    }
    SandboxBody out;
    out.sandbox_id = session->note("sandbox");
    if (out.sandbox_id.empty()) {
        out.sandbox_id = session->id() + "-" + random_hex(4);
        auto noted = state.services.claims->set_note(*session, "sandbox", out.sandbox_id);
        if (!noted) co_return Failure(noted.error());
    }
    out.container_id = session->id();
    co_return out;
}

Task<Result<Success>> release(State& state, Call& call, ReleaseRequest request) {
    auto session = sandbox_of(state, call, request.sandbox_id);
    if (!session) co_return Failure(session.error());
    auto noted = state.services.claims->set_note(**session, "sandbox", "");
    if (!noted) co_return Failure(noted.error());
    if (!(*session)->note("pooled").empty())
        co_await state.services.claims->end(*session, claims::Cause::killed);
    co_return Success();
}

Task<Result<StatsBody>> stats(State& state, Call& call, http::Nothing) {
    StatsBody out;
    for (auto const& session : all_of(state, call))
        ++(session->note("sandbox").empty() ? out.idle : out.active);
    out.max = static_cast<std::int64_t>(claims::Claims::Options().most);
    co_return out;
}

}  // namespace

void add_sessions(Table& table) {
    auto row = row_of("POST", "/sessions", "CreateSession",
                      "A session: a claim on this container whose variables and processes live on.");
    row.on_disconnect = http::OnDisconnect::keep;
    row.statuses = {{201, nullptr, "application/json", "Created"}};
    table.add<SessionRequest, SessionBody>(std::move(row), create);
    table.add<http::Nothing, SessionsAnswer>(
        row_of("GET", "/sessions", "ListSessions", "The caller's sessions."), list);
    std::string const one = "/sessions/{sessionId}";
    table.add<http::Nothing, SessionBody>(row_of("GET", one, "GetSession", "One session."), get);
    row = row_of("DELETE", one, "DeleteSession", "Ends a session and all that runs in it.");
    row.on_disconnect = http::OnDisconnect::keep;
    table.add<http::Nothing, Success>(std::move(row), remove);
    row = row_of("POST", one + "/pause", "PauseSession", "Freezes all that runs in a session.");
    row.on_disconnect = http::OnDisconnect::keep;
    table.add<http::Nothing, SessionBody>(std::move(row), pause);
    row = row_of("POST", one + "/resume", "ResumeSession",
                 "Lets it run on; the caller's next acquire takes this session.");
    row.on_disconnect = http::OnDisconnect::keep;
    table.add<http::Nothing, SessionBody>(std::move(row), resume);
}

void add_sandboxes(Table& table) {
    auto row = row_of("POST", "/sandbox/acquire", "Acquire",
                      "Access to the session that the caller created or resumed last.");
    row.on_disconnect = http::OnDisconnect::keep;
    table.add<http::Nothing, SandboxBody>(std::move(row), acquire);
    row = row_of("POST", "/sandbox/release", "Release", "The sandbox's id dies; its session lives on.");
    row.on_disconnect = http::OnDisconnect::keep;
    table.add<ReleaseRequest, Success>(std::move(row), release);
    table.add<http::Nothing, StatsBody>(row_of("GET", "/sandbox/stats", "Stats", "How many there are."),
                                        stats);
}

}  // namespace execd::cloud_sandbox
