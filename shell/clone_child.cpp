#include "shell/clone_child.hpp"

#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>

#include "base/check.hpp"
#include "base/fault.hpp"
#include "shell/direct_command.hpp"

#ifndef CLONE_INTO_CGROUP
#define CLONE_INTO_CGROUP 0x200000000ULL
#endif

// Sanitizers keep shadow state per thread; the child borrows the parent's thread.
#define EXECD_IN_CHILD __attribute__((noinline, no_sanitize("address", "thread", "undefined")))

namespace execd::shell {
namespace {

/// Everything the child reads, as plain pointers and numbers prepared by the parent.
struct ChildPlan {
    char const* const* candidates;
    // The command without its shell; its environment's last entry names the candidate at hand.
    char const* const* direct_candidates;
    char const* const* direct_names;
    char* const* direct_argv;
    char** direct_envp;
    std::size_t direct_name_at;
    char* const* argv;
    char* const* envp;
    char const* cwd;
    FdMap const* fds;
    std::size_t fd_count;
    ResourceLimit const* limits;
    std::size_t limit_count;
    int const* cgroup_procs;
    std::size_t cgroup_count;
    int const* cgroup_also;
    std::size_t cgroup_also_count;
    gid_t const* groups;
    std::size_t group_count;
    char const* oom_text;
    std::size_t oom_size;
    uid_t uid;
    gid_t gid;
    int program_fd;
    int umask;
    int nice;
    int death_signal;
    ProcessGroup group;
    bool change_identity;
    bool change_nice;
    bool into_cgroup;
    bool no_new_privs;
    // The child's answer; CLONE_VFORK orders it before the parent goes on.
    Step failed;
    int error;
};

EXECD_IN_CHILD long sys(long number, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0) {
    // Own stub: glibc's would write the daemon's errno.
#if defined(__x86_64__)
    long result;
    register long r10 asm("r10") = d;
    register long r8 asm("r8") = e;
    asm volatile("syscall"
                 : "=a"(result)
                 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8)
                 : "rcx", "r11", "memory");
    return result;
#elif defined(__aarch64__)
    register long x8 asm("x8") = number;
    register long x0 asm("x0") = a;
    register long x1 asm("x1") = b;
    register long x2 asm("x2") = c;
    register long x3 asm("x3") = d;
    register long x4 asm("x4") = e;
    asm volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
    return x0;
#else
#error "clone_child needs the system call convention of this machine"
#endif
}

template <class T>
inline long at(T const* pointer) {
    return reinterpret_cast<long>(pointer);
}

[[noreturn]] EXECD_IN_CHILD void die(ChildPlan* plan, Step step, long result) {
    plan->failed = step;
    plan->error = static_cast<int>(-result);
    for (;;) sys(SYS_exit_group, 127);
}

EXECD_IN_CHILD void reset_signals() {
    // exec keeps SIG_IGN: the daemon's ignored SIGPIPE and SIGHUP would reach every user program.
    struct KernelSigaction {
        void* handler = nullptr;
        unsigned long flags = 0;
        void* restorer = nullptr;
        unsigned long mask = 0;
    } fallback;
    for (int n = 1; n <= 64; ++n)
        if (n != SIGKILL && n != SIGSTOP) sys(SYS_rt_sigaction, n, at(&fallback), 0, 8);
}

EXECD_IN_CHILD void join(ChildPlan* plan, int const* procs, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
        long const result = sys(SYS_write, procs[i], at("0"), 1);
        if (result < 0) die(plan, Step::cgroup, result);
    }
}

EXECD_IN_CHILD void enter_groups(ChildPlan* plan) {
    long result = 0;
    if (plan->group == ProcessGroup::own) result = sys(SYS_setpgid, 0, 0);
    if (plan->group == ProcessGroup::session || plan->group == ProcessGroup::terminal)
        result = sys(SYS_setsid);
    if (result < 0) die(plan, Step::group, result);
    join(plan, plan->cgroup_also, plan->cgroup_also_count);
    if (!plan->into_cgroup) join(plan, plan->cgroup_procs, plan->cgroup_count);
}

