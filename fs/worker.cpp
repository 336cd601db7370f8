#include "fs/worker.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>

#include <cerrno>
#include <map>

#include "base/accounts.hpp"
#include "base/event.hpp"
#include "fs/channel.hpp"
#include "shell/spawner.hpp"

namespace execd::fs {

namespace {

using Key = std::pair<std::uint32_t, std::uint32_t>;

struct WorkerProcess {
    WorkerProcess(std::shared_ptr<shell::Process> child, Descriptor channel)
        : process(std::move(child)), socket(std::move(channel)) {}
    std::shared_ptr<shell::Process> process;
    Descriptor socket;
    TimePoint idle_since{};
};

}  // namespace

struct Workers::State {
    State(Loop& l, shell::Spawner& s, WorkerOptions o, Executor const* files)
        : loop(&l),
          spawner(&s),
          options(std::move(o)),
          own(l),
          here(files ? files : &own),
          sweep(l.clock()) {}

    Loop* loop;
    shell::Spawner* spawner;
    WorkerOptions options;
    Executor own;
    Executor const* here;  // what workers opened is read and written here: all identities share its slots
    std::map<Key, std::vector<std::unique_ptr<WorkerProcess>>> idle;
    std::size_t count = 0;
    Event freed;
    Timer sweep;

    void drop(std::unique_ptr<WorkerProcess> worker, bool kill) {
        if (kill) static_cast<void>(worker->process->signal_group(SIGKILL));
        worker.reset();  // a well one sees the end of its channel
        --count;
        freed.notify_one();
    }
    void give_back(Key key, std::unique_ptr<WorkerProcess> worker) {
        worker->idle_since = loop->clock().now();
        idle[key].push_back(std::move(worker));
        freed.notify_one();
        if (!sweep.armed())
            sweep.arm(Deadline::in(loop->clock(), options.idle), [this] { end_idle(options.idle); });
    }
    void end_idle(Duration older) {
        auto const now = loop->clock().now();
        auto next = TimePoint::max();
        for (auto entry = idle.begin(); entry != idle.end();) {
            auto& list = entry->second;
            for (std::size_t i = list.size(); i-- > 0;) {
                if (now - list[i]->idle_since < older) {
                    next = std::min(next, list[i]->idle_since + older);
                    continue;
                }
                auto worker = std::move(list[i]);
                list.erase(list.begin() + static_cast<std::ptrdiff_t>(i));
                drop(std::move(worker), false);
            }
            entry = list.empty() ? idle.erase(entry) : std::next(entry);
        }
        if (next != TimePoint::max()) sweep.arm(Deadline(next), [this] { end_idle(options.idle); });
    }
    /// One of another identity makes room.
    bool evict() {
        if (idle.empty()) return false;
        auto entry = idle.begin();
        auto worker = std::move(entry->second.back());
        entry->second.pop_back();
        if (entry->second.empty()) idle.erase(entry);
        drop(std::move(worker), false);
        return true;
    }
};

namespace {

/// A worker on loan: killed unless it came through its operation.
class Lease {
  public:
    Lease(std::shared_ptr<Workers::State> state, Key key) : state_(std::move(state)), key_(key) {}
    ~Lease() {
        if (worker_)
            state_->drop(std::move(worker_), true);
        else if (counted_)
            --state_->count;
    }
    Lease(Lease const&) = delete;
    Lease& operator=(Lease const&) = delete;
    void count() {
        ++state_->count;
        counted_ = true;
    }
    void set(std::unique_ptr<WorkerProcess> worker) { worker_ = std::move(worker); }
    void give_back() {
        state_->give_back(key_, std::move(worker_));
        counted_ = false;
    }
    [[nodiscard]] WorkerProcess& worker() { return *worker_; }

  private:
    std::shared_ptr<Workers::State> state_;
    Key key_;
    std::unique_ptr<WorkerProcess> worker_;
    bool counted_ = false;
};

Failure unavailable(std::string detail) { return fail(Code::unavailable, "fs.identity", std::move(detail)); }

class IdentityExecutor final : public Executor {
  public:
    IdentityExecutor(std::shared_ptr<Workers::State> state, shell::Identity identity)
        : Executor(*state->here, Sharing{}),
          state_(std::move(state)),
          identity_(std::move(identity)),
          key_(identity_.uid, identity_.gid) {}
    [[nodiscard]] bool local() const override { return false; }

  protected:
    Task<Result<Packet>> call(Packet request, Lane lane) override {
        return ask(state_, identity_, key_, std::move(request), lane);
    }

