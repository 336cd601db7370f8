#include "base/event.hpp"

#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/post.hpp>

#include <functional>
#include <optional>

namespace execd {

// The handler type of a plain co_await is fixed by kUseTask, so it could be stored as itself; erasing it
// keeps the header free of Asio's details at the price of one allocation per wait.
struct Event::Waiter {
    virtual ~Waiter() = default;
    /// `from_slot`: called by the cancellation slot's own handler, which must not be destroyed while it runs.
    virtual void complete(bool notified, bool from_slot) = 0;
    std::list<std::shared_ptr<Waiter>>* in = nullptr;
    std::list<std::shared_ptr<Waiter>>::iterator place;
    std::optional<Timer> timer;

    void finish(bool notified, bool from_slot = false) {
        if (in == nullptr) return;
        auto self = *place;  // keeps us alive past the erase
        auto* list = std::exchange(in, nullptr);
        list->erase(place);
        timer.reset();
        complete(notified, from_slot);
    }
};

namespace {

template <class Handler>
struct WaiterOf final : Event::Waiter {
    explicit WaiterOf(Handler h) : handler(std::move(h)) {}
    Handler handler;
    void complete(bool notified, bool from_slot) override {
        auto executor = asio::get_associated_executor(handler);
        auto slot = asio::get_associated_cancellation_slot(handler);
        if (slot.is_connected() && !from_slot) slot.clear();
        asio::post(executor, [h = std::move(handler), notified]() mutable { std::move(h)(notified); });
    }
};

auto async_wait(std::list<std::shared_ptr<Event::Waiter>>& waiters, Clock* clock, Deadline deadline) {
    return asio::async_initiate<decltype(kUseTask), void(bool)>(
        [&waiters, clock, deadline](auto handler) {
            auto waiter = std::make_shared<WaiterOf<decltype(handler)>>(std::move(handler));
            waiter->in = &waiters;
            waiter->place = waiters.insert(waiters.end(), waiter);
            auto slot = asio::get_associated_cancellation_slot(waiter->handler);
            if (slot.is_connected())
                slot.assign([weak = std::weak_ptr<Event::Waiter>(waiter)](asio::cancellation_type) {
                    if (auto w = weak.lock()) w->finish(false, true);
                });
            if (clock != nullptr && !deadline.is_never()) {
                waiter->timer.emplace(*clock);
                waiter->timer->arm(deadline, [w = waiter.get()] { w->finish(false); });
            }
        },
        kUseTask);
}

}  // namespace

Event::~Event() {
    while (!waiters_.empty()) waiters_.front()->finish(false);
}

Task<bool> Event::wait() { co_return co_await async_wait(waiters_, nullptr, Deadline()); }

Task<bool> Event::wait(Clock& clock, Deadline deadline) {
    if (deadline.passed(clock)) co_return false;
    co_return co_await async_wait(waiters_, &clock, deadline);
}

void Event::notify_all() {
    // Only those who wait now: a woken coroutine that waits again must not be woken twice.
    std::vector<std::shared_ptr<Waiter>> now(waiters_.begin(), waiters_.end());
    for (auto& waiter : now) waiter->finish(true);
}

void Event::notify_one() {
    if (!waiters_.empty()) waiters_.front()->finish(true);
}

}  // namespace execd