EXECD_IN_CHILD void take_fds(ChildPlan* plan) {
    // All of ours are O_CLOEXEC anyway; this is for what a library opened without, and for what the daemon
    // itself was started with. Before the targets are made: none lies between them. 4 = CLOSE_RANGE_CLOEXEC.
    sys(SYS_close_range, 3, static_cast<long>(~0U), 4);
    for (std::size_t i = 0; i < plan->fd_count; ++i) {
        long const result = sys(SYS_dup3, plan->fds[i].source, plan->fds[i].target, 0);
        if (result < 0) die(plan, Step::fds, result);
    }
    if (plan->group == ProcessGroup::terminal) {
        long const result = sys(SYS_ioctl, 0, TIOCSCTTY, 0);
        if (result < 0) die(plan, Step::terminal, result);
    }
}

EXECD_IN_CHILD void apply_limits(ChildPlan* plan) {
    if (plan->oom_text != nullptr) {
        // Not fatal: an unprivileged daemon may not lower it, and /proc may be missing.
        long const fd = sys(SYS_openat, AT_FDCWD, at("/proc/self/oom_score_adj"), O_WRONLY | O_CLOEXEC);
        if (fd >= 0) sys(SYS_write, fd, at(plan->oom_text), static_cast<long>(plan->oom_size));
        if (fd >= 0) sys(SYS_close, fd);
    }
    if (plan->change_nice) {
        long const result = sys(SYS_setpriority, PRIO_PROCESS, 0, plan->nice);
        if (result < 0) die(plan, Step::limits, result);
    }
    for (std::size_t i = 0; i < plan->limit_count; ++i) {
        struct {
            std::uint64_t soft, hard;
        } value{plan->limits[i].soft, plan->limits[i].hard};
        long const result = sys(SYS_prlimit64, 0, plan->limits[i].resource, at(&value), 0);
        if (result < 0) die(plan, Step::limits, result);
    }
    if (plan->umask >= 0) sys(SYS_umask, plan->umask);
}

EXECD_IN_CHILD void become(ChildPlan* plan) {
    if (!plan->change_identity) return;
    // Raw calls: glibc's setuid family would change every thread of the daemon.
    long result = sys(SYS_setgroups, static_cast<long>(plan->group_count), at(plan->groups));
    if (result >= 0) result = sys(SYS_setresgid, plan->gid, plan->gid, plan->gid);
    if (result >= 0) result = sys(SYS_setresuid, plan->uid, plan->uid, plan->uid);
    if (result < 0) die(plan, Step::identity, result);
}

EXECD_IN_CHILD void execute(ChildPlan* plan) {
    if (plan->program_fd >= 0) {
        long const result =
            sys(SYS_execveat, plan->program_fd, at(""), at(plan->argv), at(plan->envp), AT_EMPTY_PATH);
        die(plan, Step::exec, result);
    }
    if (plan->direct_argv != nullptr) {
        for (std::size_t i = 0; plan->direct_candidates[i] != nullptr; ++i) {
            plan->direct_envp[plan->direct_name_at] = const_cast<char*>(plan->direct_names[i]);
            long const refused =
                sys(SYS_execve, at(plan->direct_candidates[i]), at(plan->direct_argv), at(plan->direct_envp));
            if (refused != -ENOENT && refused != -ENOTDIR && refused != -EACCES) break;
        }
    }
    long result = -ENOENT;
    bool denied = false;
    for (auto const* path = plan->candidates; *path != nullptr; ++path) {
        result = sys(SYS_execve, at(*path), at(plan->argv), at(plan->envp));
        if (result == -EACCES) denied = true;  // the shells' rule: go on, but remember it
        if (result != -ENOENT && result != -ENOTDIR && result != -EACCES) break;
    }
    bool const missing = result == -ENOENT || result == -ENOTDIR;
    die(plan, Step::exec, denied && missing ? -EACCES : result);
}

