#include "shell/verdict.hpp"

#include <signal.h>

#include <charconv>
#include <string_view>

namespace execd::shell {
namespace {

struct SignalName {
    int number;
    std::string_view name;
    std::string_view text;
};
constexpr SignalName kSignals[] = {
    {SIGHUP, "HUP", "hangup"},
    {SIGINT, "INT", "interrupt"},
    {SIGQUIT, "QUIT", "quit"},
    {SIGILL, "ILL", "illegal instruction"},
    {SIGTRAP, "TRAP", "trace/breakpoint trap"},
    {SIGABRT, "ABRT", "aborted"},
    {SIGBUS, "BUS", "bus error"},
    {SIGFPE, "FPE", "floating point exception"},
    {SIGKILL, "KILL", "killed"},
    {SIGUSR1, "USR1", "user defined signal 1"},
    {SIGSEGV, "SEGV", "segmentation fault"},
    {SIGUSR2, "USR2", "user defined signal 2"},
    {SIGPIPE, "PIPE", "broken pipe"},
    {SIGALRM, "ALRM", "alarm clock"},
    {SIGTERM, "TERM", "terminated"},
    {SIGSTKFLT, "STKFLT", "stack fault"},
    {SIGCHLD, "CHLD", "child exited"},
    {SIGCONT, "CONT", "continued"},
    {SIGSTOP, "STOP", "stopped (signal)"},
    {SIGTSTP, "TSTP", "stopped"},
    {SIGTTIN, "TTIN", "stopped (tty input)"},
    {SIGTTOU, "TTOU", "stopped (tty output)"},
    {SIGURG, "URG", "urgent I/O condition"},
    {SIGXCPU, "XCPU", "CPU time limit exceeded"},
    {SIGXFSZ, "XFSZ", "file size limit exceeded"},
    {SIGVTALRM, "VTALRM", "virtual timer expired"},
    {SIGPROF, "PROF", "profiling timer expired"},
    {SIGWINCH, "WINCH", "window changed"},
    {SIGIO, "IO", "I/O possible"},
    {SIGPWR, "PWR", "power failure"},
    {SIGSYS, "SYS", "bad system call"},
};

template <class... F>
struct Overloaded : F... {
    using F::operator()...;
};
template <class... F>
Overloaded(F...) -> Overloaded<F...>;

}  // namespace

std::string signal_text(int number) {
    for (auto const& signal : kSignals)
        if (signal.number == number) return std::string(signal.text);
    return "signal " + std::to_string(number);
}

std::string signal_name(int number) {
    for (auto const& signal : kSignals)
        if (signal.number == number) return "SIG" + std::string(signal.name);
    return "SIG" + std::to_string(number);
}

int signal_number(std::string_view name) noexcept {
    int number = 0;
    auto const [end, ec] = std::from_chars(name.data(), name.data() + name.size(), number);
    if (ec == std::errc() && end == name.data() + name.size()) return number > 0 && number <= 64 ? number : 0;
    auto const same = [](std::string_view a, std::string_view b) {
        if (a.size() != b.size()) return false;
        for (std::size_t i = 0; i < a.size(); ++i) {
            char const c = a[i] >= 'a' && a[i] <= 'z' ? static_cast<char>(a[i] - 32) : a[i];
            if (c != b[i]) return false;
        }
        return true;
    };
    if (name.size() > 3 && same(name.substr(0, 3), "SIG")) name.remove_prefix(3);
    for (auto const& signal : kSignals)
        if (same(name, signal.name)) return signal.number;
    return 0;
}

bool Verdict::success() const {
    auto const* exited = std::get_if<Exited>(&ending);
    return exited != nullptr && exited->code == 0;
}

int Verdict::exit_code() const {
    auto const* exited = std::get_if<Exited>(&status);
    return exited != nullptr ? exited->code : -1;
}

int Verdict::shell_status() const {
    if (auto const* signaled = std::get_if<Signaled>(&status)) return 128 + signaled->signal;
    if (auto const* failed = std::get_if<FailedToStart>(&ending)) return failed->error == EACCES ? 126 : 127;
    return exit_code();
}

std::string_view Verdict::kind() const {
    constexpr std::string_view kNames[] = {"exited",     "signaled",        "timed_out", "cancelled",
                                           "oom_killed", "failed_to_start", "lost"};
    return kNames[ending.index()];
}

std::string Verdict::text() const {
    return std::visit(Overloaded{
                          [](Exited const& e) { return "exit status " + std::to_string(e.code); },
                          [](Signaled const& s) {
                              return "signal: " + signal_text(s.signal) + (s.core ? " (core dumped)" : "");
                          },
                          [](TimedOut const&) { return std::string("timed out"); },
                          [](Cancelled const&) { return std::string("cancelled"); },
                          [](OomKilled const&) { return std::string("killed: out of memory"); },
                          [](FailedToStart const& f) {
                              return SpawnFailure{f.step, f.error}.to_error().message();
                          },
                          [](Lost const& l) { return "lost: " + l.why; },
                      },
                      ending);
}

}  // namespace execd::shell
