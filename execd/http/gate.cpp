#include "execd/http/gate.hpp"

#include <memory>

namespace execd::http {

namespace {
Task<Result<Answer>> at_once(Result<Answer> answer) { co_return answer; }
}  // namespace

void put_before(Row& row, Gate gate) {
    struct Guarded {
        Gate gate;
        SyncHandler sync;
        Handler invoke;  // its coroutines refer to it: it must not move
    };
    auto const all =
        std::make_shared<Guarded const>(Guarded{std::move(gate), std::move(row.sync), std::move(row.invoke)});
    row.sync = nullptr;
    row.invoke = nullptr;
    if (all->sync)
        row.sync = [all](Call& call) {
            auto refused = all->gate(call);
            return refused ? std::move(*refused) : all->sync(call);
        };
    if (all->invoke)
        row.invoke = [all](Call& call) {
            auto refused = all->gate(call);
            return refused ? at_once(std::move(*refused)) : all->invoke(call);
        };
}

}  // namespace execd::http
