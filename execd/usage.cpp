#include "execd/usage.hpp"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "base/unique_fd.hpp"
#include "shell/cgroup.hpp"

namespace execd {

namespace {

std::optional<std::string> text_of(std::string const& path) {
    UniqueFd const fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd) return std::nullopt;
    std::string text;
    char buffer[8192];
    ssize_t n = 0;
    while ((n = ::read(fd.get(), buffer, sizeof buffer)) > 0)
        text.append(buffer, static_cast<std::size_t>(n));
    return text;
}

/// The first number of a text; nothing for "max" and negative ones ("-1" is v1's unlimited).
std::optional<std::uint64_t> number_of(std::string_view text) {
    std::uint64_t value = 0;
    auto const [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (ec != std::errc()) return std::nullopt;
    return value;
}

std::optional<std::uint64_t> number_in(std::string const& path) {
    auto const text = text_of(path);
    return text ? number_of(*text) : std::nullopt;
}

double affinity() {
    cpu_set_t set;
    CPU_ZERO(&set);
    if (::sched_getaffinity(0, sizeof set, &set) != 0) return 1;
    return std::max(1, CPU_COUNT(&set));
}

/// `path` and its parents up to and with `top`.
std::vector<std::string> upwards(std::string path, std::string const& top) {
    std::vector<std::string> out;
    while (path.size() >= top.size()) {
        out.push_back(path);
        auto const slash = path.rfind('/');
        if (slash == std::string::npos || path == top) break;
        path.resize(slash);
    }
    return out;
}

/// Our group's directory: where the mount shows a part of the hierarchy only, the mount itself.
std::string directory_of(shell::CgroupMount const& mount, std::string_view own) {
    if (mount.root != "/" && own.starts_with(mount.root)) own.remove_prefix(mount.root.size());
    if (own == "/" || own.empty()) return mount.path;
    std::string path = mount.path;
    if (!own.starts_with('/')) path += '/';
    path += own;
    return ::access(path.c_str(), F_OK) == 0 ? path : mount.path;
}

}  // namespace

UsageSource::UsageSource(UsageFiles files) : files_(std::move(files)) { find_groups(); }

void UsageSource::find_groups() {
    auto const mountinfo = text_of(files_.root + files_.cgroup_mounts);
    auto const self = text_of(files_.root + files_.cgroup_self);
    if (!mountinfo || !self) return;
    for (auto mount : shell::parse_cgroup_mounts(*mountinfo)) {
        bool const v2 = mount.controllers.empty();
        mount.path = files_.root + mount.path;
        auto const has = [&mount](std::string_view name) {
            return std::find(mount.controllers.begin(), mount.controllers.end(), name) !=
                   mount.controllers.end();
        };
        std::string_view const controller = v2 ? "" : std::string_view(mount.controllers.front());
        auto const own = shell::own_cgroup(*self, controller);
        if (!own) continue;
        auto const groups = upwards(directory_of(mount, *own), mount.path);
        for (auto const& path : groups) {
            auto const exists = [&path](char const* name) {
                return ::access((path + name).c_str(), R_OK) == 0;
            };
            if (v2 ? exists("/memory.current") : has("memory") && exists("/memory.usage_in_bytes"))
                memory_.push_back({path, v2});
            if (v2 ? exists("/cpu.max") : has("cpu") && exists("/cpu.cfs_quota_us"))
                quota_.push_back({path, v2});
            // The outermost that counts: commands may run beside our own group.
            if (v2 ? exists("/cpu.stat") && exists("/cgroup.type")
                   : has("cpuacct") && exists("/cpuacct.usage"))
                account_ = Group{path, v2};
        }
    }
}

double UsageSource::cpus() const {
    double out = affinity();
    for (auto const& group : quota_) {
        double quota = 0;
        double period = 100'000;
        if (group.v2) {
            auto const text = text_of(group.path + "/cpu.max").value_or("max");
            auto const limit = number_of(text);
            if (!limit) continue;
            quota = static_cast<double>(*limit);
            if (auto const space = text.find(' '); space != std::string::npos)
                period = static_cast<double>(
                    number_of(std::string_view(text).substr(space + 1)).value_or(100'000));
        } else {
            auto const limit = number_in(group.path + "/cpu.cfs_quota_us");
            if (!limit) continue;
            quota = static_cast<double>(*limit);
            period = static_cast<double>(number_in(group.path + "/cpu.cfs_period_us").value_or(100'000));
        }
        if (quota > 0 && period > 0) out = std::min(out, quota / period);
    }
    return out;
}

std::uint64_t UsageSource::cpu_ns() const {
    if (account_ && account_->v2) {
        auto const text = text_of(account_->path + "/cpu.stat").value_or("");
        return shell::flat_value(text, "usage_usec") * 1000;
    }
    if (account_)
        if (auto const used = number_in(account_->path + "/cpuacct.usage")) return *used;
    // "cpu  user nice system idle iowait irq softirq steal ..." in ticks
    auto const text = text_of(files_.root + files_.proc + "/stat").value_or("");
    std::uint64_t busy = 0;
    std::string_view line = std::string_view(text).substr(0, text.find('\n'));
    for (int field = 0; !line.empty() && field <= 8; ++field) {
        auto const end = std::min(line.find(' '), line.size());
        // Not idle (4) and not waiting for a disk (5).
        if (field > 0 && field != 4 && field != 5) busy += number_of(line.substr(0, end)).value_or(0);
        line.remove_prefix(end);
        while (line.starts_with(' ')) line.remove_prefix(1);
    }
    return busy * (1'000'000'000ULL / static_cast<std::uint64_t>(std::max(1L, ::sysconf(_SC_CLK_TCK))));
}

void UsageSource::memory(UsageLook& look) const {
    auto const info = text_of(files_.root + files_.proc + "/meminfo").value_or("");
    auto const machine = meminfo_bytes(info, "MemTotal");
    auto const idle = meminfo_bytes(info, "MemFree") + meminfo_bytes(info, "Buffers") +
                      meminfo_bytes(info, "Cached") + meminfo_bytes(info, "SReclaimable");
    look.memory_total = machine;
    look.memory_used = machine > idle ? machine - idle : 0;
    Group const* counted = nullptr;
    for (auto const& group : memory_) {
        auto const limit = number_in(group.path + (group.v2 ? "/memory.max" : "/memory.limit_in_bytes"));
        bool const limits = limit && *limit < look.memory_total;
        if (limits) look.memory_total = *limit;
        if (limits || counted == nullptr) counted = &group;
    }
    if (counted == nullptr) return;
    auto const used = number_in(counted->path + (counted->v2 ? "/memory.current" : "/memory.usage_in_bytes"));
    if (!used) return;
    auto const stat = text_of(counted->path + "/memory.stat").value_or("");
    auto const cache = shell::flat_value(stat, counted->v2 ? "inactive_file" : "total_inactive_file");
    look.memory_used = *used > cache ? *used - cache : 0;
}

UsageLook UsageSource::look() const {
    UsageLook out;
    out.at = std::chrono::steady_clock::now();
    out.cpus = cpus();
    out.cpu_ns = cpu_ns();
    memory(out);
    return out;
}

Usage usage_between(UsageLook const& before, UsageLook const& now) {
    Usage out;
    out.cpus = now.cpus;
    out.memory_total = now.memory_total;
    out.memory_used = std::min(now.memory_used, now.memory_total);
    auto const wall = std::chrono::duration_cast<std::chrono::nanoseconds>(now.at - before.at).count();
    if (wall > 0 && now.cpu_ns >= before.cpu_ns)
        out.cpu_percent = std::clamp(
            100.0 * static_cast<double>(now.cpu_ns - before.cpu_ns) / (static_cast<double>(wall) * now.cpus),
            0.0, 100.0);
    return out;
}

std::uint64_t meminfo_bytes(std::string_view text, std::string_view name) {
    std::string const key = std::string(name) + ":";
    auto at = text.starts_with(key) ? 0 : text.find("\n" + key);
    if (at == std::string_view::npos) return 0;
    at += key.size() + (at == 0 ? 0 : 1);
    while (at < text.size() && text[at] == ' ') ++at;
    return number_of(text.substr(at)).value_or(0) * 1024;
}

}  // namespace execd
