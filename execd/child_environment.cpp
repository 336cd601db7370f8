#include "execd/child_environment.hpp"

#include <fcntl.h>
#include <unistd.h>

#include "base/log.hpp"
#include "base/unique_fd.hpp"
#include "execd/runtime_init.hpp"

namespace execd {

namespace {
constexpr std::size_t kMaxFile = 1U << 20;

bool same(struct stat const& a, struct stat const& b) {
    return a.st_ino == b.st_ino && a.st_dev == b.st_dev && a.st_size == b.st_size &&
           a.st_mtim.tv_sec == b.st_mtim.tv_sec && a.st_mtim.tv_nsec == b.st_mtim.tv_nsec &&
           a.st_ctim.tv_sec == b.st_ctim.tv_sec && a.st_ctim.tv_nsec == b.st_ctim.tv_nsec;
}
// Whoever may write this file may set LD_PRELOAD for every command: only its owner (us, or root) and nobody
// else, and never through a link that somebody left in a shared /tmp.
bool trusted(struct stat const& st) {
    return S_ISREG(st.st_mode) && (st.st_uid == ::geteuid() || st.st_uid == 0) &&
           (st.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

}  // namespace

ChildEnvironment::ChildEnvironment(std::string envs_file, unsigned short port)
    : path_(std::move(envs_file)), daemon_(shell::Environment::of_daemon()) {
    if (!path_.empty()) daemon_.set("EXECD_ENVS", path_);
    if (port != 0) daemon_.set("JUPYTER_PORT", std::to_string(port));
}

shell::Environment ChildEnvironment::make() {
    reload();
    shell::Environment out = daemon_;
    out.overlay(runtime_init().env);  // whose container it is comes before what was set in it since
    out.overlay(file_.entries);
    return out;
}

// A small local file, looked at with one stat: not worth a thread hop for every command.
void ChildEnvironment::reload() {
    struct stat now {};
    if (path_.empty() || ::lstat(path_.c_str(), &now) != 0 || !trusted(now)) {
        if (!path_.empty() && now.st_ino != 0 && now.st_ino != seen_.st_ino) {
            log::warn("envs_file.refused",
                      {{"why", "it must be a plain file of ours that nobody else may write"}});
            seen_ = now;
        }
        file_ = {};
        have_ = false;
        return;
    }
    if (have_ && same(now, seen_)) return;
    std::string text;
    UniqueFd const fd(::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW));
    char buffer[16384];
    ssize_t n = 0;
    while (fd && text.size() < kMaxFile && (n = ::read(fd.get(), buffer, sizeof buffer)) > 0)
        text.append(buffer, static_cast<std::size_t>(n));
    file_ = shell::parse_env_file(text, daemon_);
    if (!file_.skipped.empty())
        log::warn("envs_file.skipped",
                  {{"first_line", file_.skipped.front()}, {"count", file_.skipped.size()}});
    seen_ = now;
    have_ = true;
}

}  // namespace execd