  private:
    static Task<Result<Packet>> ask(std::shared_ptr<Workers::State> state, shell::Identity identity, Key key,
                                    Packet request, Lane lane) {
        auto& clock = state->loop->clock();
        auto const& options = state->options;
        auto const deadline =
            Deadline::in(clock, lane == Lane::metadata ? options.metadata_deadline : options.bulk_deadline);
        Lease lease(state, key);
        if (auto ok = co_await acquire(state, std::move(identity), key, lease, deadline); !ok)
            co_return Failure(ok.error());
        bool late = false;
        auto process = lease.worker().process;
        Timer timer(clock);
        timer.arm(deadline, [&late, process] {
            late = true;
            static_cast<void>(process->signal_group(SIGKILL));  // its end of the channel closes: we wake
        });
        auto sent = co_await async_send_packet(lease.worker().socket, std::move(request));
        if (!sent && late) co_return fail(Code::timed_out, "fs.worker");
        if (!sent) co_return Failure(sent.error());
        auto answer = co_await async_receive_packet(lease.worker().socket);
        if (!answer && late) co_return fail(Code::timed_out, "fs.worker");
        if (!answer) co_return fail(Code::io, "fs.worker", "the worker ended");
        lease.give_back();
        co_return answer;
    }

    static Task<Result<void>> acquire(std::shared_ptr<Workers::State> state, shell::Identity identity,
                                      Key key, Lease& lease, Deadline deadline) {
        auto& clock = state->loop->clock();
        for (;;) {
            auto const found = state->idle.find(key);
            if (found != state->idle.end()) {
                auto worker = std::move(found->second.back());
                found->second.pop_back();
                if (found->second.empty()) state->idle.erase(found);
                bool const alive = worker->process->running();
                if (alive) {
                    lease.set(std::move(worker));
                    co_return Result<void>();
                }
                state->drop(std::move(worker), false);
                continue;
            }
            if (state->count < state->options.max_processes || state->evict()) break;
            bool const woken = co_await state->freed.wait(clock, deadline);
            if (!woken) co_return fail(Code::exhausted, "fs.worker", "all workers are busy");
        }
        lease.count();
        auto worker = co_await start(state, std::move(identity));
        if (!worker) co_return Failure(worker.error());
        lease.set(std::move(*worker));
        co_return Result<void>();
    }

    static Task<Result<std::unique_ptr<WorkerProcess>>> start(std::shared_ptr<Workers::State> state,
                                                              shell::Identity identity) {
        int pair[2];
        if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
            co_return fail_errno("fs.worker", errno);
        UniqueFd ours(pair[0]);
        UniqueFd theirs(pair[1]);
        shell::SpawnSpec spec;
        spec.argv = state->options.argv;
        spec.program_fd = state->options.program_fd;
        spec.cwd = "/";
        spec.fds.push_back({theirs.get(), kWorkerSocket});
        spec.owned.push_back(std::move(theirs));
        spec.identity = std::move(identity);
        spec.no_new_privs = true;
        spec.parent_death_signal = SIGKILL;
        auto process = co_await state->spawner->spawn(std::move(spec));
        if (!process) {
            auto const error = process.error().to_error();
            co_return unavailable(error.message());
        }
        (*process)->kill_when_dropped();
        Descriptor socket(state->loop->executor(), ours.release());
        co_return std::make_unique<WorkerProcess>(std::move(*process), std::move(socket));
    }

    std::shared_ptr<Workers::State> state_;
    shell::Identity identity_;
    Key key_;
};

}  // namespace

shell::Identity identity_of(std::uint32_t uid, std::uint32_t gid) {
    shell::Identity identity;
    identity.uid = uid;
    identity.gid = gid;
    auto const table = accounts();
    if (auto const* user = table->user(static_cast<uid_t>(uid)); user != nullptr) {
        for (auto const group : table->groups_of(*user))
            if (group != user->gid || group == gid) identity.groups.push_back(group);
    }
    return identity;
}

Workers::Workers(Loop& loop, shell::Spawner& spawner, WorkerOptions options, Executor const* files)
    : state_(std::make_shared<State>(loop, spawner, std::move(options), files)) {}

Workers::~Workers() {
    state_->sweep.cancel();
    close_idle();
}

std::shared_ptr<Executor> Workers::as(std::uint32_t uid, std::uint32_t gid) {
    return std::make_shared<IdentityExecutor>(state_, identity_of(uid, gid));
}

std::size_t Workers::processes() const { return state_->count; }

void Workers::close_idle() {
    for (auto& [key, list] : state_->idle)
        while (!list.empty()) {
            auto worker = std::move(list.back());
            list.pop_back();
            state_->drop(std::move(worker), false);
        }
    state_->idle.clear();
}

}  // namespace execd::fs
