// An executor runs operations for the reactor: the local one on the work pool, a worker's in a process under
// another identity (fs/worker.hpp). Handlers take an Executor& and do not know which it is.
//
// A local operation belongs to its thread: when the one who waits is cancelled, or its time is over, the wait
// ends at once and the operation's own end is awaited by nobody. Searches see their flag and stop; everything
// else comes to its end. Operations on network and user-space file systems share a few threads (Local): a
// dead server cannot hold a lane. One that works through a file step by step (`kStepwise`) is not waited for
// when its next step stays away on such a file system for as long as metadata may take.
//
// Thread: the reactor.
#pragma once
#include <array>
#include <exception>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/error.hpp"
#include "base/event.hpp"
#include "base/loop.hpp"
#include "base/task.hpp"
#include "fs/operations.hpp"
#include "fs/progress.hpp"
#include "fs/remote_mounts.hpp"
#include "fs/wire.hpp"

namespace execd::fs {

struct ExecutorOptions {
    Duration metadata_deadline = std::chrono::seconds(30);
    Duration bulk_deadline = std::chrono::hours(1);
    /// Threads of a lane that operations on remote file systems may hold together.
    std::size_t remote_at_once = 3;
    std::string mountinfo = "/proc/self/mountinfo";
};

class Executor {
  public:
    explicit Executor(Loop& loop, ExecutorOptions options = {})
        : loop_(&loop), options_(std::move(options)), local_(std::make_shared<Local>(options_.mountinfo)) {}
    virtual ~Executor() = default;
    Executor(Executor const&) = delete;
    Executor& operator=(Executor const&) = delete;

    [[nodiscard]] Loop& loop() const { return *loop_; }
    /// Operations run with the daemon's own identity: the reactor may take shortcuts (fs/cached.hpp).
    [[nodiscard]] virtual bool local() const { return true; }

    /// Whether work on `path` may never end: it lies on a network or user-space file system, links followed
    /// as far as is known without asking it. Waits for nothing.
    [[nodiscard]] bool may_hang(std::string const& path) { return local_->mounts.covers(path); }
    [[nodiscard]] bool may_hang(int fd) { return local_->mounts.covers(fd); }
    /// Where `path` lies, which is open as `fd`, `device` being its st_dev. Waits for nothing.
    [[nodiscard]] Storage storage(std::string const& path, int fd, std::uint64_t device) {
        return local_->mounts.storage(path, fd, device);
    }
    /// One of the few threads of `lane` that work which may hang shares: held until the last copy is gone,
    /// which is to be let go of on the reactor, when the thread is back.
    using Slot = std::shared_ptr<void>;
    [[nodiscard]] Task<Result<Slot>> slot(Lane lane, Deadline deadline);
    [[nodiscard]] Deadline deadline_of(Lane lane) const {
        return Deadline::in(loop_->clock(),
                            lane == Lane::metadata ? options_.metadata_deadline : options_.bulk_deadline);
    }

    /// The file at `path` alone: one who changes it on the ground of what it held keeps others out from
    /// reading to writing. Held until the last copy is gone (on the reactor). Uploads of whole files wait
    /// for it too. Operations with a member `changes()` take it themselves. timed_out where "fs.deadline".
    [[nodiscard]] Task<Result<Slot>> hold(std::string path);
    /// Somebody holds some file.
    [[nodiscard]] bool any_held() const { return !local_->held.empty(); }

    /// `co_await files.run(Stat{path})` answers Result<Entry>. timed_out (where "fs.deadline") when the file
    /// system did not answer in time.
    template <class Op>
    [[nodiscard]] Task<Result<typename Op::Answer>> run(Op op) {
        return run_holding(std::move(op), Slot());
    }
    /// The same for one who holds the file: let go of when the operation has ended, whoever waits for it.
    template <class Op>
    [[nodiscard]] Task<Result<typename Op::Answer>> run_holding(Op op, Slot held) {
        static_assert(!std::is_aggregate_v<Op>, "give the operation a constructor (fs/entry.hpp says why)");
        if constexpr (requires { op.changes(); }) {
            // Who does not look at what was there has to wait for who does, and for nobody else.
            bool const wanted = op.changes() || any_held();
            if (!held && wanted) {
                auto got = co_await hold(op.path);
                if (!got) co_return Failure(std::move(got.error()));
                held = std::move(*got);
            }
        }
        if (local()) co_return co_await run_here(std::move(op), std::move(held));
        Packet packet = encode_operation(op);
        auto answer = co_await call(std::move(packet), Op::kLane);
        if (!answer) co_return Failure(std::move(answer.error()));
        auto result = decode_result<typename Op::Answer>(*answer);
        // What a worker staged is the worker's to remove: its word is never unlinked with our rights.
        if constexpr (std::is_same_v<typename Op::Answer, Staged>)
            if (result) result->ours = false;
        co_return result;
    }

