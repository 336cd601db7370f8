#include "base/accounts.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <mutex>

#include "base/unique_fd.hpp"

namespace execd {

namespace {

constexpr std::size_t kMaxFile = 16U << 20;

std::vector<std::string_view> split(std::string_view line, char by) {
    std::vector<std::string_view> out;
    for (;;) {
        auto const at = line.find(by);
        out.push_back(line.substr(0, at));
        if (at == std::string_view::npos) return out;
        line.remove_prefix(at + 1);
    }
}

// An id: 4294967295 is none, the kernel reads it as "leave it as it is", which for a change of user means
// root.
bool number(std::string_view text, std::uint32_t& out) {
    auto const [end, ec] = std::from_chars(text.data(), text.data() + text.size(), out);
    return ec == std::errc() && end == text.data() + text.size() && !text.empty() && out != UINT32_MAX;
}

std::string read_small(char const* path) {
    UniqueFd const fd(::open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    std::string out;
    if (!fd) return out;
    char buffer[65536];
    ssize_t n = 0;
    while (out.size() < kMaxFile && (n = ::read(fd.get(), buffer, sizeof buffer)) > 0)
        out.append(buffer, static_cast<std::size_t>(n));
    return out;
}

struct Stamp {
    ino_t inode = 0;
    off_t size = -1;
    timespec mtime{};
    static Stamp of(char const* path) {
        struct stat st {};
        if (::stat(path, &st) != 0) return {};
        return {st.st_ino, st.st_size, st.st_mtim};
    }
    bool operator==(Stamp const& o) const {
        return inode == o.inode && size == o.size && mtime.tv_sec == o.mtime.tv_sec &&
               mtime.tv_nsec == o.mtime.tv_nsec;
    }
};

}  // namespace

AccountTable AccountTable::parse(std::string_view passwd, std::string_view group) {
    AccountTable table;
    for (auto line : split(passwd, '\n')) {
        auto const f = split(line, ':');
        User user;
        if (f.size() < 4 || f[0].empty() || f[0][0] == '#' || !number(f[2], user.uid) ||
            !number(f[3], user.gid))
            continue;
        user.name = f[0];
        if (f.size() > 5) user.home = f[5];
        if (f.size() > 6) user.shell = f[6];
        table.users.push_back(std::move(user));
    }
    for (auto line : split(group, '\n')) {
        auto const f = split(line, ':');
        Group entry;
        if (f.size() < 3 || f[0].empty() || f[0][0] == '#' || !number(f[2], entry.gid)) continue;
        entry.name = f[0];
        if (f.size() > 3)
            for (auto member : split(f[3], ','))
                if (!member.empty()) entry.members.emplace_back(member);
        table.groups.push_back(std::move(entry));
    }
    return table;
}

namespace {
template <class List, class Match>
auto const* find_in(List const& list, Match match) {
    auto const at = std::find_if(list.begin(), list.end(), match);
    return at == list.end() ? nullptr : &*at;
}
}  // namespace

User const* AccountTable::user(std::string_view name) const {
    return find_in(users, [name](User const& u) { return u.name == name; });
}
User const* AccountTable::user(uid_t uid) const {
    return find_in(users, [uid](User const& u) { return u.uid == uid; });
}
Group const* AccountTable::group(std::string_view name) const {
    return find_in(groups, [name](Group const& g) { return g.name == name; });
}
Group const* AccountTable::group(gid_t gid) const {
    return find_in(groups, [gid](Group const& g) { return g.gid == gid; });
}

std::vector<gid_t> AccountTable::groups_of(User const& user) const {
    std::vector<gid_t> out{user.gid};
    for (auto const& entry : groups) {
        bool const listed =
            std::find(entry.members.begin(), entry.members.end(), user.name) != entry.members.end();
        if (listed && std::find(out.begin(), out.end(), entry.gid) == out.end()) out.push_back(entry.gid);
    }
    return out;
}

std::shared_ptr<AccountTable const> accounts() {
    static std::mutex mutex;
    static std::shared_ptr<AccountTable const> table;
    static Stamp passwd_seen;
    static Stamp group_seen;
    std::lock_guard const lock(mutex);
    Stamp const passwd = Stamp::of("/etc/passwd");
    Stamp const group = Stamp::of("/etc/group");
    if (!table || !(passwd == passwd_seen) || !(group == group_seen)) {
        table = std::make_shared<AccountTable const>(
            AccountTable::parse(read_small("/etc/passwd"), read_small("/etc/group")));
        passwd_seen = passwd;
        group_seen = group;
    }
    return table;
}

}  // namespace execd
