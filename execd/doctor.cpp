#include "execd/doctor.hpp"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cstdio>
#include <string>
#include <system_error>

#include "base/accounts.hpp"
#include "base/loop.hpp"
#include "base/own_program.hpp"
#include "base/scope.hpp"
#include "base/unique_fd.hpp"
#include "execd/kernel_environment.hpp"
#include "execd/version.hpp"
#include "kernels/kernelspec.hpp"
#include "kernels/native/native.hpp"
#include "shell/cgroup.hpp"
#include "shell/environment.hpp"
#include "shell/reaper.hpp"
#include "shell/spawner.hpp"

namespace execd {

namespace {

enum class Grade { ok, limited, broken };

/// One line of the report: what, how it is, and the mending step when it is not fine.
struct Finding {
    Grade grade = Grade::ok;
    std::string what;
    std::string detail;
    std::string mend;
};

Finding fine(std::string what, std::string detail) {
    return {Grade::ok, std::move(what), std::move(detail), {}};
}

Finding check_account() {
    uid_t const uid = ::geteuid();
    User const* user = accounts()->user(uid);
    std::string const name = user != nullptr ? user->name : "no name in /etc/passwd";
    if (uid == 0) return fine("account", "root: commands may run as any user");
    return {Grade::limited, "account",
            "uid " + std::to_string(uid) + " (" + name + "): uid and gid of requests cannot be changed",
            "start execd as root where requests name other users"};
}

Task<void> try_spawn(shell::Spawner& spawner, Clock& clock, Finding& out) {
    shell::SpawnSpec spec;
    spec.argv = {"execd", "--version"};
    auto const self = open_own_program();
    spec.program = "/proc/self/exe";
    if (self) spec.program_fd = self->get();
    TimePoint const begun = clock.now();
    auto started = co_await spawner.spawn(std::move(spec));
    if (!started) {
        out = {Grade::broken, "processes", started.error().to_error().message(),
               "raise the pids limit and ulimit -u, or loosen the seccomp profile"};
        co_return;
    }
    bool const ended = co_await (*started)->wait(Deadline::in(clock, std::chrono::seconds(5)));
    auto const took = std::chrono::duration_cast<std::chrono::microseconds>(clock.now() - begun).count();
    out = ended ? fine("processes", "one started and ended in " + std::to_string(took) + " us")
                : Finding{Grade::broken, "processes", "a started process did not end in 5 s",
                          "look for a stopped or traced process"};
}

Finding spawn_one() {
    Finding out;
    asio::io_context io(1);
    RealClock clock(io);
    WorkPool pool;
    Loop loop(io, clock, pool);
    {
        shell::Reaper reaper(loop);
        shell::Spawner spawner(loop, reaper);
        Scope scope(loop, "doctor");
        scope.spawn("spawn", try_spawn(spawner, clock, out));
        while (scope.running() > 0) io.run_one();
    }
    return out;
}

/// Where not even our own threads can be made, that is what is broken.
Finding check_spawn() {
    try {
        return spawn_one();
    } catch (std::system_error const& e) {
        return {Grade::broken, "processes", "no thread can be made: " + e.code().message(),
                "raise the pids limit and ulimit -u"};
    }
}

Finding check_shell(shell::Environment const& environment) {
    auto const found = shell::find_shell(environment);
    if (found.bash) return fine("shell", found.path);
    if (::access(found.path.c_str(), X_OK) == 0)
        return {Grade::limited, "shell", found.path + " (no bash: scripts for bash do not run)",
                "install bash"};
    return {Grade::limited, "shell", "neither bash nor sh: only argv commands work",
            "install bash or busybox"};
}

Finding check_terminals() {
    UniqueFd const master(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
    char name[128];
    if (master && ::unlockpt(master.get()) == 0 && ::ptsname_r(master.get(), name, sizeof name) == 0)
        return fine("terminals", name);
    return {Grade::limited, "terminals", "no pseudo terminal: " + errno_text(errno),
            "mount devpts on /dev/pts"};
}

Finding check_cgroups(Config const& config) {
    static constexpr std::string_view kEscapes =
        "; what leaves its session, drops its environment and lets its parent die survives a kill";
    if (!config.cgroups) return {Grade::limited, "limits", "switched off" + std::string(kEscapes), ""};
    shell::Cgroups::Options options;
    options.may_move_self = false;  // a look changes nothing
    auto const cgroups = shell::Cgroups::detect(options);
    std::string names;
    for (auto const& name : cgroups->controllers()) names += (names.empty() ? "" : ", ") + name;
    std::string text = "cgroup " + std::string(cgroups->kind());
    text += names.empty() ? ": none of memory, pids, cpu can be limited" : ": " + names;
    if (cgroups->can_contain())
        text += "; complete kills of all that execd starts";
    else if (cgroups->can_kill())
        text += "; complete kills of contexts, claims and what has limits" + std::string(kEscapes);
    else
        text += kEscapes;
    if (cgroups->controllers().size() == 3 && cgroups->can_contain()) return fine("limits", text);
    return {Grade::limited, "limits", text,
            "make the container's cgroup writable; until then such limits are answered as not enforced"};
}

Finding check_directory(Config const& config) {
    std::string path = config.state_dir;
    if (path.empty()) path = process_environment("TMPDIR").value_or("/tmp");
    struct statvfs space {};
    if (::access(path.c_str(), W_OK | X_OK) != 0 || ::statvfs(path.c_str(), &space) != 0)
        return {Grade::limited, "state directory",
                path + " is not writable: output beyond memory is dropped with a notice",
                "point --state-dir at a writable directory"};
    return fine("state directory",
                path + ", " + std::to_string(space.f_bavail * space.f_frsize >> 20U) + " MiB free");
}

Finding check_kernels(Config const& config, shell::Environment const& environment) {
    kernels::SearchContext search;
    search.env = kernel_environment(config, environment);
    search.home = std::string(environment.get("HOME").value_or("/"));
    if (auto const python = kernels::python_on_path(search.env)) {
        search.python_prefix = python->prefix;
        search.prefix_is_venv = python->is_venv;
    }
    auto const specs =
        kernels::KernelSpecs::scan(kernels::kernel_dirs(search), kernels::native::kernelspecs(search.env));
    std::string names;
    bool python = false;
    for (auto const& spec : specs.all()) {
        if (!spec.program.empty() && !kernels::native::why_not(spec, search.env).empty()) continue;
        names += (names.empty() ? "" : ", ") + spec.name;
        python = python || spec.language == "python";
    }
    if (python) return fine("code contexts", "kernels: " + names);
    return {Grade::limited, "code contexts",
            names.empty() ? "no kernel and no interpreter found" : "kernels: " + names + "; none for Python",
            "install python3, or point JUPYTER_PATH at the prefix that has ipykernel"};
}

Finding check_descriptors() {
    long const limit = ::sysconf(_SC_OPEN_MAX);
    if (limit >= 4096) return fine("descriptors", std::to_string(limit));
    return {Grade::limited, "descriptors", "only " + std::to_string(limit) + " at once", "raise ulimit -n"};
}

char const* word(Grade grade) {
    switch (grade) {
        case Grade::ok: return "ok     ";
        case Grade::limited: return "limited";
        case Grade::broken: return "BROKEN ";
    }
    return "";
}

}  // namespace

int doctor(Config const& config) {
    auto const environment = shell::Environment::of_daemon();
    std::vector<Finding> findings;
    findings.push_back(fine("execd", std::string(version()) +
                                         (commit().empty() ? "" : " (" + std::string(commit()) + ")") +
                                         ", process " + std::to_string(::getpid()) +
                                         (::getpid() == 1 ? ", init of this container" : "")));
    findings.push_back(check_account());
    findings.push_back(check_spawn());
    findings.push_back(check_shell(environment));
    findings.push_back(check_terminals());
    findings.push_back(check_cgroups(config));
    findings.push_back(check_directory(config));
    findings.push_back(check_kernels(config, environment));
    findings.push_back(check_descriptors());
    bool broken = false;
    for (auto const& finding : findings) {
        std::printf("%s  %-16s %s\n", word(finding.grade), finding.what.c_str(), finding.detail.c_str());
        if (!finding.mend.empty()) std::printf("         %-16s mend: %s\n", "", finding.mend.c_str());
        broken = broken || finding.grade == Grade::broken;
    }
    return broken ? 1 : 0;
}

}  // namespace execd
