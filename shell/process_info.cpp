#include "shell/process_info.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>

#include "base/unique_fd.hpp"
#include "shell/environment.hpp"

namespace execd::shell {

namespace {

constexpr std::size_t kLongestCommand = 32U << 10;
constexpr auto kAfterKill = std::chrono::seconds(5);

std::string read_text(std::string const& path, std::size_t limit) {
    UniqueFd const fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    std::string out;
    if (!fd) return out;
    char buffer[4096];
    while (out.size() < limit) {
        ssize_t const n = ::read(fd.get(), buffer, sizeof buffer);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) break;
        out.append(buffer, static_cast<std::size_t>(n));
    }
    if (out.size() > limit) out.resize(limit);
    return out;
}

/// The n-th field of a stat line as proc(5) counts them, from 3 on; 0 when it is missing.
std::uint64_t stat_field(std::string_view line, int wanted) {
    auto const end = line.rfind(')');
    if (end == std::string_view::npos) return 0;
    line.remove_prefix(end + 1);
    for (int field = 3; !line.empty(); ++field) {
        while (line.starts_with(' ')) line.remove_prefix(1);
        auto const word = line.substr(0, line.find(' '));
        if (field == wanted) {
            std::uint64_t value = 0;
            std::from_chars(word.data(), word.data() + word.size(), value);
            return value;
        }
        line.remove_prefix(word.size());
    }
    return 0;
}

struct Now {
    std::uint64_t ticks = ticks_now();
    WallTime wall = std::chrono::system_clock::now();
    double per_second = static_cast<double>(::sysconf(_SC_CLK_TCK));
    auto page() const { return static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)); }
};

std::optional<ProcessInfo> describe(std::string const& directory, Now const& now) {
    std::string const stat = read_text(directory + "/stat", 4096);
    ProcessInfo out;
    out.entry = parse_stat(stat);
    if (out.entry.pid == 0) return std::nullopt;
    auto const open = stat.find('(');
    auto const close = stat.rfind(')');
    if (open < close) out.name = stat.substr(open + 1, close - open - 1);
    out.command = read_text(directory + "/cmdline", kLongestCommand);
    while (out.command.ends_with('\0')) out.command.pop_back();
    std::replace(out.command.begin(), out.command.end(), '\0', ' ');
    if (out.command.empty()) out.command = "[" + out.name + "]";
    double const age =
        static_cast<double>(now.ticks - std::min(now.ticks, out.entry.started)) / now.per_second;
    out.started =
        now.wall - std::chrono::duration_cast<WallTime::duration>(std::chrono::duration<double>(age));
    double const cpu = static_cast<double>(stat_field(stat, 14) + stat_field(stat, 15)) / now.per_second;
    if (age > 0) out.cpu_percent = 100.0 * cpu / age;
    out.memory = stat_field(stat, 24) * now.page();
    return out;
}

bool alive(pid_t pid) { return ::kill(pid, 0) == 0 || errno == EPERM; }

Result<void> send(int held, pid_t pid, int number) {
    long const done = held >= 0 ? ::syscall(SYS_pidfd_send_signal, held, number, nullptr, 0)
                                : static_cast<long>(::kill(pid, number));
    if (done == 0 || errno == ESRCH) return {};
    return fail_errno("kill", errno, std::to_string(pid));
}

/// Until the process behind the pidfd has ended. Where there are no pidfds the time is simply waited for.
Task<bool> ended(Loop& loop, Descriptor* held, pid_t pid, Duration patience) {
    if (held == nullptr) {
        bool const slept = co_await loop.clock().sleep_for(patience);
        co_return slept && !alive(pid);
    }
    Timer over(loop.clock());
    bool late = false;
    over.arm(Deadline::in(loop.clock(), patience), [&late, held] {
        late = true;
        held->cancel();
    });
    auto const [ec] = co_await held->async_wait(Descriptor::wait_read, kAsTuple);
    co_return !ec && !late;
}

}  // namespace

std::vector<ProcessInfo> describe_processes(std::string const& proc) {
    std::vector<ProcessInfo> out;
    DIR* listing = ::opendir(proc.c_str());
    if (listing == nullptr) return out;
    std::vector<pid_t> pids;
    while (dirent const* entry = ::readdir(listing)) {
        pid_t pid = 0;
        std::string_view const name(entry->d_name);
        auto const [end, error] = std::from_chars(name.data(), name.data() + name.size(), pid);
        if (error == std::errc() && end == name.data() + name.size()) pids.push_back(pid);
    }
    ::closedir(listing);
    std::sort(pids.begin(), pids.end());
    Now const now;
    for (pid_t const pid : pids)
        if (auto info = describe(proc + "/" + std::to_string(pid), now)) out.push_back(std::move(*info));
    return out;
}

std::optional<ProcessInfo> describe_process(pid_t pid, std::string const& proc) {
    std::string const directory = proc + "/" + std::to_string(pid);
    auto out = describe(directory, Now());
    if (!out) return out;
    char target[4096];
    ssize_t const n = ::readlink((directory + "/cwd").c_str(), target, sizeof target);
    if (n > 0) out->cwd.assign(target, static_cast<std::size_t>(n));
    std::string const block = read_text(directory + "/environ", 1U << 20);
    std::string_view rest = block;
    while (!rest.empty()) {
        auto const entry = rest.substr(0, rest.find('\0'));
        rest.remove_prefix(std::min(rest.size(), entry.size() + 1));
        auto const equals = entry.find('=');
        if (equals == std::string_view::npos || is_private_name(entry.substr(0, equals))) continue;
        out->environment[std::string(entry.substr(0, equals))] = entry.substr(equals + 1);
    }
    return out;
}

Task<Result<void>> end_process(Loop& loop, pid_t pid, Duration grace) {
    if (pid <= 0) co_return fail(Code::not_found, "process", std::to_string(pid));
    // Held: its number cannot be given to another one while we wait.
    UniqueFd fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    if (!fd && !alive(pid)) co_return fail(Code::not_found, "process", std::to_string(pid));
    std::optional<Descriptor> watched;
    int const held = fd.get();
    if (fd) watched.emplace(loop.executor(), fd.release());
    Descriptor* const descriptor = watched ? &*watched : nullptr;
    for (int const number : {SIGTERM, SIGKILL}) {
        auto const sent = send(held, pid, number);
        if (!sent) co_return Failure(sent.error());
        Duration const patience = number == SIGTERM ? grace : Duration(kAfterKill);
        bool const gone = co_await ended(loop, descriptor, pid, patience);
        if (gone) co_return Result<void>();
    }
    co_return fail(Code::timed_out, "process", std::to_string(pid) + " does not end");
}

}  // namespace execd::shell
