// Contexts: all code contexts of the daemon: created, found, listed, ended; the default one of each language;
// the kernelspecs they are made from.
//
// Thread: the reactor. Owner: the daemon. close() before destruction.
#pragma once
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "kernels/context.hpp"
#include "kernels/grave.hpp"

namespace execd::kernels {

class PythonKernels;

class Contexts {
  public:
    struct Options {
        /// The environment of every kernel, complete; also decides where kernelspecs are looked for
        /// (JUPYTER_PATH, PATH ...).
        Env env{};
        std::string home{};
        /// Parent of the private directory for sockets; at most 60 characters.
        std::string runtime_parent = "/tmp";
        /// Where kernels start that nobody gave a directory; empty: the daemon's own.
        std::string cwd{};
        std::size_t max_contexts = 128;
        /// Of contexts that do not say it; 0: never.
        Duration idle_timeout{};
        /// What the outputs of all runs may hold together, in bytes: the oldest finished runs are forgotten
        /// first, then running ones lose their oldest outputs (a declared gap).
        std::size_t log_bytes = std::size_t{256} << 20;
        Duration start_timeout = std::chrono::seconds(60);
        /// Python from a zygote (kernels/python_kernels.hpp); false: always cold.
        bool zygote = true;
        /// Python kernels kept ready once the first Python context was made, or from prewarm() on.
        std::size_t ready_kernels = 1;
        /// So long a zygote may take to answer before its kernel starts cold and it is replaced.
        Duration zygote_answer = std::chrono::seconds(3);
        /// Modules that the zygote imports when they are installed.
        std::vector<std::string> preload{};
        /// Kernels that need no kernelspec (kernels/native), for this environment; an installed one of their
        /// language wins. Called on the pool. Null: none.
        std::vector<KernelSpec> (*built_in)(Env const& env) = nullptr;
    };
    Contexts(Loop& loop, shell::Executions& executions, shell::Reaper& reaper, Options options);
    ~Contexts();
    Contexts(Contexts const&) = delete;
    Contexts& operator=(Contexts const&) = delete;

    /// Comes back when the kernel answers. Errors: not_found or unavailable (no such kernel; lists what
    /// exists), exhausted (limit), already_exists (id), not_a_directory/not_found (cwd), timed_out.
    [[nodiscard]] Task<Result<std::shared_ptr<Context>>> create(ContextSpec spec);
    struct Attached {
        std::shared_ptr<Context> context;
        bool created = false;  // by this call
    };
    /// The same id with the same request (ContextSpec::same_request) gives the same context, also while the
    /// first call still makes it; another request is Code::conflict.
    [[nodiscard]] Task<Result<Attached>> create_or_attach(ContextSpec spec);
    /// The default context of a language, made at first use; callers that come meanwhile wait for the same
    /// one. A deleted one is made anew.
    [[nodiscard]] Task<Result<std::shared_ptr<Context>>> default_for(std::string language,
                                                                     std::string owner = {});

    [[nodiscard]] std::shared_ptr<Context> find(std::string_view id) const;
    [[nodiscard]] bool is_default(Context const& context, std::string_view language) const;
    struct Found {
        std::shared_ptr<Context> context;
        std::shared_ptr<Run> run;
    };
    /// A run of any context by its id; null pointers when there is none (any more).
    [[nodiscard]] Found find_run(std::string_view run_id) const;
    /// True when a run with this id, which its client had chosen, has run (or was given up) and nothing else
    /// is known of it any more. The last few thousand are.
    [[nodiscard]] bool was_forgotten(std::string_view run_id) const;
    struct Submitted {
        Found found;
        bool created = false;  // by this call
    };
    /// Queues a run in the default context of a language, which is made when there is none; a run that has
    /// this id by then is given instead. It goes on when its caller is cancelled meanwhile, and then ends in
    /// Context::cancel() when `leave_with_caller` is set.
    [[nodiscard]] Task<Result<Submitted>> submit_default(std::string language, RunSpec spec,
                                                         bool leave_with_caller);
    [[nodiscard]] LogBudget const& logs() const { return *logs_; }
    [[nodiscard]] Options const& options() const { return options_; }
    /// More variables, for every kernel that starts from now on.
    void add_env(Env const& more) {
        for (auto const& [name, value] : more) options_.env[name] = value;
    }
    /// In order of creation; empty: all languages / owners. A language's aliases are the same language.
    [[nodiscard]] std::vector<std::shared_ptr<Context>> list(std::string_view language = {},
                                                             std::string_view owner = {}) const;
    /// Ends it and waits until its kernel is gone. Code::not_found.
    [[nodiscard]] Task<Result<void>> remove(std::string id, Duration grace = std::chrono::seconds(2));
    [[nodiscard]] std::size_t size() const { return by_id_.size(); }

    /// What is installed now (scanned on the pool; kept for two seconds), and of the built-in kernels those
    /// that work (KernelSpec::check; one that does not is asked again after half a minute).
    [[nodiscard]] Task<Result<std::shared_ptr<KernelSpecs const>>> kernelspecs();

    /// Starts zygote and ready kernels before the first context asks for them (EXECD_PREWARM).
    [[nodiscard]] Task<Result<void>> prewarm();
    /// Null until Python was first used, or when zygotes are off.
    [[nodiscard]] PythonKernels const* python() const { return python_.get(); }

    [[nodiscard]] Task<void> close(Deadline deadline);
    /// Notified when a context comes or goes.
    [[nodiscard]] Event& changed() { return changed_; }

  private:
    [[nodiscard]] Task<Result<KernelPtr>> launch(ContextSpec spec, KernelSpec kernelspec);
    [[nodiscard]] Task<Result<KernelPtr>> launch_cold(KernelSpec kernelspec, LaunchPlace place);
    [[nodiscard]] Result<void> prepare();
    [[nodiscard]] Task<void> undo(std::string id);
    struct Submission;
    [[nodiscard]] Task<void> submit_for(std::shared_ptr<Submission> wanted);
    void forget(Run const& run);
    [[nodiscard]] Task<void> cull(std::shared_ptr<Context> context);
    [[nodiscard]] SearchContext search_context() const;
    [[nodiscard]] Task<Result<std::shared_ptr<KernelSpecs const>>> scanned();
    [[nodiscard]] Task<void> check(std::shared_ptr<KernelSpecs const> specs);
    void trim_logs();

    Loop* loop_;
    shell::Executions* executions_;
    shell::Reaper* reaper_;
    Options options_;
    std::shared_ptr<ZmqContext> zmq_;
    std::shared_ptr<LogBudget> logs_ = std::make_shared<LogBudget>();
    std::unique_ptr<RuntimeDir> dir_;
    std::shared_ptr<KernelSpecs const> specs_;
    TimePoint specs_at_{};
    struct Checked {
        bool works = false;
        TimePoint at{};
    };
    std::map<std::string, Checked, std::less<>> checked_;  // by name
    std::map<std::string, std::shared_ptr<Context>, std::less<>> by_id_;
    std::vector<std::string> order_;
    std::map<std::string, std::string> defaults_;  // owner NUL language -> id; empty id: being made
    std::set<std::string, std::less<>> forgotten_;
    std::deque<std::string> forgotten_order_;
    bool closing_ = false;
    Event changed_;
    Grave grave_;
    std::unique_ptr<PythonKernels> python_;
    Scope scope_;
};

}  // namespace execd::kernels
