// Users and groups straight from /etc/passwd and /etc/group: a static binary in any image has no NSS. Files
// are read anew when their stamp (inode, size, mtime) changes, so that users added at run time are found.
//
// Thread: any; each call takes a snapshot.
#pragma once
#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace execd {

struct User {
    std::string name;
    uid_t uid = 0;
    gid_t gid = 0;
    std::string home;
    std::string shell;
};

struct Group {
    std::string name;
    gid_t gid = 0;
    std::vector<std::string> members;
};

/// An immutable picture of both files.
struct AccountTable {
    std::vector<User> users;
    std::vector<Group> groups;

    [[nodiscard]] User const* user(std::string_view name) const;
    [[nodiscard]] User const* user(uid_t uid) const;
    [[nodiscard]] Group const* group(std::string_view name) const;
    [[nodiscard]] Group const* group(gid_t gid) const;
    /// The primary group first, then those that list the user; no duplicates.
    [[nodiscard]] std::vector<gid_t> groups_of(User const& user) const;

    /// Malformed lines are skipped.
    [[nodiscard]] static AccountTable parse(std::string_view passwd, std::string_view group);
};

/// The current table; missing files give an empty one.
[[nodiscard]] std::shared_ptr<AccountTable const> accounts();

}  // namespace execd
