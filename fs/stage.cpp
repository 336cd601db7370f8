#include "fs/stage.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

#include "base/fault.hpp"
#include "base/ids.hpp"
#include "fs/cached.hpp"
#include "fs/content.hpp"
#include "fs/path.hpp"

namespace execd::fs {

namespace {

constexpr std::size_t kQuick = 64 * 1024;
/// How long a small write waits for the reader of a FIFO to read on: the thread is one of the few that
/// everybody's small operations share. Large ones have threads of their own (fs/writer.cpp).
constexpr int kReaderPatience = 100;

std::string temporary_name() {
    // Unique over processes by its random part, within one by its number.
    static std::string const salt = random_hex(6);
    static std::atomic<std::uint64_t> counter{0};
    return ".execd-" + salt + "-" + std::to_string(counter.fetch_add(1, std::memory_order_relaxed)) + ".tmp";
}

/// What lstat(2) says of a target.
struct Look {
    struct ::stat stat {};
    int error = 0;

    [[nodiscard]] bool exists() const { return error == 0; }
};

Look look_at(std::string const& path) {
    Look out;
    if (::lstat(path.c_str(), &out.stat) != 0) out.error = errno;
    return out;
}

/// The same without waiting for a device; nothing where that cannot be or the target is no file.
std::optional<Look> look_at_once(std::string const& path) {
    UniqueFd const parent = peek(std::string(parent_of(path)), O_DIRECTORY);
    if (!parent || !in_memory(parent.get())) return std::nullopt;
    // The directory is in memory, so what is in it is found without waiting, cached or not.
    Look out;
    std::string const name(base_name(path));
    if (::fstatat(parent.get(), name.c_str(), &out.stat, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) != 0)
        out.error = errno;
    if (out.exists() ? !S_ISREG(out.stat.st_mode) : out.error != ENOENT) return std::nullopt;
    return out;
}

std::string temporary_of(Staged const& staged) {
    return join_path(parent_of(staged.target), staged.temporary);
}

struct Care {
    bool anonymous = true;  // a file without a name is worth its price: nothing is left behind by a crash
    bool at_once = false;   // staged, written and committed in one go
};

/// Makes the temporary beside the target; false with errno.
bool make_temporary(Staged& staged, std::uint32_t mode, bool anonymous) {
    if (int const e = fault::hit("open")) {
        errno = e;
        return false;
    }
    std::string const parent(parent_of(staged.target));
    if (anonymous) {
        staged.how = StagedAs::anonymous;
        staged.fd.reset(::open(parent.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, mode));
        if (staged.fd) return true;
        if (errno == EACCES || errno == EROFS || errno == ENOSPC || errno == ENOENT) return false;
    }
    staged.how = StagedAs::named;
    staged.temporary = temporary_name();
    staged.fd.reset(::open(temporary_of(staged).c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, mode));
    if (!staged.fd) staged.temporary.clear();
    return static_cast<bool>(staged.fd);
}

/// Content that waits elsewhere, to be copied into a target that cannot be replaced by name.
Result<void> make_spool(Staged& staged) {
    staged.how = StagedAs::spooled;
    staged.fd.reset(::open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
    if (!staged.fd) staged.fd.reset(::memfd_create("execd-spool", MFD_CLOEXEC));
    if (!staged.fd) return fail_errno("open", errno, staged.target);
    return {};
}

Result<Staged> stage_direct(Staged staged) {
    staged.how = StagedAs::direct;
    if (int const e = fault::hit("open")) return fail_errno("open", e, staged.target);
    staged.fd.reset(::open(staged.target.c_str(), O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
    if (!staged.fd) return fail_errno("open", errno, staged.target);
    return staged;
}

Result<Staged> stage_new(Staged staged, WriteOptions const& options, bool anonymous) {
    if (make_temporary(staged, options.create_mode, anonymous)) return staged;
    if (errno != ENOENT || !options.make_parents) return fail_errno("open", errno, staged.target);
    if (auto ok = make_parent(staged.target); !ok) return Failure(ok.error());
    if (make_temporary(staged, options.create_mode, anonymous)) return staged;
    return fail_errno("open", errno, staged.target);
}

/// Ours never changes (fs/worker.hpp).
uid_t own_uid() {
    static uid_t const uid = ::geteuid();
    return uid;
}

/// Replacing by rename must not do what opening for writing would not.
bool may_write(std::string const& path) { return ::faccessat(AT_FDCWD, path.c_str(), W_OK, AT_EACCESS) == 0; }

Result<Staged> stage_replacement(Staged staged, WriteOptions const& options, struct ::stat const& old,
                                 Care care) {
    staged.replaces = true;
    staged.old_mode = old.st_mode & 07777U;
    // Where it is ours to write by its mode and all is done in one go, what else forbids it stops the rename.
    bool const asked = !care.at_once || (old.st_mode & S_IWUSR) == 0 || old.st_uid != own_uid();
    if (asked && !may_write(staged.target)) return fail_errno("open", errno, staged.target);
    std::uint32_t const wanted = options.mode.value_or(staged.old_mode);
    bool const plain = wanted <= 0777U && options.owner.empty();
    if (make_temporary(staged, plain ? wanted : 0600, care.anonymous)) {
        struct ::stat made {};
        bool const seen = ::fstat(staged.fd.get(), &made) == 0;
        if (seen) staged.made_mode = made.st_mode & 07777U;
        bool const same = seen && made.st_uid == old.st_uid && made.st_gid == old.st_gid;
        // An owner that we may not give: keep the inode, copy the content over.
        if (!same && ::fchown(staged.fd.get(), old.st_uid, old.st_gid) != 0) {
            staged.discard();
            if (auto ok = make_spool(staged); !ok) return Failure(ok.error());
        }
        return staged;
    }
    if (errno != EACCES && errno != EPERM && errno != EROFS) return fail_errno("open", errno, staged.target);
    if (!asked && !may_write(staged.target)) return fail_errno("open", errno, staged.target);
    if (auto ok = make_spool(staged); !ok) return Failure(ok.error());
    return staged;
}

Result<Staged> stage_it(WriteOptions const& options, Care care, Look const& look) {
    if (auto ok = check_path(options.path); !ok) return Failure(ok.error());
    if (options.path.back() == '/') return fail_errno("open", EISDIR, options.path);
    if (auto ids = resolve(options.owner); !ids) return Failure(ids.error());
    Staged staged;
    staged.target = options.path;
    struct ::stat old = look.stat;
    int error = look.error;
    if (error == 0 && S_ISLNK(old.st_mode)) {
        if (options.existing == Existing::refuse) return fail_errno("open", EEXIST, options.path);
        auto target = resolve_links(options.path);
        if (!target) return Failure(std::move(target.error()));
        staged.target = std::move(*target);
        error = ::stat(options.path.c_str(), &old) == 0 ? 0 : errno;
    }
    if (error == ENOENT) return stage_new(std::move(staged), options, care.anonymous);
    if (error != 0) return fail_errno("open", error, options.path);
    if (S_ISDIR(old.st_mode)) return fail_errno("open", EISDIR, options.path);
    if (options.existing == Existing::refuse) return fail_errno("open", EEXIST, options.path);
    if (!S_ISREG(old.st_mode)) return stage_direct(std::move(staged));
    return stage_replacement(std::move(staged), options, old, care);
}

/// The anonymous file gets `name`: 0 or an errno.
int link_anonymous(int fd, std::string const& name) {
    if (::linkat(fd, "", AT_FDCWD, name.c_str(), AT_EMPTY_PATH) == 0) return 0;
    if (errno == EEXIST) return EEXIST;
    std::string const self = "/proc/self/fd/" + std::to_string(fd);
    return ::linkat(AT_FDCWD, self.c_str(), AT_FDCWD, name.c_str(), AT_SYMLINK_FOLLOW) == 0 ? 0 : errno;
}

/// Turns an anonymous file into a named temporary; through a copy where it cannot be linked.
Result<void> give_name(Staged& staged) {
    staged.temporary = temporary_name();
    staged.how = StagedAs::named;
    std::string const path = temporary_of(staged);
    if (link_anonymous(staged.fd.get(), path) == 0) return {};
    UniqueFd named(::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (!named) {
        staged.temporary.clear();
        return fail_errno("open", errno, staged.target);
    }
    struct ::stat stat {};
    auto copied = copy_content(staged.fd.get(), named.get());
    if (!copied) return Failure(std::move(copied.error()));
    if (::fstat(staged.fd.get(), &stat) == 0) {
        copy_xattrs(staged.fd.get(), named.get());
        if (::fchown(named.get(), stat.st_uid, stat.st_gid) != 0) errno = 0;  // not allowed: it stays ours
        static_cast<void>(::fchmod(named.get(), stat.st_mode & 07777U));
    }
    staged.fd = std::move(named);
    return {};
}

Result<void> set_attributes(int fd, WriteOptions const& options, std::optional<std::uint32_t> mode,
                            std::uint32_t made, std::string const& target) {
    if (!options.owner.empty()) {
        auto const ids = resolve(options.owner);
        if (!ids) return Failure(ids.error());
        if (::fchown(fd, ids->uid, ids->gid) != 0) return fail_errno("chown", errno, target);
        made = Staged::kUnknown;
    }
    if (options.mode) mode = options.mode;
    if (mode && made != (*mode & 07777U) && ::fchmod(fd, *mode & 07777U) != 0)
        return fail_errno("chmod", errno, target);
    return {};
}

Result<void> check_seen(Staged const& staged, WriteOptions const& options) {
    if (!options.seen) return {};
    struct ::stat stat {};
    if (::stat(staged.target.c_str(), &stat) == 0 &&
        *options.seen == Seen(stat.st_dev, stat.st_ino, static_cast<std::uint64_t>(stat.st_size),
                              std::int64_t{stat.st_mtim.tv_sec} * 1'000'000'000 + stat.st_mtim.tv_nsec))
        return {};
    return fail(Code::conflict, kChangedMeanwhile, staged.target + ": modified meanwhile");
}

/// The blocks that `size` bytes in `fd` take and that are not its own yet: here before the first byte of the
/// old content goes.
Result<void> reserve(int fd, std::uint64_t size, std::string const& target) {
    struct ::stat stat {};
    if (::fstat(fd, &stat) != 0) return fail_errno("stat", errno, target);
    auto const has = static_cast<std::uint64_t>(stat.st_size);
    if (!S_ISREG(stat.st_mode) || size <= static_cast<std::uint64_t>(stat.st_blocks) * 512) return {};
    int const error = ::posix_fallocate(fd, 0, static_cast<off_t>(size));
    if (error == 0) return {};
    if (::ftruncate(fd, stat.st_size) != 0) errno = 0;  // what was reserved goes back
    if (error == EOPNOTSUPP || error == EINVAL) {
        auto ok = check_space(fd, size > has ? size - has : 0);
        if (!ok) ok.error().detail = target + ": " + ok.error().detail;
        return ok;
    }
    return fail_errno("write", error, target);
}

/// Into the inode that is there: not atomic, the only way left. What can be known before is: the space.
Result<void> copy_over(Staged& staged, WriteOptions const& options, std::uint64_t size) {
    UniqueFd out(::open(staged.target.c_str(), O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
    if (!out) return fail_errno("open", errno, staged.target);
    if (auto ok = check_seen(staged, options); !ok) return ok;
    if (auto ok = reserve(out.get(), size, staged.target); !ok) return ok;
    if (auto copied = copy_content(staged.fd.get(), out.get()); !copied) {
        copied.error().detail = staged.target;
        return Failure(std::move(copied.error()));
    }
    if (::ftruncate(out.get(), static_cast<off_t>(size)) != 0)
        return fail_errno("truncate", errno, staged.target);
    staged.discard();
    staged.fd = std::move(out);
    staged.how = StagedAs::spooled;
    return set_attributes(staged.fd.get(), options, std::nullopt, Staged::kUnknown, staged.target);
}

Result<void> rename_over(Staged& staged, WriteOptions const& options, std::uint64_t size) {
    if (auto ok = check_seen(staged, options); !ok) return ok;
    std::string const from = temporary_of(staged);
    unsigned const flags = options.existing == Existing::refuse ? unsigned{RENAME_NOREPLACE} : 0U;
    errno = fault::hit("rename");
    if (errno == 0 && ::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, staged.target.c_str(), flags) == 0) {
        staged.temporary.clear();
        return {};
    }
    int const error = errno;
    bool const in_place =
        staged.replaces && (error == EBUSY || error == EXDEV || error == EACCES || error == EPERM);
    if (in_place) return copy_over(staged, options, size);
    if (flags != 0 && error == EINVAL && ::link(from.c_str(), staged.target.c_str()) == 0) return {};
    return fail_errno("rename", error == EINVAL && flags != 0 ? errno : error, staged.target);
}

Result<void> publish(Staged& staged, WriteOptions const& options, std::uint64_t size) {
    if (staged.how == StagedAs::direct) return {};
    if (staged.how == StagedAs::spooled) return copy_over(staged, options, size);
    if (!staged.replaces)  // gone since it was seen: nothing is put in its place
        if (auto ok = check_seen(staged, options); !ok) return ok;
    std::optional<std::uint32_t> mode;
    std::uint32_t made = Staged::kUnknown;
    if (staged.replaces) {
        mode = staged.old_mode;
        made = staged.made_mode;
        if (::listxattr(staged.target.c_str(), nullptr, 0) > 0) {
            UniqueFd const old(::open(staged.target.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
            if (old) copy_xattrs(old.get(), staged.fd.get());
            made = Staged::kUnknown;  // an access list among them changes the mode
        }
    }
    if (auto ok = set_attributes(staged.fd.get(), options, mode, made, staged.target); !ok) return ok;
    if (int const e = options.sync != Sync::none ? fault::hit("fsync") : 0)
        return fail_errno("fsync", e, staged.target);
    if (options.sync != Sync::none && ::fdatasync(staged.fd.get()) != 0)
        return fail_errno("fsync", errno, staged.target);
    if (staged.how == StagedAs::anonymous) {
        int const error = staged.replaces ? EEXIST : link_anonymous(staged.fd.get(), staged.target);
        if (error == 0) return {};
        if (error == EEXIST && options.existing == Existing::refuse)
            return fail_errno("open", EEXIST, staged.target);
        if (auto ok = give_name(staged); !ok) return ok;
    }
    return rename_over(staged, options, size);
}

Result<void> sync_after(Staged const& staged, Sync sync) {
    if (sync == Sync::none) return {};
    if (staged.how == StagedAs::spooled && ::fdatasync(staged.fd.get()) != 0)
        return fail_errno("fsync", errno, staged.target);
    if (sync != Sync::full) return {};
    UniqueFd const directory(
        ::open(std::string(parent_of(staged.target)).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!directory || (::fsync(directory.get()) != 0 && errno != EINVAL))
        return fail_errno("fsync", errno, staged.target);
    return {};
}

}  // namespace

Staged& Staged::operator=(Staged&& other) noexcept {
    if (this != &other) {
        discard();
        fd = std::move(other.fd);
        how = other.how;
        replaces = other.replaces;
        target = std::move(other.target);
        temporary = std::move(other.temporary);
        other.temporary.clear();
        old_mode = other.old_mode;
        made_mode = other.made_mode;
        ours = other.ours;
    }
    return *this;
}

void Staged::discard() noexcept {
    if (ours && fd && !temporary.empty()) ::unlink(temporary_of(*this).c_str());
    temporary.clear();
    fd.reset();
}

Result<std::string> resolve_links(std::string path) {
    for (int hops = 0; hops <= 40; ++hops) {
        char target[4096];
        auto const n = ::readlink(path.c_str(), target, sizeof target);
        if (n < 0) {
            if (errno == EINVAL || errno == ENOENT) return path;
            return fail_errno("readlink", errno, path);
        }
        std::string_view const text(target, static_cast<std::size_t>(n));
        path = text.starts_with('/') ? std::string(text) : join_path(parent_of(path), text);
    }
    return fail_errno("open", ELOOP, path);
}

Result<void> check_space(int fd, std::uint64_t bytes) {
    struct ::statvfs stat {};
    if (::fstatvfs(fd, &stat) != 0 || stat.f_blocks == 0) return {};  // it does not say: the write will
    auto const free = (::geteuid() == 0 ? stat.f_bfree : stat.f_bavail) * std::uint64_t{stat.f_frsize};
    if (bytes > free)
        return fail_errno("write", ENOSPC,
                          std::to_string(bytes) + " bytes wanted, " + std::to_string(free) + " free");
    return {};
}

Result<Staged> Stage::run() const {
    if (length && max_size && *length > *max_size) return fail_errno("write", EFBIG, path);
    auto staged = stage_it(*this, Care{}, look_at(path));
    auto const bytes = std::max(length.value_or(0), expected);
    if (staged && bytes > 0 && staged->how != StagedAs::direct)
        if (auto ok = check_space(staged->fd.get(), bytes); !ok) return Failure(ok.error());
    return staged;
}

Result<Written> Commit::run() {
    if (auto ok = publish(staged, options, size); !ok) return Failure(ok.error());
    if (auto ok = sync_after(staged, options.sync); !ok) return Failure(ok.error());
    Written out;
    struct ::stat stat {};
    if (::fstat(staged.fd.get(), &stat) == 0) {
        out.mtime_ns = std::int64_t{stat.st_mtim.tv_sec} * 1'000'000'000 + stat.st_mtim.tv_nsec;
        out.inode = stat.st_ino;
        out.device = stat.st_dev;
    }
    out.path = staged.target;
    out.size = size;
    out.created = !staged.replaces && staged.how != StagedAs::direct;
    staged.discard();
    return out;
}

namespace {
Result<Written> put_file(WriteOptions const& options, std::string const& content, Look const& look) {
    if (options.max_size && content.size() > *options.max_size)
        return fail_errno("write", EFBIG, options.path);
    auto staged = stage_it(options, Care{content.size() > kQuick, true}, look);
    if (!staged) return Failure(std::move(staged.error()));
    auto const written = staged->how == StagedAs::direct
                             ? write_stream(staged->fd.get(), content, kReaderPatience)
                             : write_all(staged->fd.get(), content, 0);
    if (!written) {
        Error error = written.error();
        error.detail = options.path;
        return Failure(std::move(error));
    }
    return Commit{options, std::move(*staged), content.size()}.run();
}
}  // namespace

Result<Written> PutFile::run() const { return put_file(options, content, look_at(options.path)); }

std::optional<Result<Written>> PutFile::run_quick() const {
    if (content.size() > kQuick || options.sync != Sync::none || !check_path(options.path))
        return std::nullopt;
    auto const look = look_at_once(options.path);
    if (!look) return std::nullopt;
    return put_file(options, content, *look);
}

Result<Written> AppendFile::run() const {
    if (auto ok = check_path(options.path); !ok) return Failure(ok.error());
    struct ::stat stat {};
    if (::stat(options.path.c_str(), &stat) != 0) return PutFile{options, content}.run();
    if (S_ISDIR(stat.st_mode)) return fail_errno("open", EISDIR, options.path);
    auto const size = S_ISREG(stat.st_mode) ? static_cast<std::uint64_t>(stat.st_size) : 0;
    if (options.max_size && size + content.size() > *options.max_size)
        return fail_errno("write", EFBIG, options.path);
    UniqueFd const fd(::open(options.path.c_str(), O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
    if (!fd) return fail_errno("open", errno, options.path);
    if (S_ISREG(stat.st_mode))
        if (auto ok = check_space(fd.get(), content.size()); !ok) return Failure(ok.error());
    if (auto ok = write_stream(fd.get(), content, kReaderPatience); !ok)
        return fail_errno("write", ok.error().sys, options.path);
    if (options.sync != Sync::none && ::fdatasync(fd.get()) != 0)
        return fail_errno("fsync", errno, options.path);
    if (::fstat(fd.get(), &stat) != 0) return fail_errno("stat", errno, options.path);
    return Written{options.path, static_cast<std::uint64_t>(stat.st_size),
                   false,        std::int64_t{stat.st_mtim.tv_sec} * 1'000'000'000 + stat.st_mtim.tv_nsec,
                   stat.st_ino,  stat.st_dev};
}

}  // namespace execd::fs
