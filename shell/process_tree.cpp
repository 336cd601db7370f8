#include "shell/process_tree.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <map>
#include <set>

#include "base/unique_fd.hpp"

namespace execd::shell {

namespace {

/// At most `limit` bytes of a file in /proc; empty when it has gone or is not ours to read.
std::string read_small(std::string const& path, std::size_t limit) {
    UniqueFd const fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    std::string out;
    if (!fd) return out;
    char buffer[16384];
    while (out.size() < limit) {
        ssize_t const n = ::read(fd.get(), buffer, sizeof buffer);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) break;
        out.append(buffer, static_cast<std::size_t>(n));
    }
    return out;
}

template <class T>
bool next_number(std::string_view& text, T& out) {
    while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
    auto const [end, ec] = std::from_chars(text.data(), text.data() + text.size(), out);
    if (ec != std::errc()) return false;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    return true;
}

bool has_marker(std::string const& proc, pid_t pid, std::string const& marker) {
    std::string const environ = read_small(proc + "/" + std::to_string(pid) + "/environ", 4 << 20);
    std::string const entry = "EXECD_EXECUTION=" + marker;
    if (environ.starts_with(entry + '\0')) return true;
    return environ.find('\0' + entry + '\0') != std::string::npos;
}

/// The members that began at `since` or later, without those of something older than that.
std::set<pid_t> younger(std::vector<ProcessEntry> const& all, std::set<pid_t> const& members,
                        TreeQuery const& query) {
    std::map<pid_t, ProcessEntry const*> by_pid;
    for (auto const& p : all) by_pid.emplace(p.pid, &p);
    std::set<pid_t> out;
    for (pid_t const pid : members) {
        bool young = pid != query.leader;
        pid_t at = pid;
        for (int depth = 0; young && at != query.leader && members.contains(at) && depth < 1000; ++depth) {
            auto const found = by_pid.find(at);
            if (found == by_pid.end()) break;
            young = found->second->started >= query.since;
            at = found->second->parent;
        }
        if (young) out.insert(pid);
    }
    return out;
}

}  // namespace

// The pid may have been given to another process since the walk: hold it, look again, then signal.
bool signal_same(ProcessEntry const& entry, int signal) {
    UniqueFd const held(static_cast<int>(::syscall(SYS_pidfd_open, entry.pid, 0)));
    auto const now = parse_stat(read_small("/proc/" + std::to_string(entry.pid) + "/stat", 4096));
    if (now.pid != entry.pid || now.started != entry.started) return false;
    if (held && ::syscall(SYS_pidfd_send_signal, held.get(), signal, nullptr, 0) == 0) return true;
    return ::kill(entry.pid, signal) == 0;
}

std::uint64_t ticks_now() noexcept {
    timespec now{};
    ::clock_gettime(CLOCK_BOOTTIME, &now);
    auto const per_second = static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK));
    return static_cast<std::uint64_t>(now.tv_sec) * per_second +
           static_cast<std::uint64_t>(now.tv_nsec) * per_second / 1'000'000'000;
}

ProcessEntry parse_stat(std::string_view line) {
    ProcessEntry out;
    auto const name_end = line.rfind(')');
    if (name_end == std::string_view::npos || name_end + 2 >= line.size()) return {};
    std::string_view front = line;
    if (!next_number(front, out.pid)) return {};
    line.remove_prefix(name_end + 2);
    out.state = line.front();
    line.remove_prefix(1);
    if (!next_number(line, out.parent) || !next_number(line, out.group) || !next_number(line, out.session))
        return {};
    long long skipped = 0;
    for (int field = 7; field <= 21; ++field)
        if (!next_number(line, skipped)) return {};
    if (!next_number(line, out.started)) return {};
    return out;
}

std::vector<ProcessEntry> list_processes(std::string const& proc) {
    std::vector<ProcessEntry> out;
    DIR* listing = ::opendir(proc.c_str());
    if (listing == nullptr) return out;
    while (dirent const* entry = ::readdir(listing)) {
        if (entry->d_name[0] < '1' || entry->d_name[0] > '9') continue;
        auto const found = parse_stat(read_small(proc + "/" + entry->d_name + "/stat", 4096));
        if (found.pid > 0) out.push_back(found);
    }
    ::closedir(listing);
    return out;
}

std::vector<ProcessEntry> find_tree(TreeQuery const& query, std::string const& proc) {
    auto const all = list_processes(proc);
    std::set<pid_t> members;
    if (query.leader > 0) members.insert(query.leader);
    pid_t const self = ::getpid();
    for (auto const& p : all) {
        bool const by_number = query.leader > 0 && (p.group == query.leader || p.session == query.leader);
        if (p.pid != self && (by_number || (!query.marker.empty() && has_marker(proc, p.pid, query.marker))))
            members.insert(p.pid);
    }
    for (bool grew = true; grew;) {
        grew = false;
        for (auto const& p : all)
            if (p.pid != self && members.contains(p.parent) && members.insert(p.pid).second) grew = true;
    }
    if (query.since > 0) members = younger(all, members, query);
    std::vector<ProcessEntry> out;
    for (auto const& p : all)
        if (members.contains(p.pid) && p.state != 'Z' && p.state != 'X') out.push_back(p);
    return out;
}

std::size_t signal_tree(TreeQuery const& query, int signal, int rounds) {
    std::size_t hit = 0;
    for (int round = 0; round < rounds; ++round) {
        hit = 0;
        for (auto const& entry : find_tree(query)) hit += signal_same(entry, signal) ? 1 : 0;
        if (hit == 0) break;
        if (round + 1 < rounds) ::usleep(1000);  // the killed need a moment to be gone; we are on the pool
    }
    return hit;
}

}  // namespace execd::shell
