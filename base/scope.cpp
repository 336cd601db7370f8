#include "base/scope.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>

#include <atomic>

#include "base/check.hpp"
#include "base/ledger.hpp"
#include "base/log.hpp"
#include "base/loop.hpp"

namespace execd {

namespace {
ledger::Name const kWork{"scope.work"};

struct Child : std::enable_shared_from_this<Child> {
    Child(std::string n, Executor e) : name(std::move(n)), executor(e) {}
    std::string name;
    Executor executor;
    asio::cancellation_signal stop;
    bool cancelled = false;
    bool ended = false;
    ledger::Token token{kWork};

    void cancel() {
        if (ended) return;
        cancelled = true;
        stop.emit(asio::cancellation_type::terminal);
        // Outside the reactor's run Asio posts the emission and refers to the signal by address: if the
        // coroutine ends before that, the signal must still be there.
        asio::post(executor, [self = shared_from_this()] {});
    }
};

std::atomic<std::uint64_t> g_exceptions{0};

// What left a coroutine. Only the end of a cancelled one is in order.
void judge(std::exception_ptr const& error, std::string const& scope, Child const& child) {
    std::string what = "unknown exception";
    try {
        std::rethrow_exception(error);
    } catch (boost::system::system_error const& e) {
        if (child.cancelled && e.code() == asio::error::operation_aborted) return;
        what = e.what();
    } catch (std::exception const& e) {
        what = e.what();
    } catch (...) {  // NOLINT(bugprone-empty-catch): counted below
    }
    g_exceptions.fetch_add(1, std::memory_order_relaxed);
    log::error("scope.exception", {{"scope", scope}, {"work", child.name}, {"what", what}});
}
}  // namespace

struct Scope::State {
    State(Loop& l, std::string n) : loop(&l), name(std::move(n)) {}
    Loop* loop;
    std::string name;
    std::list<std::shared_ptr<Child>> children;
    bool closing = false;
    Event ended;
};

Scope::Scope(Loop& loop, std::string name) : state_(std::make_shared<State>(loop, std::move(name))) {}

Scope::~Scope() {
    if (state_->children.empty()) return;
    for (auto const& child : state_->children)
        log::error("scope.destroyed_while_running", {{"scope", state_->name}, {"work", child->name}});
    // In production the stragglers keep their State and end when they can; in debug this is a defect to be
    // seen.
    EXECD_ASSERT(state_->children.empty());
}

bool Scope::spawn(std::string name, Task<void> work) {
    Handle unused;
    return spawn(std::move(name), std::move(work), unused);
}

bool Scope::spawn(std::string name, Task<void> work, Handle& handle) {
    if (state_->closing) return false;
    auto child = std::make_shared<Child>(std::move(name), state_->loop->executor());
    auto const place = state_->children.insert(state_->children.end(), child);
    handle.child_ = child;
    asio::co_spawn(state_->loop->executor(), std::move(work),
                   asio::bind_cancellation_slot(child->stop.slot(),
                                                [state = state_, child, place](std::exception_ptr error) {
                                                    child->ended = true;
                                                    if (error) judge(error, state->name, *child);
                                                    state->children.erase(place);
                                                    state->ended.notify_all();
                                                }));
    return true;
}

void Scope::Handle::cancel() {
    if (auto child = std::static_pointer_cast<Child>(child_.lock())) child->cancel();
}

void Scope::cancel_all() {
    auto const now = state_->children;  // a cancelled child may end, or spawn, at once
    for (auto const& child : now) child->cancel();
}

Task<bool> Scope::drain(Deadline deadline) {
    auto state = state_;
    Clock& clock = state->loop->clock();
    while (!state->children.empty()) {
        if (deadline.passed(clock)) co_return false;
        co_await state->ended.wait(clock, deadline);
    }
    co_return true;
}

Task<std::vector<std::string>> Scope::close(Deadline deadline) {
    auto state = state_;
    state->closing = true;
    cancel_all();
    // A cancellation of the caller that arrives from here on must not cut the closing short.
    bool const throwing = co_await asio::this_coro::throw_if_cancelled();
    co_await asio::this_coro::throw_if_cancelled(false);
    Clock& clock = state->loop->clock();
    while (!state->children.empty() && !deadline.passed(clock)) co_await state->ended.wait(clock, deadline);
    co_await asio::this_coro::throw_if_cancelled(throwing);
    std::vector<std::string> left;
    for (auto const& child : state->children) left.push_back(child->name);
    for (auto const& name : left) log::warn("scope.straggler", {{"scope", state->name}, {"work", name}});
    co_return left;
}

std::uint64_t Scope::exceptions() noexcept { return g_exceptions.load(std::memory_order_relaxed); }
bool Scope::closing() const { return state_->closing; }
std::size_t Scope::running() const { return state_->children.size(); }
std::vector<std::string> Scope::names() const {
    std::vector<std::string> out;
    for (auto const& child : state_->children) out.push_back(child->name);
    return out;
}

}  // namespace execd
