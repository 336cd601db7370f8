#include "shell/spill_store.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string_view>

#include "base/fault.hpp"
#include "base/ids.hpp"
#include "base/log.hpp"
#include "shell/journal.hpp"

namespace execd::shell {
namespace {

constexpr std::string_view kPrefix = "execd-journal-";

/// Directories whose lock nobody holds belong to daemons that are gone.
void remove_stale(std::string const& parent) {
    DIR* listing = ::opendir(parent.c_str());
    if (listing == nullptr) return;
    while (dirent const* entry = ::readdir(listing)) {
        if (!std::string_view(entry->d_name).starts_with(kPrefix)) continue;
        UniqueFd const fd(
            ::openat(::dirfd(listing), entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
        struct stat info {};
        if (!fd || ::fstat(fd.get(), &info) != 0 || info.st_uid != ::geteuid()) continue;
        if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) continue;
        if (::unlinkat(::dirfd(listing), entry->d_name, AT_REMOVEDIR) == 0)
            log::info("journal.stale_directory_removed");
    }
    ::closedir(listing);
}

}  // namespace

SpillStore::SpillStore() = default;

SpillStore::SpillStore(Options const& options) {
    if (options.parent.empty() || options.limit == 0) return;
    struct statfs fs {};
    if (::statfs(options.parent.c_str(), &fs) != 0) {
        log::warn("journal.no_spill_directory", {{"errno", errno}});
        return;
    }
    bool const memory = fs.f_type == TMPFS_MAGIC || static_cast<unsigned long>(fs.f_type) == RAMFS_MAGIC;
    if (memory && !options.allow_tmpfs) return;
    std::uint64_t const size =
        static_cast<std::uint64_t>(fs.f_blocks) * static_cast<std::uint64_t>(fs.f_bsize);
    limit_ = std::min(options.limit, size / 10);
    remove_stale(options.parent);
    path_ = options.parent + "/" + std::string(kPrefix) + random_hex(8);
    if (::mkdir(path_.c_str(), 0700) == 0)
        directory_.reset(::open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!directory_) {
        log::warn("journal.no_spill_directory", {{"errno", errno}});
        return;
    }
    ::flock(directory_.get(), LOCK_EX | LOCK_NB);
}

SpillStore::~SpillStore() {
    if (directory_) ::rmdir(path_.c_str());
}

Result<UniqueFd> SpillStore::create() const {
    if (!enabled()) return fail(Code::unavailable, "journal.spill", "memory only");
    if (int const e = fault::hit("journal.spill.open")) return fail_errno("journal.spill", e);
    UniqueFd file(::openat(directory_.get(), ".", O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, 0600));
    if (file) return file;
    if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL) return fail_errno("journal.spill", errno);
    std::string const name = random_hex(8);  // overlayfs before 6.1 and others know no O_TMPFILE
    file.reset(::openat(directory_.get(), name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (!file) return fail_errno("journal.spill", errno);
    ::unlinkat(directory_.get(), name.c_str(), 0);
    return file;
}

void SpillStore::finished(std::weak_ptr<Journal> journal) {
    // A weak owner keeps the memory of what it names: those that retention has dropped go.
    finished_.remove_if([](auto const& old) { return old.expired(); });
    finished_.push_back(std::move(journal));
}

bool SpillStore::reserve(std::uint64_t bytes) {
    if (bytes > limit_) return false;
    while (used_ + bytes > limit_ && !finished_.empty()) {
        auto const oldest = finished_.front().lock();
        finished_.pop_front();
        if (oldest) oldest->forget_spilled();
    }
    if (used_ + bytes > limit_) return false;
    used_ += bytes;
    return true;
}

}  // namespace execd::shell
