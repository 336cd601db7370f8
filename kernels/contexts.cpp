#include "kernels/contexts.hpp"

#include <sys/stat.h>

#include "base/check.hpp"
#include "base/ids.hpp"
#include "base/log.hpp"
#include "kernels/python_kernels.hpp"

namespace execd::kernels {

namespace {
using namespace std::chrono_literals;
constexpr Duration kSpecsFresh = 2s;
constexpr Duration kRefusalFresh = 30s;
constexpr Duration kCheckTime = 15s;
constexpr std::size_t kForgotten = 4096;

std::string default_key(std::string_view owner, std::string_view language) {
    return std::string(owner) + '\0' + canonical_language(language);
}
}  // namespace

Contexts::Contexts(Loop& loop, shell::Executions& executions, shell::Reaper& reaper, Options options)
    : loop_(&loop),
      executions_(&executions),
      reaper_(&reaper),
      options_(std::move(options)),
      grave_(loop),
      scope_(loop, "contexts") {
    logs_->limit = options_.log_bytes;
}

Contexts::~Contexts() = default;

SearchContext Contexts::search_context() const {
    SearchContext out{options_.env, options_.home, {}, false};
    if (auto const python = python_on_path(options_.env)) {
        out.python_prefix = python->prefix;
        out.prefix_is_venv = python->is_venv;
    }
    return out;
}

Task<Result<std::shared_ptr<KernelSpecs const>>> Contexts::scanned() {
    if (specs_ && loop_->clock().now() - specs_at_ < kSpecsFresh) co_return specs_;
    // Named: g++ 12 destroys a closure twice that is a temporary of a co_await expression.
    auto scan = [search = search_context(), built_in = options_.built_in] {
        auto ours = built_in == nullptr ? std::vector<KernelSpec>() : built_in(search.env);
        return std::make_shared<KernelSpecs const>(KernelSpecs::scan(kernel_dirs(search), std::move(ours)));
    };
    specs_ = co_await loop_->pool().run(Lane::metadata, std::move(scan));
    specs_at_ = loop_->clock().now();
    co_return specs_;
}

// All at once: they are interpreters that start and end. Nobody sees them in lists of executions afterwards.
Task<void> Contexts::check(std::shared_ptr<KernelSpecs const> specs) {
    std::vector<std::pair<std::string, std::shared_ptr<shell::Execution>>> running;
    for (auto const& spec : specs->all()) {
        if (spec.check.empty()) continue;
        auto const known = checked_.find(spec.name);
        if (known != checked_.end() &&
            (known->second.works || loop_->clock().now() - known->second.at < kRefusalFresh))
            continue;
        shell::ExecutionSpec start;
        start.program = spec.program;
        start.argv = spec.check;
        start.env = env_list(options_.env);
        start.cwd = options_.cwd;
        start.timeout = kCheckTime;
        start.label = "kernel check";
        start.text = spec.name;
        start.journal.spill = 0;
        start.journal.ring = 16 << 10;
        auto started = co_await executions_->start(std::move(start));
        if (started) running.emplace_back(spec.name, *std::move(started));
    }
    for (auto const& [name, execution] : running) {
        (void)co_await execution->ended(Deadline::in(loop_->clock(), 2 * kCheckTime));
        checked_[name] = {execution->verdict() && execution->verdict()->success(), loop_->clock().now()};
        (void)executions_->remove(execution->id());
    }
}

Task<Result<std::shared_ptr<KernelSpecs const>>> Contexts::kernelspecs() {
    auto specs = co_await scanned();
    if (!specs) co_return specs;
    auto const all = *specs;
    co_await check(all);
    std::vector<std::string> refused;
    for (auto const& spec : all->all()) {
        auto const known = checked_.find(spec.name);
        if (!spec.check.empty() && (known == checked_.end() || !known->second.works))
            refused.push_back(spec.name);
    }
    if (refused.empty()) co_return all;
    co_return std::make_shared<KernelSpecs const>(all->without(refused));
}

Result<void> Contexts::prepare() {
    if (!dir_) {
        auto made = RuntimeDir::create(options_.runtime_parent);
        if (!made) return tl::unexpected(made.error());
        dir_ = *std::move(made);
    }
    if (!zmq_) zmq_ = std::make_shared<ZmqContext>();
    if (!python_ && options_.zygote)
        python_ = std::make_unique<PythonKernels>(*loop_, *executions_, *reaper_, zmq_, *dir_, grave_,
                                                  PythonKernels::Options{.env = options_.env,
                                                                         .ready = options_.ready_kernels,
                                                                         .preload = options_.preload,
                                                                         .answer = options_.zygote_answer});
    return {};
}

Task<Result<KernelPtr>> Contexts::launch_cold(KernelSpec kernelspec, LaunchPlace place) {
    auto kernel =
        co_await start_cold(*loop_, *executions_, zmq_, *dir_, std::move(kernelspec), std::move(place));
    if (!kernel) co_return tl::unexpected(kernel.error());
    co_return grave_.own(*std::move(kernel));
}

Task<Result<KernelPtr>> Contexts::launch(ContextSpec spec, KernelSpec kernelspec) {
    if (auto ready = prepare(); !ready) co_return tl::unexpected(ready.error());
    LaunchPlace place{spec.cwd.empty() ? options_.cwd : spec.cwd, options_.env, spec.identity, spec.owner,
                      spec.resources};
    for (auto const& [name, value] : spec.env) place.env[name] = value;
    if (python_ && python_->suits(kernelspec, place)) {
        auto fast = co_await python_->start(kernelspec, place);
        if (fast) co_return fast;
        auto const code = fast.error().code;
        bool const bad_place =
            code == Code::not_found || code == Code::not_a_directory || code == Code::permission_denied;
        if (bad_place) co_return fast;
        log::warn("kernel.cold_start", {{"kernel", kernelspec.name}, {"why", fast.error().message()}});
        std::string why = fast.error().message();
        auto cold = co_await launch_cold(std::move(kernelspec), std::move(place));
        if (cold) (*cold)->set_why_cold(std::move(why));
        co_return cold;
    }
    co_return co_await launch_cold(std::move(kernelspec), std::move(place));
}

Task<Result<void>> Contexts::prewarm() {
    auto specs = co_await scanned();
    if (!specs) co_return tl::unexpected(specs.error());
    auto python = (*specs)->find("python");
    if (!python) co_return tl::unexpected(python.error());
    if (auto ready = prepare(); !ready) co_return ready;
    if (!python_ || !python_->suits(*python, {{}, options_.env, std::nullopt, {}}))
        co_return fail(Code::not_supported, "kernels.prewarm",
                       "kernel '" + python->name + "' cannot be forked");
    co_return co_await python_->prewarm(*std::move(python));
}

Task<Result<std::shared_ptr<Context>>> Contexts::create(ContextSpec spec) {
    auto const refused = [](Code code, std::string why) {
        return fail(code, "context.create", std::move(why));
    };
    if (spec.id.empty()) spec.id = uuid();
    auto const room_for = [&]() -> Result<void> {
        if (closing_) return refused(Code::unavailable, "shutting down");
        if (by_id_.size() >= options_.max_contexts)
            return refused(Code::exhausted, "there are " + std::to_string(by_id_.size()) +
                                                " contexts, the limit; delete some first");
        if (by_id_.contains(spec.id)) return refused(Code::already_exists, spec.id);
        return {};
    };
    if (auto room = room_for(); !room) co_return tl::unexpected(room.error());
    auto specs = co_await scanned();
    if (!specs) co_return tl::unexpected(specs.error());
    auto kernelspec = (*specs)->find(spec.language);
    if (!kernelspec) co_return tl::unexpected(kernelspec.error());
    // Others came while the kernelspecs were read.
    if (auto room = room_for(); !room) co_return tl::unexpected(room.error());

    std::string const id = spec.id;
    if (!spec.idle_timeout) spec.idle_timeout = options_.idle_timeout;
    auto const context = std::make_shared<Context>(
        *loop_, std::move(spec), *std::move(kernelspec),
        [this](ContextSpec wanted, KernelSpec from) { return launch(std::move(wanted), std::move(from)); },
        Context::Shared{logs_, [this] { trim_logs(); }, [this](Run const& run) { forget(run); }});
    by_id_[id] = context;
    order_.push_back(id);
    changed_.notify_all();
    // A caller that goes away meanwhile must not leave a context that nobody knows.
    struct Undo {
        Contexts& self;
        std::string id;
        ~Undo() {
            if (!id.empty()) self.scope_.spawn("context.undo", self.undo(id));
        }
    } guard{*this, id};
    auto started = co_await context->start(Deadline::in(loop_->clock(), options_.start_timeout));
    if (!started) {
        (void)co_await remove(id, Duration::zero());
        guard.id.clear();
        co_return tl::unexpected(started.error());
    }
    guard.id.clear();
    if (context->state() == ContextState::closed) co_return refused(Code::gone, "deleted while it started");
    if (*context->spec().idle_timeout > Duration::zero()) scope_.spawn("context.cull", cull(context));
    changed_.notify_all();
    co_return context;
}

Task<void> Contexts::undo(std::string id) { (void)co_await remove(std::move(id), Duration::zero()); }

Task<Result<Contexts::Attached>> Contexts::create_or_attach(ContextSpec spec) {
    std::string const id = spec.id;
    auto const known = find(id);
    if (!known) {
        auto made = co_await create(std::move(spec));
        if (!made) co_return tl::unexpected(made.error());
        co_return Attached{*std::move(made), true};
    }
    if (!spec.idle_timeout) spec.idle_timeout = options_.idle_timeout;
    if (!known->spec().same_request(spec))
        co_return fail(Code::conflict, "context.create", id + " was created with another request");
    while (known->generation() == 0 && find(id) == known) co_await known->changed().wait();
    if (find(id) != known) co_return fail(Code::gone, "context.create", id + " was deleted or did not start");
    co_return Attached{known, false};
}

bool Contexts::is_default(Context const& context, std::string_view language) const {
    auto const it = defaults_.find(default_key(context.spec().owner, language));
    return it != defaults_.end() && it->second == context.id();
}

Contexts::Found Contexts::find_run(std::string_view run_id) const {
    for (auto const& [id, context] : by_id_)
        if (auto run = context->find(run_id)) return {context, std::move(run)};
    return {};
}

void Contexts::forget(Run const& run) {
    if (!run.named() || !forgotten_.insert(run.id()).second) return;
    forgotten_order_.push_back(run.id());
    if (forgotten_order_.size() <= kForgotten) return;
    forgotten_.erase(forgotten_order_.front());
    forgotten_order_.pop_front();
}

bool Contexts::was_forgotten(std::string_view run_id) const { return forgotten_.contains(run_id); }

struct Contexts::Submission {
    std::string language;
    RunSpec spec;
    bool unwanted = false;  // its caller has gone, and wanted that to end it
    std::optional<Result<Submitted>> result{};
    Event done{};
};

Task<Result<Contexts::Submitted>> Contexts::submit_default(std::string language, RunSpec spec,
                                                           bool leave_with_caller) {
    auto const wanted = std::make_shared<Submission>();
    wanted->language = std::move(language);
    wanted->spec = std::move(spec);
    if (!scope_.spawn("contexts.submit", submit_for(wanted)))
        co_return fail(Code::unavailable, "context.run", "shutting down");
    struct Leaving {
        Submission& mine;
        bool armed;
        ~Leaving() {
            if (!armed) return;
            mine.unwanted = true;
            if (mine.result && *mine.result && (*mine.result)->created)
                (void)(*mine.result)->found.context->cancel((*mine.result)->found.run->id());
        }
    } leaving{*wanted, leave_with_caller};
    while (!wanted->result) {
        bool const told = co_await wanted->done.wait();
        if (!told) break;
    }
    if (!wanted->result) co_return fail(Code::cancelled, "context.run", "the caller went away");
    leaving.armed = false;
    co_return *wanted->result;
}

Task<void> Contexts::submit_for(std::shared_ptr<Submission> wanted) {
    struct Done {
        Submission& mine;
        ~Done() {
            if (!mine.result) mine.result = fail(Code::cancelled, "context.run", "shutting down");
            mine.done.notify_all();
        }
    } const done{*wanted};
    auto context = co_await default_for(wanted->language);
    if (!context) {
        wanted->result = tl::unexpected(context.error());
    } else if (wanted->unwanted) {
        wanted->result = fail(Code::cancelled, "context.run", "the client went away");
    } else if (auto known = find_run(wanted->spec.id); known.run) {
        wanted->result = Submitted{std::move(known), false};
    } else if (auto run = (*context)->submit(std::move(wanted->spec)); run) {
        wanted->result = Submitted{{*std::move(context), *std::move(run)}, true};
    } else {
        wanted->result = tl::unexpected(run.error());
    }
}

// A quarter of the room is for what runs.
void Contexts::trim_logs() {
    while (logs_->used > logs_->limit / 4 * 3) {
        Context* oldest = nullptr;
        for (auto const& [id, context] : by_id_)
            if (auto const at = context->oldest_finished();
                at && (oldest == nullptr || *at < *oldest->oldest_finished()))
                oldest = context.get();
        if (oldest == nullptr) return;
        oldest->forget_oldest();
    }
}

Task<Result<std::shared_ptr<Context>>> Contexts::default_for(std::string language, std::string owner) {
    std::string const key = default_key(owner, language);
    for (;;) {
        auto const known = defaults_.find(key);
        if (known == defaults_.end()) break;
        if (auto const context = find(known->second)) co_return context;
        if (!known->second.empty()) break;  // deleted
        co_await changed_.wait();           // somebody is making it
    }
    // Whatever ends this coroutine, those who wait must not wait for ever.
    struct Making {
        Contexts& self;
        std::string const& key;
        Making(Contexts& s, std::string const& k) : self(s), key(k) { self.defaults_[key] = ""; }
        ~Making() {
            if (auto const it = self.defaults_.find(key); it != self.defaults_.end() && it->second.empty())
                self.defaults_.erase(it);
            self.changed_.notify_all();
        }
    } const making(*this, key);
    ContextSpec spec{.language = language, .owner = std::move(owner)};
    auto made = co_await create(std::move(spec));
    if (made) defaults_[key] = (*made)->id();
    co_return made;
}

std::shared_ptr<Context> Contexts::find(std::string_view id) const {
    auto const it = by_id_.find(id);
    return it == by_id_.end() ? nullptr : it->second;
}

std::vector<std::shared_ptr<Context>> Contexts::list(std::string_view language,
                                                     std::string_view owner) const {
    std::vector<std::shared_ptr<Context>> out;
    for (auto const& id : order_) {
        auto context = find(id);
        if (!context || context->generation() == 0) continue;  // not up yet
        if (!language.empty() && !context->speaks(language)) continue;
        if (!owner.empty() && context->spec().owner != owner) continue;
        out.push_back(std::move(context));
    }
    return out;
}

Task<Result<void>> Contexts::remove(std::string id, Duration grace) {
    auto const context = find(id);
    if (!context) co_return fail(Code::not_found, "context.delete", "context " + id + " not found");
    for (auto const& run : context->runs()) forget(*run);
    by_id_.erase(id);
    std::erase(order_, id);
    changed_.notify_all();
    co_await context->close(grace);
    co_return Result<void>{};
}

Task<void> Contexts::cull(std::shared_ptr<Context> context) {
    auto const limit = *context->spec().idle_timeout;
    while (context->state() != ContextState::closed) {
        Deadline const at(context->last_active() + limit);
        bool const resting = !context->stands_still() && (context->state() == ContextState::idle ||
                                                          context->state() == ContextState::dead);
        if (resting && at.passed(loop_->clock())) {
            log::info("context.culled", {{"language", context->language()}});
            (void)co_await remove(context->id());
            co_return;
        }
        co_await context->changed().wait(loop_->clock(), resting ? at : Deadline::never());
    }
}

Task<void> Contexts::close(Deadline deadline) {
    closing_ = true;
    co_await scope_.close(deadline);
    auto const all = by_id_;
    by_id_.clear();
    order_.clear();
    changed_.notify_all();
    for (auto const& [id, context] : all) co_await context->close(Duration::zero());
    if (python_) co_await python_->close(deadline);
    bool const gone = co_await grave_.drain(deadline);
    if (!gone) log::warn("kernels.still_ending", {});
}

}  // namespace execd::kernels