    /// In this process, whichever executor it is: for what has its descriptor already. An operation with a
    /// member `may_hang` says itself whether it is of that kind.
    template <class Op>
    [[nodiscard]] Task<Result<typename Op::Answer>> run_here(Op op) {
        return run_here(std::move(op), Slot());
    }
    template <class Op>
    [[nodiscard]] Task<Result<typename Op::Answer>> run_here(Op op, Slot file);

  protected:
    /// Shares the slots and mounts of `like`.
    struct Sharing {};
    Executor(Executor const& like, Sharing)
        : loop_(like.loop_), options_(like.options_), local_(like.local_) {}
    /// Sends an encoded operation, answers with an encoded Result.
    [[nodiscard]] virtual Task<Result<Packet>> call(Packet request, Lane lane);

  private:
    struct Holding {
        std::size_t users = 0;  // who holds and who waits
        bool held = false;
        Event freed;
    };
    struct Local {
        explicit Local(std::string const& mountinfo) : mounts(mountinfo) {}
        RemoteMounts mounts;
        std::array<std::size_t, kLanes> remote{};  // running, by lane
        Event freed;
        std::map<std::string, Holding> held{};  // by place
    };
    struct Holder;
    /// What the thread and the one who waits share.
    template <class Op>
    struct Job {
        explicit Job(Op wanted) : op(std::move(wanted)) {}
        Op op;
        std::optional<Result<typename Op::Answer>> answer;
        Event done;
        bool finished = false;
        Steps steps{0};

        void work() {
            CountSteps const count(steps);
            try {
                answer.emplace(op.run());
            } catch (std::bad_alloc const&) {
                answer.emplace(fail(Code::exhausted, "fs", "out of memory"));
            } catch (std::exception const& e) {
                answer.emplace(fail(Code::internal, "fs", e.what()));
            }
        }
    };
    template <class Op>
    struct StopAtEnd {
        explicit StopAtEnd(std::shared_ptr<Job<Op>> waited) : job(std::move(waited)) {}
        ~StopAtEnd() {
            if constexpr (requires { job->op.cancel; })
                if (job->op.cancel) job->op.cancel->store(true, std::memory_order_relaxed);
        }
        StopAtEnd(StopAtEnd const&) = delete;
        StopAtEnd& operator=(StopAtEnd const&) = delete;
        std::shared_ptr<Job<Op>> job;
    };
    template <class Op>
    [[nodiscard]] bool may_hang_in(Op const& op) {
        if constexpr (requires { op.may_hang; })
            return op.may_hang;
        else if constexpr (requires { op.options.path; })
            return may_hang(op.options.path);
        else if constexpr (requires { op.source; })
            return may_hang(op.source);
        else
            return may_hang(op.path);
    }

    Loop* loop_;
    ExecutorOptions options_;
    std::shared_ptr<Local> local_;
};

template <class Op>
Task<Result<typename Op::Answer>> Executor::run_here(Op op, Slot file) {
    auto job = std::make_shared<Job<Op>>(std::move(op));
    if constexpr (requires { job->op.cancel; })
        if (!job->op.cancel) job->op.cancel = std::make_shared<std::atomic<bool>>(false);
    auto const deadline = deadline_of(Op::kLane);
    Slot held;
    bool stepwise = false;
    if (may_hang_in(job->op)) {
        if constexpr (requires { Op::kStepwise; }) stepwise = true;
        auto const patience = stepwise ? deadline_of(Lane::metadata) : deadline;
        auto got = co_await slot(Op::kLane, patience);
        if (!got) co_return Failure(std::move(got.error()));
        held = std::move(*got);
    }
    StopAtEnd<Op> const stop(job);
    loop_->pool().submit(
        Op::kLane, [job, file = std::move(file), held = std::move(held), executor = loop_->executor(),
                    guard = asio::make_work_guard(loop_->executor())]() mutable {
            job->work();
            // Moved, so that what is left of the operation is ended by the reactor.
            asio::post(executor, [job = std::move(job), file = std::move(file), held = std::move(held)] {
                job->finished = true;
                job->done.notify_all();
            });
        });
    while (!job->finished) {
        auto const steps = job->steps.load(std::memory_order_relaxed);
        auto const next = stepwise ? earliest(deadline, deadline_of(Lane::metadata)) : deadline;
        bool const woken = co_await job->done.wait(loop_->clock(), next);
        if (woken || job->finished) continue;
        bool const goes_on = stepwise && job->steps.load(std::memory_order_relaxed) != steps;
        if (!goes_on || deadline.passed(loop_->clock()))
            co_return fail(Code::timed_out, "fs.deadline", "the file system does not answer");
    }
    co_return std::move(*job->answer);
}

}  // namespace execd::fs
