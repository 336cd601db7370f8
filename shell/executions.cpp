#include "shell/executions.hpp"

#include <signal.h>

#include <algorithm>

#include "base/ids.hpp"
#include "base/log.hpp"
#include "shell/cgroup_files.hpp"
#include "shell/channels.hpp"
#include "shell/owners.hpp"

namespace execd::shell {

Executions::Executions(Loop& loop, Spawner& spawner, std::shared_ptr<SpillStore> store)
    : Executions(loop, spawner, std::move(store), Options()) {}

Executions::Executions(Loop& loop, Spawner& spawner, std::shared_ptr<SpillStore> store, Options options)
    : loop_(&loop),
      spawner_(&spawner),
      store_(store ? std::move(store) : std::make_shared<SpillStore>()),
      options_(options),
      scope_(loop, "executions"),
      retention_(loop.clock()) {
    ::signal(SIGPIPE, SIG_IGN);  // a child that closes its stdin is an error of write(), not our end
}

Executions::~Executions() = default;

namespace {
bool has_nul(std::vector<std::string> const& texts) {
    return std::any_of(texts.begin(), texts.end(),
                       [](auto const& t) { return t.find('\0') != std::string::npos; });
}
}  // namespace

Result<void> Executions::check(ExecutionSpec const& spec) const {
    if (spec.argv.empty()) return fail(Code::invalid_argument, "execution", "no command");
    if (has_nul(spec.argv))
        return fail(Code::invalid_argument, "execution", "the command contains a NUL byte");
    if (has_nul(spec.env))
        return fail(Code::invalid_argument, "execution", "the environment contains a NUL byte");
    if (spec.cwd.find('\0') != std::string::npos)
        return fail(Code::invalid_argument, "execution", "the working directory contains a NUL byte");
    if (spec.timeout < Duration::zero()) return fail(Code::invalid_argument, "execution", "negative timeout");
    if (scope_.closing()) return fail(Code::unavailable, "execution", "shutting down");
    if (running_ >= options_.running)
        return fail(Code::exhausted, "execution", std::to_string(running_) + " are running");
    if (auto const owner = owner_of(spec.owner); owner && owner->gate != Owner::Gate::open)
        return owner->gate == Owner::Gate::frozen
                   ? fail(Code::conflict, "execution", spec.owner + " is paused")
                   : fail(Code::gone, "execution", spec.owner + " has ended");
    if (by_id_.contains(spec.id) || starting_.contains(spec.id))
        return fail(Code::already_exists, "execution", spec.id);
    return {};
}

namespace {
/// The id is taken from the first look until the execution is in the table, whatever happens in between.
struct Reservation {
    std::unordered_map<std::string, std::string>* starting;
    Event* changed;
    std::size_t* running;
    std::string id;

    Reservation(std::unordered_map<std::string, std::string>& s, Event& e, std::size_t& r,
                ExecutionSpec const& spec)
        : starting(&s), changed(&e), running(&r), id(spec.id) {
        starting->emplace(id, spec.digest);
        ++*running;
    }
    ~Reservation() {
        starting->erase(id);
        if (running != nullptr) --*running;
        changed->notify_all();
    }
    Reservation(Reservation const&) = delete;
    Reservation& operator=(Reservation const&) = delete;
};

/// On its way into the owner's group.
struct Arriving {
    std::shared_ptr<Owner> owner;
    std::shared_ptr<Cgroup> leaf;  // the spawn borrows its files

