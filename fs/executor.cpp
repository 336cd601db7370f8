#include "fs/executor.hpp"

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

}  // namespace execd::fs