EXECD_IN_CHILD int child_main(void* argument) {
    auto* plan = static_cast<ChildPlan*>(argument);
    reset_signals();
    enter_groups(plan);
    take_fds(plan);
    apply_limits(plan);
    become(plan);
    if (plan->cwd != nullptr) {
        long const result = sys(SYS_chdir, at(plan->cwd));
        if (result < 0) die(plan, Step::cwd, result);
    }
    if (plan->death_signal != 0) sys(SYS_prctl, PR_SET_PDEATHSIG, plan->death_signal);
    if (plan->no_new_privs) {
        long const result = sys(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        if (result < 0) die(plan, Step::privileges, result);
    }
    unsigned long none = 0;
    sys(SYS_rt_sigprocmask, SIG_SETMASK, at(&none), 0, 8);
    execute(plan);
    return 127;
}

// The child never returns into this frame, so nothing here is "returned to twice".
__attribute__((noinline)) long clone3_call(clone_args* args, int (*run)(void*), void* argument) {
#if defined(__x86_64__)
    long result;
    register auto run_register asm("r8") = run;
    register void* argument_register asm("r9") = argument;
    asm volatile(
        "syscall\n\t"
        "test %%rax, %%rax\n\t"
        "jnz 1f\n\t"
        "xor %%ebp, %%ebp\n\t"
        "mov %%r9, %%rdi\n\t"
        "call *%%r8\n\t"
        "mov %%eax, %%edi\n\t"
        "mov $231, %%eax\n\t"  // exit_group
        "syscall\n\t"
        "hlt\n\t"
        "1:"
        : "=a"(result)
        : "0"(SYS_clone3), "D"(args), "S"(sizeof *args), "r"(run_register), "r"(argument_register)
        : "rcx", "r11", "memory", "cc");
    return result;
#else
    register long x8 asm("x8") = SYS_clone3;
    register long x0 asm("x0") = reinterpret_cast<long>(args);
    register long x1 asm("x1") = sizeof *args;
    register auto run_register asm("x10") = run;
    register void* argument_register asm("x11") = argument;
    asm volatile(
        "svc 0\n\t"
        "cbnz x0, 1f\n\t"
        "mov x29, xzr\n\t"
        "mov x0, x11\n\t"
        "blr x10\n\t"
        "mov x8, #94\n\t"
        "svc 0\n\t"
        "1:"
        : "+r"(x0)
        : "r"(x8), "r"(x1), "r"(run_register), "r"(argument_register)
        : "memory", "cc", "x30");
    return x0;
#endif
}

std::atomic<bool> g_have_clone3{true};
std::atomic<bool> g_have_into_cgroup{true};

long clone_now(ChildPlan& plan, int cgroup_dir, CloneStack const& stack) {
    long pid = -ENOSYS;
    if (g_have_clone3) {
        clone_args args{};
        args.flags = CLONE_VM | CLONE_VFORK;
        args.exit_signal = SIGCHLD;
        args.stack = reinterpret_cast<__u64>(stack.base());
        args.stack_size = CloneStack::kSize;
        if (cgroup_dir >= 0 && g_have_into_cgroup) {
            args.flags |= CLONE_INTO_CGROUP;
            args.cgroup = static_cast<__u64>(cgroup_dir);
            plan.into_cgroup = true;
            pid = clone3_call(&args, child_main, &plan);
            if (pid > 0) return pid;
            plan.into_cgroup = false;  // a v1 directory, an old kernel: the child writes cgroup.procs itself
            args.flags &= ~static_cast<__u64>(CLONE_INTO_CGROUP);
            args.cgroup = 0;
        }
        pid = clone3_call(&args, child_main, &plan);
        if (pid == -ENOSYS || pid == -EPERM) g_have_clone3 = false;  // an old kernel or a seccomp profile
    }
    if (!g_have_clone3) {
        pid = ::clone(child_main, stack.base() + CloneStack::kSize, CLONE_VM | CLONE_VFORK | SIGCHLD, &plan);
        if (pid < 0) pid = -errno;
    }
    return pid;
}

std::vector<char*> pointers(std::vector<std::string> const& texts) {
    std::vector<char*> out;
    out.reserve(texts.size() + 1);
    for (auto const& text : texts) out.push_back(const_cast<char*>(text.c_str()));
    out.push_back(nullptr);
    return out;
}

/// Opened once; -1 with errno, and tried again by the next spawn, while there are no descriptors.
int dev_null() {
    static std::atomic<int> kept{-1};
    if (int const fd = kept.load(); fd >= 0) return fd;
    int opened = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    if (opened < 0 && errno != EMFILE && errno != ENFILE) {
        // A root without it: a pipe that nobody writes to reads the same, and keeps as little.
        int ends[2];
        if (::pipe2(ends, O_CLOEXEC) != 0) return -1;
        ::close(ends[1]);
        opened = ends[0];
    }
    if (opened < 0) return -1;
    // Above the usual targets there is no copy per spawn; a small limit of descriptors may not allow that.
    int const high = ::fcntl(opened, F_DUPFD_CLOEXEC, 64);
    if (high >= 0) ::close(opened);
    kept.store(high >= 0 ? high : opened);
    return kept.load();
}

/// What SpawnSpec::direct needs; empty where it cannot be used.
struct DirectPlan {
    std::vector<std::string> paths;
    std::vector<std::string> names;  // "_=/usr/bin/true"
    std::vector<std::string> env;
    std::vector<char*> candidates, named, argv, envp;

    explicit DirectPlan(SpawnSpec const& spec) {
        if (spec.direct.empty()) return;
        auto environment = direct_environment(spec.env, spec.cwd);
        if (!environment) return;
        env = std::move(*environment);
        paths = exec_candidates(spec.direct[0], env);
        for (auto const& path : paths) names.push_back("_=" + path);
        env.emplace_back();
        candidates = pointers(paths);
        named = pointers(names);
        argv = pointers(spec.direct);
        envp = pointers(env);
    }

    void into(ChildPlan& plan) {
        if (argv.empty()) return;
        plan.direct_candidates = candidates.data();
        plan.direct_names = named.data();
        plan.direct_argv = argv.data();
        plan.direct_envp = envp.data();
        plan.direct_name_at = env.size() - 1;
    }
};

/// The spec's map plus /dev/null for the missing of 0, 1, 2, with every source above every target: then the
/// order of dup3 calls cannot destroy a source.
struct FdPlan {
    std::vector<FdMap> map;
    std::vector<UniqueFd> copies;
    int top = 2;
    int error = 0;

    explicit FdPlan(SpawnSpec const& spec) : map(spec.fds) {
        for (int standard = 0; standard <= 2; ++standard) {
            bool named = false;
            for (auto const& fd : map) named = named || fd.target == standard;
            if (named) continue;
            map.push_back({dev_null(), standard});
            if (map.back().source < 0) error = errno;
        }
        if (error != 0) return;
        for (auto const& fd : map) top = std::max(top, fd.target);
        for (auto& fd : map) {
            if (fd.source < 0) error = EBADF;
            if (fd.source < 0 || fd.source > top) continue;
            int copy = fault::hit("spawn.dup");
            copy = copy != 0 ? (errno = copy, -1) : ::fcntl(fd.source, F_DUPFD_CLOEXEC, top + 1);
            if (copy < 0) {
                error = errno;
                continue;
            }
            copies.emplace_back(copy);
            fd.source = copy;
        }
    }
};

}  // namespace

