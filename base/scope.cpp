#include "base/scope.hpp"

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>

#include "base/check.hpp"
#include "base/log.hpp"
#include "base/loop.hpp"

namespace execd {

namespace {
struct Child {
    std::string name;
    asio::cancellation_signal stop;
    bool ended = false;
};
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
    // In production the stragglers keep their State and end when they can; in debug this is a defect to be seen.
    EXECD_ASSERT(state_->children.empty());
}

bool Scope::spawn(std::string name, Task<void> work) {
    Handle unused;
    return spawn(std::move(name), std::move(work), unused);
}

bool Scope::spawn(std::string name, Task<void> work, Handle& handle) {
    if (state_->closing) return false;
    auto child = std::make_shared<Child>();
    child->name = std::move(name);
    auto const place = state_->children.insert(state_->children.end(), child);
    handle.child_ = child;
    asio::co_spawn(
        state_->loop->executor(), std::move(work),
        asio::bind_cancellation_slot(child->stop.slot(), [state = state_, child, place](std::exception_ptr error) {
            child->ended = true;
            if (error) {
                try {
                    std::rethrow_exception(error);
                } catch (boost::system::system_error const& e) {
                    if (e.code() != asio::error::operation_aborted)
                        log::error("scope.exception",
                                   {{"scope", state->name}, {"work", child->name}, {"what", e.what()}});
                } catch (std::exception const& e) {
                    log::error("scope.exception",
                               {{"scope", state->name}, {"work", child->name}, {"what", e.what()}});
                }
            }
            state->children.erase(place);
            state->ended.notify_all();
        }));
    return true;
}

void Scope::Handle::cancel() {
    auto child = std::static_pointer_cast<Child>(child_.lock());
    if (child && !child->ended) child->stop.emit(asio::cancellation_type::terminal);
}

void Scope::cancel_all() {
    auto const now = state_->children;
    for (auto const& child : now)
        if (!child->ended) child->stop.emit(asio::cancellation_type::terminal);
}

Task<bool> Scope::drain(Deadline deadline) {
    auto state = state_;
    while (!state->children.empty())
        if (!co_await state->ended.wait(state->loop->clock(), deadline)) co_return state->children.empty();
    co_return true;
}

Task<std::vector<std::string>> Scope::close(Deadline deadline) {
    auto state = state_;
    state->closing = true;
    cancel_all();
    co_await drain(deadline);
    std::vector<std::string> left;
    for (auto const& child : state->children) left.push_back(child->name);
    for (auto const& name : left) log::warn("scope.straggler", {{"scope", state->name}, {"work", name}});
    co_return left;
}

bool Scope::closing() const { return state_->closing; }
std::size_t Scope::running() const { return state_->children.size(); }
std::vector<std::string> Scope::names() const {
    std::vector<std::string> out;
    for (auto const& child : state_->children) out.push_back(child->name);
    return out;
}

}  // namespace execd
