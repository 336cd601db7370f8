#include "shell/spawn_spec.hpp"

#include <algorithm>
#include <string_view>

namespace execd::shell {

std::string_view to_string(Step step) noexcept {
    switch (step) {
        case Step::none: return "none";
        case Step::prepare: return "prepare";
        case Step::clone: return "clone";
        case Step::group: return "setpgid";
        case Step::cgroup: return "cgroup";
        case Step::fds: return "dup";
        case Step::terminal: return "terminal";
        case Step::limits: return "limits";
        case Step::identity: return "setuid";
        case Step::cwd: return "chdir";
        case Step::privileges: return "no_new_privs";
        case Step::exec: return "exec";
    }
    return "none";
}

Error SpawnFailure::to_error() const { return fail_errno(to_string(step), error).value(); }

std::vector<std::string> exec_candidates(std::string const& program, std::vector<std::string> const& env) {
    if (program.empty() || program.find('/') != std::string::npos) return {program};
    std::string_view path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    for (auto const& entry : env)
        if (entry.starts_with("PATH=")) path = std::string_view(entry).substr(5);
    std::vector<std::string> out;
    while (true) {
        auto const colon = std::min(path.find(':'), path.size());
        std::string candidate;
        candidate.reserve(colon + program.size() + 2);
        candidate.append(path.data(), colon);
        if (candidate.empty()) candidate += '.';  // POSIX: an empty entry is the working directory
        candidate += '/';
        candidate += program;
        out.push_back(std::move(candidate));
        if (colon == path.size()) break;
        path.remove_prefix(colon + 1);
    }
    return out;
}

}  // namespace execd::shell
