#include "shell/process_forest.hpp"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>

#include "base/unique_fd.hpp"

namespace execd::shell {

namespace {

constexpr std::size_t kLargestEnvironment = 4 << 20;

std::string environment_of(std::string const& proc, pid_t pid) {
    UniqueFd const fd(::open((proc + "/" + std::to_string(pid) + "/environ").c_str(), O_RDONLY | O_CLOEXEC));
    std::string out;
    char buffer[16384];
    while (fd && out.size() < kLargestEnvironment) {
        ssize_t const n = ::read(fd.get(), buffer, sizeof buffer);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) break;
        out.append(buffer, static_cast<std::size_t>(n));
    }
    return out;
}

/// How far below the first of its line that is in the forest.
std::size_t depth_of(ProcessEntry const& entry, std::map<pid_t, ProcessEntry const*> const& members) {
    std::size_t depth = 0;
    for (auto at = members.find(entry.parent); at != members.end() && depth < 1000; ++depth)
        at = members.find(at->second->parent);
    return depth;
}

bool is_stopped(ProcessEntry const& entry) { return entry.state == 'T' || entry.state == 't'; }

}  // namespace

bool belongs(ForestQuery const& query, std::string_view environ) {
    static constexpr std::string_view kExecution = "EXECD_EXECUTION=";
    static constexpr std::string_view kOwner = "EXECD_OWNER=";
    while (!environ.empty()) {
        std::size_t const end = std::min(environ.find('\0'), environ.size());
        std::string_view const entry = environ.substr(0, end);
        environ.remove_prefix(std::min(end + 1, environ.size()));
        if (entry.starts_with(kExecution) &&
            query.executions.contains(std::string(entry.substr(kExecution.size()))))
            return true;
        if (!query.owner.empty() && entry.starts_with(kOwner) && entry.substr(kOwner.size()) == query.owner)
            return true;
    }
    return false;
}

std::vector<ProcessEntry> find_forest(ForestQuery const& query, std::string const& proc) {
    auto const all = list_processes(proc);
    std::map<pid_t, ProcessEntry const*> members;
    pid_t const self = ::getpid();
    for (auto const& entry : all) {
        if (entry.pid == self) continue;
        bool const ours = query.leaders.contains(entry.pid) || query.leaders.contains(entry.group) ||
                          query.leaders.contains(entry.session) ||
                          belongs(query, environment_of(proc, entry.pid));
        if (ours) members.emplace(entry.pid, &entry);
    }
    for (bool grew = true; grew;) {
        grew = false;
        for (auto const& entry : all)
            if (entry.pid != self && members.contains(entry.parent) &&
                members.emplace(entry.pid, &entry).second)
                grew = true;
    }
    std::vector<std::pair<std::size_t, ProcessEntry>> ordered;
    for (auto const& [pid, entry] : members)
        if (entry->state != 'Z' && entry->state != 'X')
            ordered.emplace_back(depth_of(*entry, members), *entry);
    std::stable_sort(ordered.begin(), ordered.end(),
                     [](auto const& a, auto const& b) { return a.first < b.first; });
    std::vector<ProcessEntry> out;
    for (auto& [depth, entry] : ordered) out.push_back(entry);
    return out;
}

std::vector<ProcessEntry> stop_forest(ForestQuery const& query, int rounds) {
    std::vector<ProcessEntry> out;
    for (int round = 0; round < rounds; ++round) {
        std::size_t running = 0;
        for (auto const& entry : find_forest(query)) {
            if (is_stopped(entry) || !signal_same(entry, SIGSTOP)) continue;
            ++running;
            bool const known = std::any_of(out.begin(), out.end(), [&entry](auto const& one) {
                return one.pid == entry.pid && one.started == entry.started;
            });
            if (!known) out.push_back(entry);
        }
        if (running == 0) break;
        ::usleep(1000);  // they stop at their next instruction in user space; we are on the pool
    }
    return out;
}

void continue_forest(std::vector<ProcessEntry> const& stopped) {
    for (auto entry = stopped.rbegin(); entry != stopped.rend(); ++entry) signal_same(*entry, SIGCONT);
}

void kill_forest(ForestQuery const& query, int rounds) {
    for (int round = 0; round < rounds; ++round) {
        auto const found = find_forest(query);
        for (auto const& entry : found) signal_same(entry, SIGKILL);
        if (found.empty()) return;
        ::usleep(1000);
    }
}

}  // namespace execd::shell
