#include "kernels/python_kernels.hpp"

#include <filesystem>

#include "base/ids.hpp"
#include "base/log.hpp"

namespace execd::kernels {

namespace {
using namespace std::chrono_literals;
constexpr Duration kZygoteTime = 30s;
constexpr Duration kForkTime = 20s;
constexpr Duration kAdoptTime = 2s;

bool is_place_problem(Error const& error) {
    return error.code == Code::not_found || error.code == Code::not_a_directory ||
           error.code == Code::permission_denied;
}

// What is read once, before a fork, cannot be given later.
bool is_read_early(std::string_view name, bool numeric) {
    if (name.starts_with("LD_") || name.starts_with("PYTHON") || name.starts_with("IPYTHON") ||
        name.starts_with("JUPYTER_") || name.starts_with("PYDEVD") || name == "JPY_PARENT_PID")
        return true;
    return numeric && (name.starts_with("OMP_") || name.starts_with("OPENBLAS_") || name.starts_with("MKL_"));
}

Env early_part(Env const& env, bool numeric) {
    Env out;
    for (auto const& [name, value] : env)
        if (is_read_early(name, numeric)) out.emplace(name, value);
    return out;
}
}  // namespace

PythonKernels::PythonKernels(Loop& loop, shell::Executions& executions, shell::Reaper& reaper,
                             std::shared_ptr<ZmqContext> zmq, RuntimeDir const& dir, Grave& grave,
                             Options options)
    : loop_(&loop),
      executions_(&executions),
      reaper_(&reaper),
      zmq_(std::move(zmq)),
      dir_(&dir),
      grave_(&grave),
      options_(std::move(options)),
      scope_(loop, "kernels.python") {
    std::error_code ignored;
    default_cwd_ = std::filesystem::current_path(ignored).string();
    if (default_cwd_.empty()) default_cwd_ = "/";
    options_.env.erase("JPY_PARENT_PID");
}

PythonKernels::~PythonKernels() = default;

namespace {
// `-X name` options of the interpreter: ipykernel's own installer writes -Xfrozen_modules=off on CPython 3.11
// and newer.
std::vector<std::string> interpreter_options(KernelSpec const& spec) {
    std::vector<std::string> out;
    for (std::size_t i = 1; i < spec.argv.size() && spec.argv[i].starts_with("-X") && spec.argv[i].size() > 2;
         ++i)
        out.push_back(spec.argv[i]);
    return out;
}
}  // namespace

bool PythonKernels::suits(KernelSpec const& spec, LaunchPlace const& place) const {
    // Other arguments of its own mean that the kernel is not the plain one: it starts cold.
    std::vector<std::string> const wanted{"-m", "ipykernel_launcher", "-f", "{connection_file}"};
    std::size_t const options = interpreter_options(spec).size();
    if (spec.argv.size() != options + 5 ||
        !std::equal(wanted.begin(), wanted.end(),
                    spec.argv.begin() + 1 + static_cast<std::ptrdiff_t>(options)))
        return false;
    if (place.identity || (!place.cwd.empty() && !place.cwd.starts_with('/'))) return false;
    bool const numeric = !options_.preload.empty();
    return early_part(render_env(spec, place.env), numeric) ==
           early_part(render_env(spec, options_.env), numeric);
}

std::shared_ptr<PythonKernels::Family> PythonKernels::family(KernelSpec const& spec) {
    auto& slot = families_[spec.dir];
    if (!slot || slot->spec.argv != spec.argv || slot->spec.env != spec.env) {
        slot = std::make_shared<Family>();
        slot->spec = spec;
        slot->env = render_env(spec, options_.env);
    }
    return slot;
}

Task<Result<void>> PythonKernels::ready_zygote(std::shared_ptr<Family> family, Deadline deadline) {
    while (family->starting) {
        bool const told = co_await family->changed.wait(loop_->clock(), deadline);
        if (!told) break;
    }
    if (family->zygote && family->zygote->alive()) co_return Result<void>{};
    if (!family->problem.empty() && loop_->clock().now() < family->retry_at)
        co_return fail(Code::unavailable, "zygote", family->problem);
    struct Starting {
        Family& family;
        explicit Starting(Family& f) : family(f) { family.starting = true; }
        ~Starting() {
            family.starting = false;
            family.changed.notify_all();
        }
    } const starting(*family);
    family->zygote.reset();
    ZygoteSpec spec{render_argv(family->spec, "").front(), family->env, dir_->path(), options_.preload,
                    interpreter_options(family->spec)};
    auto started = co_await Zygote::start(*loop_, *executions_, *reaper_, std::move(spec),
                                          earliest(deadline, Deadline::in(loop_->clock(), kZygoteTime)));
    if (started) {
        family->zygote = *std::move(started);
        family->zygote->set_answer_time(options_.answer);
        family->problem.clear();
        co_return Result<void>{};
    }
    family->problem = started.error().message();
    family->retry_at = loop_->clock().now() + options_.retry_after;
    log::warn("zygote.failed", {{"kernel", family->spec.name}, {"why", family->problem}});
    co_return tl::unexpected(started.error());
}

Task<Result<PythonKernels::Ready>> PythonKernels::fork(std::shared_ptr<Family> family, LaunchPlace place,
                                                       StartKind kind, Deadline deadline) {
    if (auto up = co_await ready_zygote(family, deadline); !up) co_return tl::unexpected(up.error());
    auto connection = prepare_connection(*dir_, random_hex(8), Transport::ipc, family->spec.name);
    if (!connection) co_return tl::unexpected(connection.error());
    place.env = render_env(family->spec, place.env);
    if (place.cwd.empty()) place.cwd = default_cwd_;
    auto forked = co_await family->zygote->fork(*connection, std::move(place), family->spec.name, deadline);
    if (!forked) {
        remove_connection(*connection);
        co_return tl::unexpected(forked.error());
    }
    ++family->forked;
    auto kernel = std::make_unique<Kernel>(*loop_, family->spec, *std::move(connection),
                                           process_of(std::move(forked->execution)), zmq_, kind);
    co_return Ready{grave_->own(std::move(kernel)), std::move(forked->control)};
}

Task<Result<KernelPtr>> PythonKernels::hand_out(std::shared_ptr<Family> family, LaunchPlace const& place) {
    while (!family->pool.empty()) {
        Ready ready = std::move(family->pool.front());
        family->pool.pop_front();
        refill(family, options_.refill_after);
        if (!ready.kernel->alive()) continue;
        LaunchPlace final_place = place;
        final_place.env = render_env(family->spec, place.env);
        if (final_place.cwd.empty()) final_place.cwd = default_cwd_;
        ready.kernel->mark(final_place.env);
        if (auto const waiting = executions_->find(final_place.env["EXECD_EXECUTION"]))
            co_await executions_->give(waiting, place.owner);
        auto adopted = co_await adopt(std::move(ready.control), std::move(final_place),
                                      Deadline::in(loop_->clock(), kAdoptTime));
        if (adopted) {
            ++family->handed_out;
            co_return std::move(ready.kernel);
        }
        if (is_place_problem(adopted.error())) co_return tl::unexpected(adopted.error());
        log::warn("kernel.adopt", {{"why", adopted.error().message()}});
    }
    co_return fail(Code::not_found, "pool", "empty");
}

Task<Result<KernelPtr>> PythonKernels::start(KernelSpec spec, LaunchPlace place) {
    auto const mine = family(spec);
    // Those that wait have a group without limits already.
    if (!mine->pool.empty() && !place.resources.any()) {
        auto ready = co_await hand_out(mine, place);
        if (ready) co_return ready;
        if (ready.error().where != "pool") co_return ready;
    }
    auto forked =
        co_await fork(mine, std::move(place), StartKind::zygote, Deadline::in(loop_->clock(), kForkTime));
    if (!forked) co_return tl::unexpected(forked.error());
    refill(mine, options_.refill_after);
    co_return std::move(forked->kernel);
}

Task<Result<void>> PythonKernels::prewarm(KernelSpec spec) {
    auto const mine = family(spec);
    if (auto up = co_await ready_zygote(mine, Deadline::in(loop_->clock(), kZygoteTime)); !up) co_return up;
    refill(mine, Duration::zero());
    while (mine->filling) co_await mine->changed.wait();
    co_return Result<void>{};
}

void PythonKernels::refill(std::shared_ptr<Family> const& family, Duration after) {
    if (family->filling || family->pool.size() >= options_.ready) return;
    family->filling = true;  // before: it may be over when spawn() comes back
    if (!scope_.spawn("kernels.fill", fill(family, after))) family->filling = false;
}

Task<void> PythonKernels::fill(std::shared_ptr<Family> family, Duration after) {
    struct Filling {
        Family& family;
        ~Filling() {
            family.filling = false;
            family.changed.notify_all();
        }
    } const filling{*family};
    if (after > Duration::zero()) co_await loop_->clock().sleep_for(after);
    while (family->pool.size() < options_.ready) {
        auto const deadline = Deadline::in(loop_->clock(), kForkTime);
        LaunchPlace waiting{"/", options_.env, std::nullopt, {}};
        auto forked = co_await fork(family, std::move(waiting), StartKind::pooled, deadline);
        if (!forked) co_return;
        // Connected, subscribed, and one silent cell run: what the first user would otherwise wait for.
        if (auto up = co_await forked->kernel->connect(deadline); !up) co_return;
        if (auto warm = co_await forked->kernel->prime(deadline); !warm) co_return;
        family->pool.push_back(*std::move(forked));
    }
}

std::vector<PythonKernels::Status> PythonKernels::status() const {
    std::vector<Status> out;
    for (auto const& [dir, each] : families_)
        out.push_back({each->spec.name, each->zygote && each->zygote->alive(), each->pool.size(),
                       each->problem, each->forked, each->handed_out});
    return out;
}

Task<void> PythonKernels::close(Deadline deadline) {
    co_await scope_.close(deadline);
    // The waiting kernels go to the grave, the zygotes end.
    families_.clear();
}

}  // namespace execd::kernels