CloneStack::CloneStack() {
    void* memory =
        ::mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    EXECD_REQUIRE(memory != MAP_FAILED);
    base_ = static_cast<char*>(memory);
}

CloneStack::~CloneStack() { ::munmap(base_, kSize); }

void force_clone_quirks(CloneQuirks quirks) {
#ifndef __SANITIZE_THREAD__  // its clone() takes the child for a forked process, but that lives in our memory
    g_have_clone3 = !quirks.no_clone3;
#endif
    g_have_into_cgroup = !quirks.no_into_cgroup;
}

CloneResult clone_child(SpawnSpec const& spec, CloneStack const& stack) {
    CloneResult out;
    if (spec.argv.empty()) {
        out.failure = {Step::prepare, EINVAL};
        return out;
    }
    FdPlan const fds(spec);
    if (fds.error != 0) {
        out.failure = {Step::prepare, fds.error};
        return out;
    }
    auto const paths = exec_candidates(spec.program.empty() ? spec.argv[0] : spec.program, spec.env);
    auto const candidates = pointers(paths);
    auto const argv = pointers(spec.argv);
    auto const envp = pointers(spec.env);
    DirectPlan direct(spec);
    std::string const oom = spec.oom_score_adj ? std::to_string(*spec.oom_score_adj) : std::string();
    Identity const identity = spec.identity.value_or(Identity());

    ChildPlan plan{};
    plan.candidates = candidates.data();
    direct.into(plan);
    plan.argv = argv.data();
    plan.envp = envp.data();
    plan.cwd = spec.cwd.empty() ? nullptr : spec.cwd.c_str();
    plan.fds = fds.map.data();
    plan.fd_count = fds.map.size();
    plan.limits = spec.limits.data();
    plan.limit_count = spec.limits.size();
    plan.cgroup_procs = spec.cgroup_procs.data();
    plan.cgroup_count = spec.cgroup_procs.size();
    plan.cgroup_also = spec.cgroup_also.data();
    plan.cgroup_also_count = spec.cgroup_also.size();
    plan.groups = identity.groups.data();
    plan.group_count = identity.groups.size();
    plan.oom_text = spec.oom_score_adj ? oom.c_str() : nullptr;
    plan.oom_size = oom.size();
    plan.uid = identity.uid;
    plan.gid = identity.gid;
    plan.program_fd = spec.program_fd;
    plan.umask = spec.umask.value_or(-1);
    plan.nice = spec.nice.value_or(0);
    plan.change_nice = spec.nice.has_value();
    plan.death_signal = spec.parent_death_signal;
    plan.group = spec.group;
    plan.change_identity = spec.identity.has_value();
    plan.no_new_privs = spec.no_new_privs;

    long pid = -fault::hit("spawn.clone");
    if (pid == 0) {
        // Raw: also the two signals that glibc keeps for itself.
        unsigned long all = ~0UL;
        unsigned long old = 0;
        ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &old, 8);
        pid = clone_now(plan, spec.cgroup_dir, stack);
        ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, &old, nullptr, 8);
    }
    if (pid < 0) {
        out.failure = {Step::clone, static_cast<int>(-pid)};
        return out;
    }
    out.pid = static_cast<pid_t>(pid);
    if (plan.failed != Step::none) out.failure = {plan.failed, plan.error};
    return out;
}

namespace {
EXECD_IN_CHILD int nothing(void*) { return 0; }
}  // namespace

bool clones_into(int cgroup_dir) {
    if (!g_have_clone3 || !g_have_into_cgroup) return false;
    CloneStack const stack;
    clone_args args{};
    args.flags = CLONE_VM | CLONE_VFORK | CLONE_INTO_CGROUP;
    args.stack = reinterpret_cast<__u64>(stack.base());
    args.stack_size = CloneStack::kSize;
    args.cgroup = static_cast<__u64>(cgroup_dir);
    unsigned long all = ~0UL;
    unsigned long old = 0;
    ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &old, 8);
    long const pid = clone3_call(&args, nothing, nullptr);
    // Without an exit signal it is nobody else's: only who asks with __WALL sees it.
    int status = -1;
    while (pid > 0 && ::waitpid(static_cast<pid_t>(pid), &status, __WALL) < 0 && errno == EINTR) {
    }
    ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, &old, nullptr, 8);
    return pid > 0 && WIFEXITED(status);  // killed at once where somebody has once killed our own group
}

}  // namespace execd::shell
