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
    ~Ready();
    Ready(Ready const&) = delete;
    Ready& operator=(Ready const&) = delete;
    static std::shared_ptr<Cgroup> make(std::shared_ptr<Ready> const& where, std::string path);
    std::string const base;
    std::atomic<std::uint64_t> made{0};
    std::mutex mutex;
    std::vector<std::string> paths;
};

bool Cgroup::populated() const {
    auto const* v2 = directory("");
    if (v2 == nullptr) return !members().empty();
    // Asked at every end.
    UniqueFd const file(::open((*v2 + "/cgroup.events").c_str(), O_RDONLY | O_CLOEXEC));
    char text[256];
    ssize_t const n = file ? ::read(file.get(), text, sizeof text) : -1;
    std::string_view const said(text, n > 0 ? static_cast<std::size_t>(n) : 0);
    return said.find("populated 0") == std::string_view::npos;
}

bool Cgroup::unused() {
    unused_ = !populated();
    return unused_;
}

/// An empty one is ready for the next execution. False: it must be removed.
bool Cgroup::go_back() {
    auto const ready = ready_.lock();
    if (killed_ || !ready || places_.empty() || (!unused_ && populated())) return false;
    // A program may have made groups of its own below it.
    struct stat st {};
    if (::stat(places_.front().path.c_str(), &st) != 0 || st.st_nlink > 2) return false;
    std::lock_guard const lock(ready->mutex);
    if (ready->paths.size() >= kMostReady) return false;
    ready->paths.push_back(std::move(places_.front().path));
    return true;
}

namespace {
UniqueFd directory_at(std::string const& path) {
    return UniqueFd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}
}  // namespace

Cgroup::Ready::~Ready() {
    for (auto& path : paths) leftovers().add(std::move(path));
}

std::shared_ptr<Cgroup> Cgroup::Ready::make(std::shared_ptr<Ready> const& where, std::string path) {
    std::shared_ptr<Cgroup> group(new Cgroup());
    group->plain_ = true;
    group->ready_ = where;
    group->places_.push_back({"", std::move(path)});
    return group;
}

Cgroups::Plain Cgroups::take_plain(std::shared_ptr<Cgroup::Ready> const& where) {
    while (where) {
        std::string path;
        {
            std::lock_guard const lock(where->mutex);
            if (where->paths.empty()) return {};
            path = std::move(where->paths.back());
            where->paths.pop_back();
        }
        // Else somebody has removed it.
        if (auto directory = directory_at(path))
            return {Cgroup::Ready::make(where, std::move(path)), std::move(directory)};
    }
    return {};
}

Cgroups::Plain Cgroups::create_plain(std::shared_ptr<Cgroup::Ready> const& where) {
    if (!where) return {};
    leftovers().remove_some(16);
    // What is there already may hold what a daemon of our number left running.
    for (int i = 0; i < kMostTries; ++i) {
        std::string path = where->base + "/p" + std::to_string(++where->made);
        if (::mkdir(path.c_str(), 0755) == 0) {
            auto directory = directory_at(path);
            if (!directory) return {};
            return {Cgroup::Ready::make(where, std::move(path)), std::move(directory)};
        }
        if (errno != EEXIST) break;
    }
    return {};
}

std::shared_ptr<Cgroup::Ready> Cgroups::plain_below(Cgroup const& parent) const {
    auto const* v2 = parent.directory("");
    return ready_ && v2 != nullptr ? std::make_shared<Cgroup::Ready>(*v2) : nullptr;
}

void Cgroups::prepare_plain() {
    if (!can_kill_) return;
    for (auto const& hierarchy : hierarchies_)
        if (hierarchy.controllers.empty()) ready_ = std::make_shared<Cgroup::Ready>(hierarchy.base);
    // Old kernels and seccomp profiles make no child in a group; moving it there takes milliseconds.
    auto const first = create_plain(ready_);
    if (!first.first || !clones_into(first.second.get())) ready_.reset();
}

}  // namespace execd::shell