    explicit Arriving(std::shared_ptr<Owner> o) : owner(std::move(o)) {
        if (!owner) return;
        leaf = owner->leaf;
        ++owner->arriving;
    }
    ~Arriving() {
        if (!owner) return;
        --owner->arriving;
        owner->arrived.notify_all();
    }
    Arriving(Arriving const&) = delete;
    Arriving& operator=(Arriving const&) = delete;
};

SpawnSpec spawn_spec_of(ExecutionSpec& spec, Channels& channels) {
    SpawnSpec out;
    out.argv = std::move(spec.argv);
    out.program = std::move(spec.program);
    out.direct = std::move(spec.direct);
    out.env = std::move(spec.env);
    out.env.push_back("EXECD_EXECUTION=" + spec.id);
    out.cwd = std::move(spec.cwd);
    out.fds = std::move(channels.map);
    out.fds.insert(out.fds.end(), spec.fds.begin(), spec.fds.end());
    out.owned = std::move(channels.owned);
    for (auto& fd : spec.owned) out.owned.push_back(std::move(fd));
    out.group = spec.terminal ? ProcessGroup::terminal : ProcessGroup::own;
    out.identity = std::move(spec.identity);
    out.limits = std::move(spec.limits);
    out.umask = spec.umask;
    out.nice = spec.nice;
    out.oom_score_adj = spec.oom_score_adj;
    out.no_new_privs = spec.no_new_privs;
    return out;
}
}  // namespace

Task<Result<std::shared_ptr<Execution>>> Executions::start(ExecutionSpec spec) {
    if (spec.id.empty()) spec.id = uuid_hex();
    if (auto const good = check(spec); !good) co_return tl::unexpected(good.error());
    auto channels = open_channels(spec);
    if (!channels) co_return tl::unexpected(channels.error());
    Reservation reservation(starting_, starting_event_, running_, spec);
    auto const owner = owner_of(spec.owner);
    Arriving const arriving(owner);

    std::shared_ptr<Execution> execution(new Execution(*loop_, scope_, store_, spec));
    execution->started_at_ = loop_->clock().now();
    execution->started_wall_ = loop_->clock().wall();
    for (auto& output : channels->outputs) execution->add_pump(output.stream, std::move(output.fd));
    if (channels->input)
        execution->input_ = std::make_shared<Descriptor>(loop_->executor(), channels->input.release());
    Duration const timeout = spec.timeout;
    bool const feed = spec.input == Input::bytes && !spec.terminal;
    std::string input = std::move(spec.input_bytes);

    SpawnSpec child = spawn_spec_of(spec, *channels);
    execution->cgroups_ = options_.cgroups;
    if (options_.cgroups) execution->oom_before_ = options_.cgroups->own_oom_kills();
    if (owner) child.env.push_back("EXECD_OWNER=" + owner->name);
    if (spec.contain || spec.resources.any() || spec.cgroup_parent) {
        if (owner && !spec.cgroup_parent) spec.cgroup_parent = owner->group;
        co_await join_cgroup(*execution, spec, child);
    } else if (owner && owner->leaf) {
        join_owner(*execution, *owner, child);
        co_await join_plain(*execution, owner->ready, child);
    } else if (options_.cgroups) {
        co_await join_plain(*execution, options_.cgroups->plain(), child);
    }
    auto process = co_await spawner_->spawn(std::move(child));
    // No co_await from here on: a caller that was cancelled meanwhile leaves a complete record behind.
    execution->on_ended_ = [this](Execution& e) { on_ended(e); };
    by_id_.emplace(execution->id(), Entry{execution, order_.insert(order_.end(), execution.get()), {}, 0});
    reservation.running = nullptr;  // on_ended() counts it down
    if (process) {
        tell(ExecutionEvent::Kind::started, *execution);
        execution->began(std::move(*process), timeout);
        if (feed) scope_.spawn("execution.stdin", execution->feed(execution, std::move(input)));
        if (owner) obey(*owner, execution);
    } else {
        execution->failed(process.error());
    }
    co_return execution;
}

Task<void> Executions::join_plain(Execution& execution, std::shared_ptr<Cgroup::Ready> where,
                                  SpawnSpec& child) {
    // Hot: nothing leaves the reactor while groups are ready.
    auto group = Cgroups::take_plain(where);
    if (!group.first && where) {
        auto const work = [&where] { return Cgroups::create_plain(where); };
        group = co_await loop_->pool().run(Lane::metadata, work);
    }
    if (!group.first) co_return;
    execution.cgroup_ = std::move(group.first);
    child.cgroup_dir = group.second.get();
    child.owned.push_back(std::move(group.second));
}

Task<void> Executions::join_cgroup(Execution& execution, ExecutionSpec const& spec, SpawnSpec& child) {
    Result<std::shared_ptr<Cgroup>> group = fail(Code::unavailable, "cgroup");
    if (options_.cgroups) {
        auto const work = [this, &spec] {
            return options_.cgroups->create(cgroup_files::group_name(spec.id), spec.resources,
                                            spec.cgroup_parent);
        };
        group = co_await loop_->pool().run(Lane::metadata, work);
    }
    if (!group) {
        if (spec.resources.memory) execution.not_enforced_.emplace_back("memory");
        if (spec.resources.pids) execution.not_enforced_.emplace_back("pids");
        if (spec.resources.cpu) execution.not_enforced_.emplace_back("cpu");
        co_return;
    }
    execution.cgroup_ = *group;
    execution.not_enforced_ = (*group)->not_enforced();
    child.cgroup_dir = (*group)->spawn_dir();
    child.cgroup_procs = (*group)->spawn_procs();
    child.cgroup_also = (*group)->spawn_also();
}

Task<Result<Executions::Attached>> Executions::start_or_attach(ExecutionSpec spec) {
    std::string const id = spec.id;
    std::string const digest = spec.digest;
    auto const differs = [&id] {
        return fail(Code::conflict, "execution", id + " was started with another request");
    };
    while (true) {
        if (auto const found = find(id)) {
            if (found->digest() != digest) co_return differs();
            co_return Attached{found, false};
        }
        auto const starting = starting_.find(id);
        if (starting == starting_.end()) break;
        if (starting->second != digest) co_return differs();
        co_await starting_event_.wait();
    }
    auto started = co_await start(std::move(spec));
    if (!started) co_return tl::unexpected(started.error());
    co_return Attached{std::move(*started), true};
}

std::shared_ptr<Execution> Executions::find(std::string_view id) const {
    auto const found = by_id_.find(std::string(id));
    return found == by_id_.end() ? nullptr : found->second.execution;
}

std::vector<std::shared_ptr<Execution>> Executions::list(std::string_view owner) const {
    std::vector<std::shared_ptr<Execution>> out;
    for (auto* const execution : order_)
        if (owner.empty() || execution->owner() == owner) out.push_back(execution->shared_from_this());
    return out;
}

Task<void> Executions::stop_owner(std::string owner, Duration grace) {
    auto const all = list(owner);
    for (auto const& execution : all) execution->request_stop(grace);
    for (auto const& execution : all) {
        co_await execution->stop(grace);
    }
}

bool Executions::remove(std::string_view id) {
    auto const found = by_id_.find(std::string(id));
    if (found == by_id_.end() || found->second.execution->running()) return false;
    order_.erase(found->second.started);
    finished_.erase(found->second.ended);
    finished_memory_ -= found->second.memory;
    by_id_.erase(found);
    return true;
}

void Executions::tell(ExecutionEvent::Kind kind, Execution const& execution) {
    if (quiet_) return;
    ExecutionEvent event{
        kind, next_event_++, execution.id(), execution.owner(), execution.label(), loop_->clock().wall(), {}};
    if (execution.verdict()) event.verdict = execution.verdict()->kind();
    events_.push_back(std::move(event));
    if (events_.size() > options_.events) events_.pop_front();
    events_changed_.notify_all();
}

std::vector<ExecutionEvent> Executions::events_after(std::uint64_t after) const {
    auto const from =
        std::find_if(events_.begin(), events_.end(), [after](auto const& e) { return e.number > after; });
    return {from, events_.end()};
}

void Executions::on_ended(Execution& execution) {
    --running_;
    ++endings_[execution.verdict()->kind()];
    Entry& entry = by_id_.at(execution.id());
    entry.ended = finished_.insert(finished_.end(), &execution);
    entry.memory = execution.journal().memory_bytes();
    finished_memory_ += entry.memory;
    if (std::holds_alternative<OomKilled>(execution.verdict()->ending))
        tell(ExecutionEvent::Kind::oom, execution);
    tell(ExecutionEvent::Kind::ended, execution);
    trim();
}

void Executions::trim() {
    TimePoint const now = loop_->clock().now();
    while (!finished_.empty()) {
        Execution const& oldest = *finished_.front();
        bool const old = now - oldest.verdict()->at >= options_.finished_age;
        if (!old && finished_.size() <= options_.finished && finished_memory_ <= options_.finished_memory)
            break;
        remove(std::string(oldest.id()));
    }
    if (finished_.empty()) return retention_.cancel();
    retention_.arm(Deadline(finished_.front()->verdict()->at + options_.finished_age), [this] { trim(); });
}

Task<void> Executions::close(Deadline deadline) {
    Duration const half = deadline.is_never() ? std::chrono::seconds(2) : deadline.left(loop_->clock()) / 2;
    // Only what runs: a server that a finished command left behind stays, as it does when its command ends.
    std::vector<std::shared_ptr<Execution>> left;
    for (auto const& execution : list())
        if (execution->running()) left.push_back(execution);
    for (auto const& execution : left) execution->request_stop(half);
    Deadline const polite = Deadline::in(loop_->clock(), half);
    for (auto const& execution : left) {
        (void)co_await execution->ended(polite);
    }
    for (auto const& execution : left)
        if (execution->running()) execution->request_stop(Duration::zero());
    for (auto const& execution : left) {
        (void)co_await execution->ended(deadline);
    }
    (void)co_await scope_.close(deadline);
}

}  // namespace execd::shell
