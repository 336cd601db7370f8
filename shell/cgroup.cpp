#include "shell/cgroup.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>

#include "shell/cgroup_files.hpp"

namespace execd::shell {

using namespace cgroup_files;

namespace {

constexpr std::string_view kLeaf = "/execd-daemon";

/// A group's directory with those below it; false while processes are in any of them.
bool remove_groups(std::string const& path) {
    if (DIR* listing = ::opendir(path.c_str())) {
        std::vector<std::string> below;
        while (dirent const* entry = ::readdir(listing))
            if (entry->d_type == DT_DIR && entry->d_name[0] != '.') below.emplace_back(entry->d_name);
        ::closedir(listing);
        for (auto const& name : below) remove_groups(path + "/" + name);
    }
    return ::rmdir(path.c_str()) == 0;
}

/// "execd-4026531836-": with our pid namespace, or daemons in containers that see one cgroup tree would take
/// each other for dead.
std::string base_prefix() {
    char name[64];
    ssize_t const n = ::readlink("/proc/self/ns/pid", name, sizeof name);
    std::string out = "execd-";
    for (ssize_t i = 0; i < n; ++i)
        if (name[i] >= '0' && name[i] <= '9') out += name[i];
    return out + "-";
}

/// What daemons left behind that were killed.
void remove_stale(std::string const& own) {
    DIR* listing = ::opendir(own.c_str());
    if (listing == nullptr) return;
    std::string const prefix = base_prefix();
    std::vector<std::string> stale;
    while (dirent const* entry = ::readdir(listing)) {
        std::string_view const name = entry->d_name;
        pid_t pid = 0;
        if (!name.starts_with(prefix)) continue;
        auto const [end, ec] = std::from_chars(name.data() + prefix.size(), name.data() + name.size(), pid);
        bool const number = ec == std::errc() && end == name.data() + name.size() && pid > 0;
        if (number && ::kill(pid, 0) != 0 && errno == ESRCH) stale.push_back(own + "/" + std::string(name));
    }
    ::closedir(listing);
    for (auto const& path : stale) remove_groups(path);
}

}  // namespace

// ---- one group

Cgroup::~Cgroup() {
    procs_.clear();
    also_.clear();
    spawn_dir_.reset();
    if (plain_ && go_back()) return;
    for (auto& place : places_) leftovers().add(std::move(place.path));
}

namespace {
std::vector<int> numbers(std::vector<UniqueFd> const& files) {
    std::vector<int> out;
    for (auto const& fd : files) out.push_back(fd.get());
    return out;
}
}  // namespace

std::vector<int> Cgroup::spawn_procs() const { return numbers(procs_); }
std::vector<int> Cgroup::spawn_also() const { return numbers(also_); }

std::string const* Cgroup::directory(std::string_view controller) const {
    for (auto const& place : places_)
        if (place.controller == controller) return &place.path;
    return nullptr;
}

bool Cgroup::kill() {
    if (auto const* v2 = directory("")) {
        killed_ = true;
        if (write_file(*v2 + "/cgroup.kill", "1")) return true;
    }
    return false;
}

bool Cgroup::freeze(bool frozen) {
    if (auto const* v2 = directory("")) {
        if (write_file(*v2 + "/cgroup.freeze", frozen ? "1" : "0")) return true;
    }
    auto const* v1 = directory("freezer");
    return v1 != nullptr && write_file(*v1 + "/freezer.state", frozen ? "FROZEN" : "THAWED");
}

namespace {
/// A v2 group's cgroup.events says `key value`: the kernel wakes who polls the file at each change.
bool wait_for_event(std::string const& directory, std::string_view key, std::uint64_t value,
                    int milliseconds) {
    auto const until = std::chrono::steady_clock::now() + std::chrono::milliseconds(milliseconds);
    UniqueFd const fd(::open((directory + "/cgroup.events").c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd) return false;
    while (true) {
        char text[256];
        ssize_t const n = ::pread(fd.get(), text, sizeof text, 0);
        std::string_view const said(text, n > 0 ? static_cast<std::size_t>(n) : 0);
        if (said.find(key) == std::string_view::npos) return false;
        if (flat_value(said, key) == value) return true;
        auto const left =
            std::chrono::duration_cast<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
        if (left.count() <= 0) return false;
        pollfd wait{fd.get(), POLLPRI, 0};
        if (::poll(&wait, 1, static_cast<int>(left.count())) < 0 && errno != EINTR) return false;
    }
}
}  // namespace

bool Cgroup::wait_frozen(int milliseconds) const {
    auto const* v1 = directory("freezer");
    if (auto const* v2 = directory("")) {
        if (wait_for_event(*v2, "frozen", 1, milliseconds)) return true;
        if (v1 == nullptr) return false;
    }
    // v1 tells nobody, and wants to be told again about who forked meanwhile.
    for (int i = 0; v1 != nullptr && i < milliseconds; ++i) {
        if (read_file(*v1 + "/freezer.state").starts_with("FROZEN")) return true;
        write_file(*v1 + "/freezer.state", "FROZEN");
        ::usleep(1000);
    }
    return false;
}

bool Cgroup::wait_empty(int milliseconds) const {
    auto const* v2 = directory("");
    return v2 != nullptr && wait_for_event(*v2, "populated", 0, milliseconds);
}

bool Cgroup::counts_memory() const {
    if (plain_) return false;  // also of those who were in it before
    if (directory("memory") != nullptr) return true;
    auto const* v2 = directory("");
    return v2 != nullptr && ::access((*v2 + "/memory.events").c_str(), R_OK) == 0;
}

std::uint64_t Cgroup::oom_kills() const {
    if (auto const* v1 = directory("memory"))
        return flat_value(read_file(*v1 + "/memory.oom_control"), "oom_kill");
    if (auto const* v2 = directory("")) return flat_value(read_file(*v2 + "/memory.events"), "oom_kill");
    return 0;
}

std::optional<std::uint64_t> Cgroup::peak_memory() const {
    if (plain_) return std::nullopt;  // also of those who were in it before
    if (auto const* v1 = directory("memory")) return read_number(*v1 + "/memory.max_usage_in_bytes");
    if (auto const* v2 = directory("")) return read_number(*v2 + "/memory.peak");
    return std::nullopt;
}

std::optional<std::uint64_t> Cgroup::current_pids() const {
    if (auto const* v1 = directory("pids")) return read_number(*v1 + "/pids.current");
    if (auto const* v2 = directory("")) return read_number(*v2 + "/pids.current");
    return std::nullopt;
}

std::vector<pid_t> Cgroup::members() const {
    std::vector<pid_t> out;
    if (places_.empty()) return out;
    std::string const text = read_file(places_.front().path + "/cgroup.procs");
    char const* at = text.data();
    char const* const end = at + text.size();
    while (at < end) {
        pid_t pid = 0;
        auto const [next, ec] = std::from_chars(at, end, pid);
        if (ec != std::errc()) break;
        out.push_back(pid);
        at = next + 1;
    }
    return out;
}

// ---- all groups

std::shared_ptr<Cgroups> Cgroups::detect() { return detect(Options()); }

std::shared_ptr<Cgroups> Cgroups::detect(Options const& options) {
    std::shared_ptr<Cgroups> out(new Cgroups());
    out->look(options);
    return out;
}

Cgroups::~Cgroups() {
    ready_.reset();
    leftovers().remove_some(leftovers().size());
    for (auto const& hierarchy : hierarchies_) remove_groups(hierarchy.base);
}

std::string_view Cgroups::kind() const {
    bool v1 = false;
    bool v2 = false;
    for (auto const& hierarchy : hierarchies_) (hierarchy.controllers.empty() ? v2 : v1) = true;
    if (v1 && v2) return "hybrid";
    if (v1) return "v1";
    return v2 ? "v2" : "none";
}

void Cgroups::look(Options const& options) {
    std::string const self = read_file(options.self);
    for (auto const& mount : parse_cgroup_mounts(read_file(options.mountinfo))) {
        bool const v2 = mount.controllers.empty();
        bool wanted = v2;
        for (auto const& name : mount.controllers)
            wanted = wanted || name == "memory" || name == "pids" || name == "cpu" || name == "freezer";
        auto path = own_cgroup(self, v2 ? std::string_view() : std::string_view(mount.controllers.front()));
        if (!wanted || !path) continue;
        // A mount of a part of the tree shows that part as its root.
        if (mount.root != "/" && path->starts_with(mount.root)) path->erase(0, mount.root.size());
        Hierarchy hierarchy{mount.controllers, {}, mount.path + (*path == "/" ? "" : *path)};
        // Also where no group may be made: the container's counter tells an out-of-memory kill.
        auto const controls = [&mount](char const* name) {
            return std::find(mount.controllers.begin(), mount.controllers.end(), name) !=
                   mount.controllers.end();
        };
        std::string const counter = hierarchy.own + (v2 ? "/memory.events" : "/memory.oom_control");
        if ((controls("memory") || (v2 && oom_path_.empty())) && ::access(counter.c_str(), R_OK) == 0) {
            oom_path_ = counter;
            oom_key_ = "oom_kill";
        }
        // The leaf of a daemon before us (prepare_v2): groups of ours go beside it, not into it.
        if (v2 && hierarchy.own.ends_with(kLeaf)) hierarchy.own.resize(hierarchy.own.size() - kLeaf.size());
        remove_stale(hierarchy.own);
        hierarchy.base = hierarchy.own + "/" + base_prefix() + std::to_string(::getpid());
        struct stat st {};
        bool const made = ::mkdir(hierarchy.base.c_str(), 0755) == 0 || errno == EEXIST;
        if (!made || ::stat(hierarchy.base.c_str(), &st) != 0 || !S_ISDIR(st.st_mode)) continue;
        if (v2) prepare_v2(hierarchy, options.may_move_self);
        for (auto const& name : mount.controllers)
            if (name != "freezer" && (name == "memory" || name == "pids" || name == "cpu"))
                controllers_.push_back(name);
        hierarchies_.push_back(std::move(hierarchy));
    }
    if (!oom_path_.empty()) oom_file_.reset(::open(oom_path_.c_str(), O_RDONLY | O_CLOEXEC));
    prepare_plain();
}

void Cgroups::prepare_v2(Hierarchy& v2, bool may_move_self) {
    can_kill_ = ::access((v2.base + "/cgroup.kill").c_str(), W_OK) == 0;
    std::string offered = " " + read_file(v2.own + "/cgroup.controllers") + " ";
    std::replace(offered.begin(), offered.end(), '\n', ' ');
    for (std::string const name : {"memory", "pids", "cpu"}) {
        if (offered.find(" " + name + " ") == std::string::npos) continue;
        bool enabled = write_file(v2.own + "/cgroup.subtree_control", "+" + name);
        if (!enabled && may_move_self && errno == EBUSY) {
            // "No internal processes": step aside into a leaf of our own, with whoever shares our group.
            std::string const leaf = v2.own + std::string(kLeaf);
            ::mkdir(leaf.c_str(), 0755);
            std::string const text = read_file(v2.own + "/cgroup.procs");
            for (std::size_t from = 0; from < text.size();) {
                auto const to = std::min(text.find('\n', from), text.size());
                write_file(leaf + "/cgroup.procs", text.substr(from, to - from));
                from = to + 1;
            }
            enabled = write_file(v2.own + "/cgroup.subtree_control", "+" + name);
        }
        if (!enabled || !write_file(v2.base + "/cgroup.subtree_control", "+" + name)) continue;
        controllers_.push_back(name);
        v2_limits_ = true;
    }
}

std::uint64_t Cgroups::own_oom_kills() const {
    char text[1024];
    ssize_t const n = oom_file_ ? ::pread(oom_file_.get(), text, sizeof text, 0) : -1;
    return n <= 0 ? 0 : flat_value({text, static_cast<std::size_t>(n)}, oom_key_);
}

namespace {

/// Writes one limit into a group; false when it is not in force afterwards.
bool limit_memory(std::string const& path, bool v2, std::uint64_t bytes) {
    std::string const text = std::to_string(bytes);
    if (!v2) {
        if (!write_file(path + "/memory.limit_in_bytes", text)) return false;
        write_file(path + "/memory.memsw.limit_in_bytes",
                   text);  // no swap on top; absent without swap accounting
        return true;
    }
    if (!write_file(path + "/memory.max", text)) return false;
    write_file(path + "/memory.swap.max", "0");
    return true;
}

bool limit_cpu(std::string const& path, bool v2, double cores) {
    constexpr long kPeriod = 100'000;  // microseconds
    std::string const quota = std::to_string(std::max<long>(1000, static_cast<long>(cores * kPeriod)));
    if (v2) return write_file(path + "/cpu.max", quota + " " + std::to_string(kPeriod));
    return write_file(path + "/cpu.cfs_period_us", std::to_string(kPeriod)) &&
           write_file(path + "/cpu.cfs_quota_us", quota);
}

}  // namespace

Result<std::shared_ptr<Cgroup>> Cgroups::create(std::string const& name, ResourceLimits const& limits,
                                                std::shared_ptr<Cgroup> parent) const {
    if (hierarchies_.empty()) return fail(Code::unavailable, "cgroup", "no cgroup may be made here");
    leftovers().remove_some(16);
    std::shared_ptr<Cgroup> group(new Cgroup());
    bool memory = !limits.memory;
    bool pids = !limits.pids;
    bool cpu = !limits.cpu;
    for (auto const& hierarchy : hierarchies_) {
        bool const v2 = hierarchy.controllers.empty();
        std::string const first = v2 ? std::string() : hierarchy.controllers.front();
        std::string const* const above = parent ? parent->directory(first) : nullptr;
        std::string path = (above != nullptr ? *above : hierarchy.base) + "/" + name;
        if (v2 && above != nullptr && v2_limits_)
            for (auto const& c : controllers_) write_file(*above + "/cgroup.subtree_control", "+" + c);
        if (::mkdir(path.c_str(), 0755) != 0) continue;
        auto const has = [&](char const* c) {
            return v2 ? v2_limits_
                      : std::find(hierarchy.controllers.begin(), hierarchy.controllers.end(), c) !=
                            hierarchy.controllers.end();
        };
        if (!memory && has("memory")) memory = limit_memory(path, v2, *limits.memory);
        if (!pids && has("pids")) pids = write_file(path + "/pids.max", std::to_string(*limits.pids));
        if (!cpu && has("cpu")) cpu = limit_cpu(path, v2, *limits.cpu);
        // Where children die in the daemon's groups (Cgroups::look), they move in themselves.
        if (v2 && (ready_ || !can_kill_))
            group->spawn_dir_.reset(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        UniqueFd procs(::open((path + "/cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC));
        if (procs) (v2 ? group->procs_ : group->also_).push_back(std::move(procs));
        group->places_.push_back({first, path});
        for (std::size_t i = 1; i < hierarchy.controllers.size(); ++i)  // co-mounted: "cpu,cpuacct"
            group->places_.push_back({hierarchy.controllers[i], path});
    }
    if (group->places_.empty()) return fail_errno("cgroup", errno, name);
    if (!memory) group->not_enforced_.emplace_back("memory");
    if (!pids) group->not_enforced_.emplace_back("pids");
    if (!cpu) group->not_enforced_.emplace_back("cpu");
    group->parent_ = std::move(parent);
    return group;
}

}  // namespace execd::shell
