// UniqueFd, Error, ids and accounts.
#include <fcntl.h>
#include <gtest/gtest.h>

#include <set>

#include "base/accounts.hpp"
#include "base/error.hpp"
#include "base/ids.hpp"
#include "base/unique_fd.hpp"

namespace execd {
namespace {

bool is_open(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }
int fresh() { return ::open("/dev/null", O_RDONLY | O_CLOEXEC); }

TEST(UniqueFd, OwnsExactlyOne) {
    int const raw = fresh();
    UniqueFd a(raw);
    UniqueFd b(std::move(a));
    EXPECT_FALSE(a);  // NOLINT(bugprone-use-after-move): that is the promise
    EXPECT_EQ(b.get(), raw);
    int const other = fresh();
    b = UniqueFd(other);
    EXPECT_FALSE(is_open(raw));
    auto& self = b;
    b = std::move(self);
    EXPECT_EQ(b.get(), other);
    b.reset(b.get());  // stays
    EXPECT_TRUE(is_open(other));
    int const out = b.release();
    EXPECT_FALSE(b);
    EXPECT_TRUE(is_open(out));
    UniqueFd(out).reset();
    EXPECT_FALSE(is_open(out));
}

TEST(UniqueFd, ClosingKeepsErrno) {
    errno = ENOSPC;
    { UniqueFd const bad(1'000'000); }  // EBADF
    EXPECT_EQ(errno, ENOSPC);
}

TEST(Error, TextsAndCodes) {
    EXPECT_EQ(fail_errno("open", ENOENT, "/x").value().message(), "open: /x: No such file or directory");
    EXPECT_EQ(fail(Code::conflict, "kernel.start", "busy").value().message(), "kernel.start: busy");
    EXPECT_EQ(fail(Code::gone, "").value().message(), "gone");
    EXPECT_EQ(errno_text(99999), "errno 99999");
    EXPECT_EQ(code_of_errno(EDQUOT), Code::no_space);
    EXPECT_EQ(code_of_errno(EACCES), Code::permission_denied);
    EXPECT_EQ(code_of_errno(EXDEV), Code::io);
    std::set<std::string_view> names;
    for (int c = 0; c <= static_cast<int>(Code::internal); ++c) names.insert(to_string(static_cast<Code>(c)));
    EXPECT_EQ(names.size(), static_cast<std::size_t>(Code::internal) + 1);
}

TEST(Ids, ShapeAndUniqueness) {
    std::set<std::string> seen;
    for (int i = 0; i < 2000; ++i) {
        std::string const id = uuid();
        ASSERT_EQ(id.size(), 36U);
        for (std::size_t at = 0; at < id.size(); ++at) {
            bool const dash = at == 8 || at == 13 || at == 18 || at == 23;
            ASSERT_TRUE(dash ? id[at] == '-'
                             : (std::string_view("0123456789abcdef").find(id[at]) != std::string::npos))
                << id;
        }
        ASSERT_EQ(id[14], '4');
        ASSERT_NE(std::string_view("89ab").find(id[19]), std::string::npos);
        ASSERT_TRUE(seen.insert(id).second);
    }
    EXPECT_EQ(uuid_hex().size(), 32U);
    EXPECT_EQ(random_hex(0), "");
    EXPECT_EQ(random_hex(5).size(), 10U);
    std::array<std::byte, 100'000> large{};
    random_bytes(large);
    EXPECT_GT(std::set<std::byte>(large.begin(), large.end()).size(), 200U);
}

TEST(Accounts, ParsesAndSkipsWhatIsMalformed) {
    auto const table = AccountTable::parse(
        "root:x:0:0:root:/root:/bin/bash\n"
        "# comment:x:1:1::/:/\n"
        "\n"
        ":x:5:5::/:/\n"
        "short:x:7\n"
        "noid:x:abc:1::/:/bin/sh\n"
        "neg:x:-1:1::/:/bin/sh\n"
        "huge:x:4294967296:1::/:/bin/sh\n"
        "unchanged:x:4294967295:1::/:/bin/sh\n"
        "unchangedg:x:1:4294967295::/:/bin/sh\n"
        "nobody:x:65534:65534:::\n"
        "four:x:4:44\n"
        "user:x:1000:1000:a,b:/home/user:/bin/zsh",
        "root:x:0:\nsudo:x:27:user,other\ndocker:x:999:user\nuser:x:1000:user\nwrong:x:y:user\nnone:x:"
        "4294967295:user\n"
        "twin:x:27:user\nmembersless:x:50\n");
    ASSERT_EQ(table.users.size(), 4U);
    EXPECT_EQ(table.user("root")->shell, "/bin/bash");
    EXPECT_EQ(table.user(1000)->name, "user");
    EXPECT_EQ(table.user("user")->home, "/home/user");
    EXPECT_EQ(table.user("nobody")->shell, "");
    EXPECT_EQ(table.user("four")->gid, 44U);
    EXPECT_EQ(table.user("unchanged"), nullptr);
    EXPECT_EQ(table.user(7), nullptr);
    EXPECT_EQ(table.group("sudo")->gid, 27U);
    EXPECT_EQ(table.group(50)->name, "membersless");
    EXPECT_EQ(table.groups_of(*table.user("user")), (std::vector<gid_t>{1000, 27, 999}));
    EXPECT_EQ(table.groups_of(*table.user("four")), std::vector<gid_t>{44});
    EXPECT_TRUE(AccountTable::parse("", "").users.empty());
}

TEST(Accounts, TheSystemsOwnTable) {
    auto const table = accounts();
    ASSERT_TRUE(table);
    EXPECT_EQ(accounts(), table);  // unchanged files: the same picture
    auto const* root = table->user("root");
    if (root != nullptr) {
        EXPECT_EQ(root->uid, 0U);
    }
}

}  // namespace
}  // namespace execd
