// An executor runs operations for the reactor: the local one on the work pool, a worker's in a process under
// another identity (fs/worker.hpp). Handlers take an Executor& and do not know which it is.
//
// Thread: the reactor.
#pragma once
#include <utility>

#include "base/error.hpp"
#include "base/loop.hpp"
#include "base/task.hpp"
#include "fs/operations.hpp"
#include "fs/wire.hpp"

namespace execd::fs {

class Executor {
  public:
    explicit Executor(Loop& loop) : loop_(&loop) {}
    virtual ~Executor() = default;
    Executor(Executor const&) = delete;
    Executor& operator=(Executor const&) = delete;

    [[nodiscard]] Loop& loop() const { return *loop_; }
    /// Operations run with the daemon's own identity: the reactor may take shortcuts (fs/cached.hpp).
    [[nodiscard]] virtual bool local() const { return true; }

    /// `co_await files.run(Stat{path})` answers Result<Entry>.
    template <class Op>
    [[nodiscard]] Task<Result<typename Op::Answer>> run(Op op) {
        static_assert(!std::is_aggregate_v<Op>, "give the operation a constructor (fs/entry.hpp says why)");
        if (local()) co_return co_await loop_->pool().run(Op::kLane, RunHere<Op>(std::move(op)));
        Packet packet = encode_operation(op);
        auto answer = co_await call(std::move(packet), Op::kLane);
        if (!answer) co_return Failure(std::move(answer.error()));
        auto result = decode_result<typename Op::Answer>(*answer);
        // What a worker staged is the worker's to remove: its word is never unlinked with our rights.
        if constexpr (std::is_same_v<typename Op::Answer, Staged>)
            if (result) result->ours = false;
        co_return result;
    }

  protected:
    template <class Op>
    struct RunHere {
        explicit RunHere(Op wanted) : op(std::move(wanted)) {}
        Op op;
        auto operator()() { return op.run(); }
    };
    /// Sends an encoded operation, answers with an encoded Result.
    [[nodiscard]] virtual Task<Result<Packet>> call(Packet request, Lane lane);

  private:
    Loop* loop_;
};

}  // namespace execd::fs
