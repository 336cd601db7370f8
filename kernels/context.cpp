#include "kernels/context.hpp"

#include <algorithm>

#include "base/check.hpp"
#include "base/ids.hpp"
#include "base/log.hpp"
#include "kernels/progress.hpp"

namespace execd::kernels {

namespace {
using namespace std::chrono_literals;
constexpr int kMissedBeats = 3;      // before the run is told
constexpr int kPortTries = 3;        // a TCP kernel may lose its ports to somebody else
constexpr Duration kBeginTime = 5s;  // an interrupt waits so long for its run to begin
}  // namespace

std::string_view to_string(ContextState state) noexcept {
    switch (state) {
        case ContextState::starting: return "starting";
        case ContextState::idle: return "idle";
        case ContextState::busy: return "busy";
        case ContextState::dead: return "dead";
        case ContextState::closed: return "closed";
    }
    return "?";
}

bool ContextSpec::same_request(ContextSpec const& other) const {
    auto const who = [](ContextSpec const& spec) {
        auto const& as = spec.identity;
        return as ? std::make_optional(std::make_pair(as->uid, as->gid)) : std::nullopt;
    };
    return language == other.language && cwd == other.cwd && env == other.env && who(*this) == who(other) &&
           owner == other.owner && resources.memory == other.resources.memory &&
           resources.pids == other.resources.pids && resources.cpu == other.resources.cpu &&
           idle_timeout == other.idle_timeout && heartbeat_timeout == other.heartbeat_timeout &&
           revive == other.revive;
}

Context::Context(Loop& loop, ContextSpec spec, KernelSpec kernelspec, Launch launch, Shared shared)
    : loop_(&loop),
      spec_(std::move(spec)),
      kernelspec_(std::move(kernelspec)),
      launch_(std::move(launch)),
      shared_(std::move(shared)),
      background_(OutputLog::Limits{1 << 20, 1000}, shared_.logs),
      created_(loop.clock().wall()),
      last_active_(loop.clock().now()),
      scope_(loop, "context") {
    if (spec_.id.empty()) spec_.id = uuid();
}

Context::~Context() = default;

ContextState Context::state() const {
    if (closed_) return ContextState::closed;
    if (starting_ || restarting_ || reviving_) return ContextState::starting;
    if (!kernel_ || !kernel_->alive()) return ContextState::dead;
    return current_ ? ContextState::busy : ContextState::idle;
}

bool Context::speaks(std::string_view language) const {
    auto const wanted = canonical_language(language);
    return wanted == canonical_language(spec_.language) ||
           wanted == canonical_language(kernelspec_.language) || wanted == kernelspec_.name;
}

void Context::touch() {
    last_active_ = loop_->clock().now();
    changed_.notify_all();
}

Task<Result<void>> Context::start(Deadline deadline) {
    auto const self = shared_from_this();
    auto launched = co_await launch(deadline);
    if (launched && !closed_) scope_.spawn("context.work", work(self));
    co_return launched;
}

Task<Result<void>> Context::launch(Deadline deadline) {
    starting_ = true;
    struct Started {
        Context& context;
        ~Started() {
            context.starting_ = false;
            context.changed_.notify_all();
        }
    } const started{*this};
    Result<void> up;
    for (int tries = 0; tries < kPortTries; ++tries) {
        up = co_await launch_once(deadline);
        bool const lost_port = !up && kernelspec_.transport == Transport::tcp &&
                               (up.error().detail.find("ddress already in use") != std::string::npos ||
                                up.error().detail.find("EADDRINUSE") != std::string::npos);
        if (!lost_port || closed_) break;
    }
    co_return up;
}

Task<Result<void>> Context::launch_once(Deadline deadline) {
    auto made = co_await launch_(spec_, kernelspec_);
    if (!made) co_return tl::unexpected(made.error());
    if (closed_) co_return fail(Code::gone, "context.start", "the context was deleted");
    kernel_ = *std::move(made);
    changed_.notify_all();
    // drop_kernel() takes these back before the kernel leaves this object.
    kernel_->client().set_hooks({[this](Message m, std::vector<Output> o) { on_iopub(m, std::move(o)); },
                                 [this](Message m) { on_input(std::move(m)); }, [this] { on_lost(); },
                                 [this](std::uint64_t n, std::uint64_t bytes) { on_dropped(n, bytes); }});
    kernel_->on_death([this] { on_death(); });
    kernel_->on_silence([this](Duration silence) { on_silence(silence); });
    auto connected = co_await kernel_->connect(deadline);
    if (!connected) {
        drop_kernel(Duration::zero());
        co_return connected;
    }
    ++generation_;
    death_.clear();
    death_kind_.clear();
    touch();
    log::info("kernel.ready",
              {{"kernel", kernelspec_.name}, {"pid", kernel_->pid()}, {"start", to_string(kernel_->kind())}});
    co_return Result<void>{};
}

std::shared_ptr<Burial> Context::drop_kernel(Duration grace) {
    if (!kernel_) return nullptr;
    kernel_->on_death(nullptr);
    kernel_->on_silence(nullptr);
    kernel_->attend(false);
    kernel_->client().set_hooks({});
    return Grave::bury(std::move(kernel_), grace);
}

void Context::on_death() {
    death_ = kernel_ ? kernel_->cause() : std::string();
    death_kind_ = kernel_ ? kernel_->cause_kind() : std::string();
    changed_.notify_all();
}

void Context::on_silence(Duration silence) {
    if (stands_still()) return;
    auto const seconds = std::chrono::ceil<std::chrono::seconds>(silence).count();
    if (spec_.heartbeat_timeout > Duration::zero() && silence >= spec_.heartbeat_timeout) {
        kernel_->kill("it left heartbeats unanswered for " + std::to_string(seconds) + " s and was killed");
    } else if (progress_ && silence >= kMissedBeats * kernel_->heart_rate() && !progress_->told_silence) {
        progress_->told_silence = true;
        current_->add(Notice{"the kernel has not answered heartbeats for " + std::to_string(seconds) + " s"},
                      loop_->clock().wall());
    } else if (progress_ && silence == Duration::zero()) {
        progress_->told_silence = false;
    }
    changed_.notify_all();
}

Result<std::shared_ptr<Run>> Context::submit(RunSpec spec) {
    if (closed_) return fail(Code::gone, "context.run", "the context was deleted");
    if (auto fault = place_fault({spec.cwd, spec.env}); !fault.empty())
        return fail(Code::invalid_argument, "", std::move(fault));
    if (queue_.size() >= spec_.max_queue)
        return fail(Code::exhausted, "context.run",
                    std::to_string(queue_.size()) + " runs are waiting already");
    if (!spec.id.empty() && find(spec.id)) return fail(Code::already_exists, "context.run", spec.id);
    auto run = std::make_shared<Run>(spec_.id, std::move(spec), loop_->clock().wall(), shared_.logs);
    queue_.push_back(run);
    touch();
    return run;
}

std::shared_ptr<Run> Context::find(std::string_view run_id) const {
    auto const is_it = [run_id](std::shared_ptr<Run> const& run) { return run->id() == run_id; };
    if (current_ && is_it(current_)) return current_;
    for (auto const* list : {&queue_, &finished_})
        if (auto const it = std::find_if(list->begin(), list->end(), is_it); it != list->end()) return *it;
    return nullptr;
}

std::vector<std::shared_ptr<Run>> Context::runs() const {
    std::vector<std::shared_ptr<Run>> out(finished_.begin(), finished_.end());
    if (current_) out.push_back(current_);
    out.insert(out.end(), queue_.begin(), queue_.end());
    return out;
}

std::optional<WallTime> Context::oldest_finished() const {
    if (finished_.size() < 2) return std::nullopt;
    return finished_.front()->finished();
}

void Context::forget_oldest() {
    if (finished_.empty()) return;
    if (shared_.forgotten) shared_.forgotten(*finished_.front());
    finished_.pop_front();
}

std::optional<std::size_t> Context::position(std::string_view run_id) const {
    if (current_ && current_->id() == run_id) return 0;
    for (std::size_t i = 0; i < queue_.size(); ++i)
        if (queue_[i]->id() == run_id) return i + 1;
    return std::nullopt;
}

void Context::finish(Run& run, RunOutcome outcome) {
    run.finish(std::move(outcome), loop_->clock().wall());
    touch();
}

Result<void> Context::cancel(std::string_view run_id) {
    if (current_ && current_->id() == run_id) {
        progress_->cancelled = true;
        scope_.spawn("context.stop", stop_running(shared_from_this(), current_));
        return {};
    }
    for (auto it = queue_.begin(); it != queue_.end(); ++it) {
        if ((*it)->id() != run_id) continue;
        auto const run = *it;
        queue_.erase(it);
        retire(run);
        finish(*run, {.kind = RunOutcome::Kind::cancelled, .why = "taken out of the queue"});
        return {};
    }
    return fail(find(run_id) ? Code::gone : Code::not_found, "run.cancel", std::string(run_id));
}

Task<Result<bool>> Context::interrupt(Duration wait) {
    auto const self = shared_from_this();
    if (closed_) co_return fail(Code::gone, "context.interrupt", "the context was deleted");
    auto const run = current_;
    if (!run) co_return true;
    progress_->cancelled = true;
    auto told = co_await tell_to_stop(run);
    if (!told) co_return tl::unexpected(told.error());
    bool const ended = co_await run->wait(loop_->clock(), Deadline::in(loop_->clock(), wait));
    co_return ended;
}

// Interrupts the run at hand; a kernel that does not survive that is replaced.
Task<Result<void>> Context::tell_to_stop(std::shared_ptr<Run> run) {
    if (current_ != run || !progress_ || progress_->stopping) co_return Result<void>{};
    changed_.notify_all();
    if (!progress_->sent || !kernel_)
        co_return Result<void>{};  // perform() looks at `cancelled` before it sends
    // Whoever waits here may go away: the next interrupt must find its way.
    struct Stopping {
        Context& self;
        Run const* run;
        Stopping(Context& c, Run const* r) : self(c), run(r) { self.progress_->stopping = true; }
        ~Stopping() {
            if (self.progress_ && self.current_.get() == run) self.progress_->stopping = false;
        }
    } const stopping(*this, run.get());
    co_await until_begun(run);
    if (current_ != run || !progress_ || !kernel_) co_return Result<void>{};
    progress_->interrupted_at = loop_->clock().now();
    auto done = co_await kernel_->interrupt();
    if (done) co_return done;
    log::warn("kernel.interrupt", {{"kernel", kernelspec_.name}, {"why", done.error().message()}});
    if (current_ != run || !progress_) co_return Result<void>{};
    if (done.error().code != Code::not_supported) co_return done;
    progress_->kill = true;
    changed_.notify_all();
    co_return Result<void>{};
}

// What strikes a kernel that has not begun with the run strikes its idle loop and is lost.
Task<void> Context::until_begun(std::shared_ptr<Run> run) {
    auto const limit = Deadline::in(loop_->clock(), kBeginTime);
    while (current_ == run && !progress_->began && !progress_->reply && !progress_->idle && kernel_ &&
           kernel_->alive()) {
        bool const woken = co_await changed_.wait(loop_->clock(), limit);
        if (!woken) break;
    }
}

Task<void> Context::stop_running([[maybe_unused]] std::shared_ptr<Context> self, std::shared_ptr<Run> run) {
    (void)co_await tell_to_stop(std::move(run));
}

Result<void> Context::answer_input(std::string_view run_id, std::string_view text) {
    auto const run = current_;
    if (!run || run->id() != run_id)
        return fail(find(run_id) ? Code::conflict : Code::not_found, "run.input", std::string(run_id));
    if (!run->input_ || !kernel_) return fail(Code::conflict, "run.input", "the run does not wait for input");
    auto told = kernel_->client().tell(Channel::stdin_, "input_reply", {{"value", std::string(text)}},
                                       run->input_parent_);
    if (told) run->input_.reset();
    return told;
}

Task<Result<void>> Context::restart(Deadline deadline) {
    auto const self = shared_from_this();
    if (closed_) co_return fail(Code::gone, "context.restart", "the context was deleted");
    if (restarting_ || starting_ || reviving_)
        co_return fail(Code::conflict, "context.restart", "it is starting");
    restarting_ = true;
    struct Done {
        bool& flag;
        ~Done() { flag = false; }
    } const done{restarting_};
    if (progress_) progress_->restarted = true;
    changed_.notify_all();
    while (current_ && current_->state() == RunState::running && !closed_) {
        bool const told = co_await changed_.wait(loop_->clock(), deadline);
        if (!told) break;
    }
    drop_kernel(Duration::zero());
    auto launched = co_await launch(deadline);
    changed_.notify_all();
    co_return launched;
}

Task<Result<Json>> Context::request(std::string type, Json content, Deadline deadline) {
    auto const self = shared_from_this();
    if (!kernel_ || !kernel_->alive()) co_return fail(Code::gone, "context.request", "the kernel has ended");
    touch();
    auto reply = co_await kernel_->client().request(Channel::shell, type, std::move(content), deadline);
    if (!reply) co_return tl::unexpected(reply.error());
    co_return std::move(reply->content);
}

Task<Result<Json>> Context::complete(std::string code, std::size_t cursor, Deadline deadline) {
    return request("complete_request", {{"code", std::move(code)}, {"cursor_pos", cursor}}, deadline);
}

Task<Result<Json>> Context::inspect(std::string code, std::size_t cursor, int detail, Deadline deadline) {
    return request("inspect_request",
                   {{"code", std::move(code)}, {"cursor_pos", cursor}, {"detail_level", detail}}, deadline);
}

Task<Result<Json>> Context::history(std::size_t last, Deadline deadline) {
    return request("history_request",
                   {{"hist_access_type", "tail"}, {"n", last}, {"output", false}, {"raw", true}}, deadline);
}

Result<void> Context::comm(std::string_view type, Json content, Json metadata,
                           std::vector<std::string> buffers) {
    if (!kernel_ || !kernel_->alive()) return fail(Code::gone, "context.comm", "the kernel has ended");
    touch();
    Message message;
    message.type = std::string(type);
    message.content = std::move(content);
    message.metadata = std::move(metadata);
    message.buffers = std::move(buffers);
    return kernel_->client().tell(Channel::shell, std::move(message));
}

Task<void> Context::close(Duration grace) {
    auto const self = shared_from_this();
    if (std::exchange(closed_, true)) co_return;
    changed_.notify_all();
    co_await scope_.close(Deadline::in(loop_->clock(), 5s));
    // A start that somebody else waits for: it ends with the reason, then nothing uses the kernel any more.
    if (starting_ && kernel_)
        kernel_->client().fail_pending(Error{Code::gone, "context.start", 0, "the context was deleted"});
    while (starting_) co_await changed_.wait();
    RunOutcome const deleted{.kind = RunOutcome::Kind::cancelled, .why = "the context was deleted"};
    if (current_) finish(*current_, deleted);
    for (auto const& run : queue_) finish(*run, deleted);
    finished_.insert(finished_.end(), queue_.begin(), queue_.end());
    queue_.clear();
    background_.close();
    if (auto const burial = drop_kernel(grace)) co_await burial->wait();
    changed_.notify_all();
}

}  // namespace execd::kernels
