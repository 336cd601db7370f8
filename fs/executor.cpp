#include "fs/executor.hpp"

#include "fs/place.hpp"

namespace execd::fs {

Task<Result<Packet>> Executor::call(Packet, Lane) {
    co_return fail(Code::internal, "fs.executor", "the local executor has no channel");
}

Task<Result<Executor::Slot>> Executor::slot(Lane lane, Deadline deadline) {
    auto local = local_;
    auto const index = static_cast<std::size_t>(lane);
    while (local->remote[index] >= options_.remote_at_once) {
        bool const woken = co_await local->freed.wait(loop_->clock(), deadline);
        if (!woken) co_return fail(Code::timed_out, "fs.deadline", "the file system does not answer");
    }
    ++local->remote[index];
    auto* const raw = local.get();
    auto const give_back = [local, index](void*) {
        --local->remote[index];
        local->freed.notify_all();
    };
    Slot held(raw, give_back);
    co_return held;
}

/// Counts as a user from its making, holds from when it says so; undone by its end.
struct Executor::Holder {
    Holder(std::shared_ptr<Local> in, std::string key) : local(std::move(in)) {
        place = local->held.try_emplace(std::move(key)).first;
        ++place->second.users;
    }
    ~Holder() {
        if (holds) {
            place->second.held = false;
            place->second.freed.notify_all();
        }
        if (--place->second.users == 0) local->held.erase(place);
    }
    Holder(Holder const&) = delete;
    Holder& operator=(Holder const&) = delete;
    std::shared_ptr<Local> local;
    std::map<std::string, Holding>::iterator place;
    bool holds = false;
};

Task<Result<Executor::Slot>> Executor::hold(std::string path) {
    auto const deadline = deadline_of(Lane::bulk);
    Locate locate(std::move(path));
    auto place = co_await run(std::move(locate));
    if (!place) co_return Failure(std::move(place.error()));
    auto holder = std::make_shared<Holder>(local_, std::move(place->key));
    auto& file = holder->place->second;
    while (file.held) {
        bool const woken = co_await file.freed.wait(loop_->clock(), deadline);
        if (!woken && file.held) co_return fail(Code::timed_out, "fs.deadline", "somebody changes the file");
    }
    file.held = true;
    holder->holds = true;
    co_return Slot(std::move(holder));
}

}  // namespace execd::fs
