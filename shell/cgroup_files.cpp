#include "shell/cgroup_files.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>

#include "base/fault.hpp"
#include "base/unique_fd.hpp"
#include "shell/cgroup.hpp"

namespace execd::shell {

namespace cgroup_files {

std::string read_file(std::string const& path) {
    UniqueFd const fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    std::string out;
    char buffer[4096];
    while (fd) {
        ssize_t const n = ::read(fd.get(), buffer, sizeof buffer);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) break;
        out.append(buffer, static_cast<std::size_t>(n));
    }
    return out;
}

bool write_file(std::string const& path, std::string_view text) {
    if (int const e = fault::hit("cgroup.write")) return errno = e, false;
    UniqueFd const fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    if (!fd) return false;
    ssize_t const n = ::write(fd.get(), text.data(), text.size());
    int const error = errno;
    bool const good = n == static_cast<ssize_t>(text.size());
    if (!good) errno = error;
    return good;
}

std::optional<std::uint64_t> read_number(std::string const& path) {
    std::string const text = read_file(path);
    std::uint64_t out = 0;
    auto const [end, ec] = std::from_chars(text.data(), text.data() + text.size(), out);
    if (ec != std::errc()) return std::nullopt;
    return out;
}

std::string group_name(std::string const& id) { return "x-" + id; }

void Leftovers::add(std::string path) {
    std::lock_guard const lock(mutex_);
    paths_.push_back(std::move(path));
    ++new_;
}

void Leftovers::remove_some(std::size_t most) {
    {
        std::lock_guard const lock(mutex_);
        most = std::min(most, paths_.size());
        new_ = 0;
    }
    for (std::size_t i = 0; i < most; ++i) {
        std::string path;
        {
            std::lock_guard const lock(mutex_);
            if (paths_.empty()) return;
            path = std::move(paths_.front());
            paths_.pop_front();
        }
        // Not under the lock, which the reactor takes too: this can last milliseconds.
        if (::rmdir(path.c_str()) == 0 || errno != EBUSY) continue;
        std::lock_guard const lock(mutex_);
        paths_.push_back(std::move(path));
    }
}

bool Leftovers::many_new() {
    constexpr std::size_t kMany = 64;
    std::lock_guard const lock(mutex_);
    return new_ > kMany;
}

std::size_t Leftovers::size() {
    std::lock_guard const lock(mutex_);
    return paths_.size();
}

Leftovers& leftovers() {
    static Leftovers all;
    return all;
}

}  // namespace cgroup_files

std::uint64_t flat_value(std::string_view text, std::string_view key) {
    while (!text.empty()) {
        auto const line = text.substr(0, text.find('\n'));
        if (line.starts_with(key) && line.size() > key.size() && line[key.size()] == ' ') {
            std::uint64_t out = 0;
            std::from_chars(line.data() + key.size() + 1, line.data() + line.size(), out);
            return out;
        }
        text.remove_prefix(std::min(text.size(), line.size() + 1));
    }
    return 0;
}

namespace {
std::vector<std::string> split(std::string_view text, char at) {
    std::vector<std::string> out;
    while (true) {
        auto const end = text.find(at);
        out.emplace_back(text.substr(0, end));
        if (end == std::string_view::npos) return out;
        text.remove_prefix(end + 1);
    }
}
}  // namespace

std::vector<CgroupMount> parse_cgroup_mounts(std::string_view mountinfo) {
    std::vector<CgroupMount> out;
    for (auto const& line : split(mountinfo, '\n')) {
        // id parent dev root mountpoint options ... - type source superoptions
        auto const dash = line.find(" - ");
        if (dash == std::string::npos) continue;
        auto const front = split(std::string_view(line).substr(0, dash), ' ');
        auto const back = split(std::string_view(line).substr(dash + 3), ' ');
        if (front.size() < 5 || back.size() < 3 || !front[4].starts_with('/')) continue;
        CgroupMount mount{front[4], front[3], {}};
        if (back[0] == "cgroup") {
            for (auto const& option : split(back[2], ','))
                if (option != "rw" && option != "ro" && !option.starts_with("name="))
                    mount.controllers.push_back(option);
            if (back[2].find("name=") != std::string::npos || mount.controllers.empty())
                continue;  // systemd's own
        } else if (back[0] != "cgroup2") {
            continue;
        }
        out.push_back(std::move(mount));
    }
    return out;
}

std::optional<std::string> own_cgroup(std::string_view self, std::string_view controller) {
    for (auto const& line : split(self, '\n')) {
        auto const first = line.find(':');
        auto const second = first == std::string::npos ? first : line.find(':', first + 1);
        if (second == std::string::npos) continue;
        auto const names = split(std::string_view(line).substr(first + 1, second - first - 1), ',');
        if (std::find(names.begin(), names.end(), controller) != names.end()) return line.substr(second + 1);
    }
    return std::nullopt;
}

}  // namespace execd::shell
