// Plain groups: for killing alone, in the hierarchy that can, for every execution without limits. Making and
// removing one costs 50 us and, when the kernel is busy with others, milliseconds; one that is empty again is
// as good as new, so they go round.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <mutex>

#include "shell/cgroup.hpp"
#include "shell/cgroup_files.hpp"
#include "shell/clone_child.hpp"

namespace execd::shell {

using namespace cgroup_files;

namespace {
constexpr std::size_t kMostReady = 64;
constexpr int kMostTries = 10'000;
}  // namespace

struct Cgroup::Ready {
    explicit Ready(std::string where) : base(std::move(where)) {}
    std::string const base;
    std::atomic<std::uint64_t> made{0};
    std::mutex mutex;
    std::vector<std::string> paths;
};

bool Cgroup::populated() const {
    auto const* v2 = directory("");
    if (v2 == nullptr) return !members().empty();
    return read_file(*v2 + "/cgroup.events").find("populated 0") == std::string::npos;
}

/// An empty one is ready for the next execution. False: it must be removed.
bool Cgroup::go_back() {
    auto const ready = ready_.lock();
    if (killed_ || !ready || places_.empty() || populated()) return false;
    // A program may have made groups of its own below it.
    struct stat st {};
    if (::stat(places_.front().path.c_str(), &st) != 0 || st.st_nlink > 2) return false;
    std::lock_guard const lock(ready->mutex);
    if (ready->paths.size() >= kMostReady) return false;
    ready->paths.push_back(std::move(places_.front().path));
    return true;
}

std::pair<std::shared_ptr<Cgroup>, UniqueFd> Cgroups::plain_at(std::string path) const {
    UniqueFd directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!directory) return {};
    std::shared_ptr<Cgroup> group(new Cgroup());
    group->plain_ = true;
    group->ready_ = ready_;
    group->places_.push_back({"", std::move(path)});
    return {std::move(group), std::move(directory)};
}

std::pair<std::shared_ptr<Cgroup>, UniqueFd> Cgroups::take_plain() const {
    if (!ready_) return {};
    while (true) {
        std::string path;
        {
            std::lock_guard const lock(ready_->mutex);
            if (ready_->paths.empty()) return {};
            path = std::move(ready_->paths.back());
            ready_->paths.pop_back();
        }
        auto taken = plain_at(std::move(path));
        if (taken.first) return taken;  // else somebody has removed it
    }
}

std::pair<std::shared_ptr<Cgroup>, UniqueFd> Cgroups::create_plain() const {
    if (!ready_) return {};
    leftovers().remove_some(16);
    // What is there already may hold what a daemon of our number left running.
    for (int i = 0; i < kMostTries; ++i) {
        std::string path = ready_->base + "/p" + std::to_string(++ready_->made);
        if (::mkdir(path.c_str(), 0755) == 0) return plain_at(std::move(path));
        if (errno != EEXIST) break;
    }
    return {};
}

void Cgroups::prepare_plain() {
    if (!can_kill_) return;
    for (auto const& hierarchy : hierarchies_)
        if (hierarchy.controllers.empty()) ready_ = std::make_shared<Cgroup::Ready>(hierarchy.base);
    // Old kernels and seccomp profiles make no child in a group; moving it there takes milliseconds.
    auto const first = create_plain();
    if (!first.first || !clones_into(first.second.get())) ready_.reset();
}

}  // namespace execd::shell
