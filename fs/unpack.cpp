// Unpacking (fs/archive.hpp): first a pass that only looks, then one that writes.
#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/ids.hpp"
#include "fs/archive.hpp"
#include "fs/archive_reader.hpp"
#include "fs/content.hpp"
#include "fs/ops.hpp"
#include "fs/path.hpp"
#include "fs/stage.hpp"

namespace execd::fs {

namespace {

constexpr std::uint64_t kRatioFrom = 1ULL << 30U;

Failure bad_name(std::string_view name) {
    return fail(Code::invalid_argument, "archive.name",
                "'" + std::string(name) + "' leads out of the directory");
}
Failure over(std::string detail) { return fail(Code::too_large, "archive.limit", std::move(detail)); }

bool stopped(CancelFlag const& cancel) { return cancel && cancel->load(std::memory_order_relaxed); }

/// Counts one entry; the name is checked. `file` tells that it has content.
Result<bool> count(::archive_entry* entry, Unpacked& sum) {
    char const* const name = ::archive_entry_pathname(entry);
    if (!member_name(name)) return bad_name(name);
    if (char const* const target = ::archive_entry_hardlink(entry); target != nullptr) {
        auto const below = member_name(target);
        if (!below || below->empty()) return bad_name(target);
        ++sum.links;
        return false;
    }
    switch (::archive_entry_filetype(entry)) {
        case AE_IFREG: ++sum.files; return true;
        case AE_IFDIR: ++sum.directories; return false;
        case AE_IFLNK:
            if (::archive_entry_symlink(entry) == nullptr)
                return fail(Code::decode, "archive", "a link without a target");
            ++sum.links;
            return false;
        default: ++sum.skipped; return false;
    }
}

Result<Unpacked> examine(ArchiveReader reader, std::uint64_t packed, UnpackOptions const& options,
                         CancelFlag const& cancel) {
    Unpacked sum;
    for (std::uint64_t entries = 0;; ++entries) {
        if (stopped(cancel)) return fail(Code::cancelled, "archive");
        auto const entry = reader.next();
        if (!entry) return Failure(entry.error());
        if (*entry == nullptr) return sum;
        if (entries == options.max_entries)
            return over("more than " + std::to_string(options.max_entries) + " entries");
        auto const file = count(*entry, sum);
        if (!file) return Failure(file.error());
        // The head's word first: a lie about a huge size is refused before it is read.
        auto const said = ::archive_entry_size(*entry);
        auto const room = options.max_bytes - std::min(sum.bytes, options.max_bytes);
        if (said > 0 && static_cast<std::uint64_t>(said) > room)
            return over("more than " + std::to_string(options.max_bytes) + " bytes of content");
        auto const size = reader.skip(room);
        if (!size) return Failure(size.error());
        if (*file) sum.bytes += std::max(*size, static_cast<std::uint64_t>(std::max<la_int64_t>(said, 0)));
        if (sum.bytes > options.max_bytes)
            return over("more than " + std::to_string(options.max_bytes) + " bytes of content");
        if (options.max_ratio != 0 && sum.bytes > kRatioFrom && sum.bytes / options.max_ratio > packed)
            return over("more than " + std::to_string(options.max_ratio) + " times its own size");
    }
}

/// Names below one directory, reached without following any link.
class Tree {
  public:
    explicit Tree(UniqueFd root) : root_(std::move(root)) {}

    struct Place {
        int directory;
        std::string name;
    };
    /// The directory that holds `path`, made when missing. The descriptor stays the Tree's.
    Result<Place> place(std::string const& path) {
        auto const slash = path.rfind('/');
        auto const above = slash == std::string::npos ? std::string() : path.substr(0, slash);
        auto name = slash == std::string::npos ? path : path.substr(slash + 1);
        if (above.empty()) return Place{root_.get(), std::move(name)};
        if (above == cached_) return Place{last_.get(), std::move(name)};
        auto fd = walk(above);
        if (!fd) return Failure(fd.error());
        last_ = std::move(*fd);
        cached_ = above;
        return Place{last_.get(), std::move(name)};
    }
    [[nodiscard]] int root() const { return root_.get(); }

  private:
    Result<UniqueFd> walk(std::string const& path) {
        UniqueFd at;
        for (std::size_t from = 0; from <= path.size();) {
            auto const end = std::min(path.find('/', from), path.size());
            std::string const part = path.substr(from, end - from);
            from = end + 1;
            int const above = at ? at.get() : root_.get();
            UniqueFd next = enter(above, part);
            if (!next && errno == ENOENT && ::mkdirat(above, part.c_str(), 0777) == 0)
                next = enter(above, part);
            if (!next) return fail_errno("mkdir", errno == ELOOP ? ENOTDIR : errno, path);
            at = std::move(next);
        }
        return at;
    }
    static UniqueFd enter(int above, std::string const& part) {
        return UniqueFd(
            ::openat(above, part.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    }
    UniqueFd root_;
    UniqueFd last_;
    std::string cached_;
};

class Extraction {
  public:
    Extraction(UnpackOptions const& options, UniqueFd root, CancelFlag const& cancel)
        : options_(options), tree_(std::move(root)), cancel_(cancel) {}

    Result<Unpacked> run(ArchiveReader reader) {
        for (;;) {
            if (stopped(cancel_)) return fail(Code::cancelled, "archive");
            auto entry = reader.next();
            if (!entry) return Failure(entry.error());
            if (*entry == nullptr) break;
            if (auto ok = add(reader, *entry); !ok) return Failure(ok.error());
        }
        for (auto const& link : links_)
            if (auto ok = make_link(link); !ok) return Failure(ok.error());
        // The deepest first: a directory may lose its own write permission.
        for (auto it = directories_.rbegin(); it != directories_.rend(); ++it) finish_directory(*it);
        return sum_;
    }

  private:
    struct Attributes {
        std::string path;
        mode_t mode = 0;
        uid_t uid = 0;
        gid_t gid = 0;
        ::timespec times[2]{};
    };
    struct Link {
        Attributes attributes;
        std::string target;
    };
    Attributes attributes_of(::archive_entry* entry, std::string path) const {
        Attributes out;
        out.path = std::move(path);
        out.mode = ::archive_entry_mode(entry) & 0777U;
        out.uid = static_cast<uid_t>(::archive_entry_uid(entry));
        out.gid = static_cast<gid_t>(::archive_entry_gid(entry));
        out.times[0].tv_nsec = UTIME_OMIT;
        out.times[1] = {::archive_entry_mtime(entry), ::archive_entry_mtime_nsec(entry)};
        if (::archive_entry_mtime_is_set(entry) == 0) out.times[1].tv_nsec = UTIME_OMIT;
        return out;
    }

    Result<void> add(ArchiveReader& reader, ::archive_entry* entry) {
        auto path = member_name(::archive_entry_pathname(entry));
        if (!path) return bad_name(::archive_entry_pathname(entry));
        auto const what = ::archive_entry_filetype(entry);
        if (char const* const target = ::archive_entry_hardlink(entry); target != nullptr)
            return hard_link(*path, target);
        if (path->empty()) return {};  // the directory itself: it is the caller's
        if (what == AE_IFDIR) return make_directory(attributes_of(entry, std::move(*path)));
        if (what == AE_IFLNK) {
            links_.push_back({attributes_of(entry, std::move(*path)), ::archive_entry_symlink(entry)});
            return {};
        }
        if (what == AE_IFREG) return make_file(reader, attributes_of(entry, std::move(*path)));
        ++sum_.skipped;
        return {};
    }

    Result<void> make_directory(Attributes attributes) {
        auto at = tree_.place(attributes.path);
        if (!at) return Failure(at.error());
        struct ::stat stat {};
        if (::mkdirat(at->directory, at->name.c_str(), 0777) != 0) {
            bool const there = errno == EEXIST &&
                               ::fstatat(at->directory, at->name.c_str(), &stat, AT_SYMLINK_NOFOLLOW) == 0 &&
                               S_ISDIR(stat.st_mode);
            if (!there) return fail_errno("mkdir", errno, attributes.path);
        }
        ++sum_.directories;
        directories_.push_back(std::move(attributes));
        return {};
    }

    void finish_directory(Attributes const& attributes) {
        auto at = tree_.place(attributes.path);
        if (!at) return;
        UniqueFd const fd(::openat(at->directory, at->name.c_str(),
                                   O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
        if (!fd) return;
        if (options_.owners) static_cast<void>(::fchown(fd.get(), attributes.uid, attributes.gid) == 0);
        static_cast<void>(::fchmod(fd.get(), attributes.mode));
        static_cast<void>(::futimens(fd.get(), attributes.times));
    }

    std::string temporary() { return ".execd-" + salt_ + "-" + std::to_string(++serial_) + ".tmp"; }

    /// Gives the temporary its name, or takes it away.
    Result<void> publish(Tree::Place const& at, std::string const& temporary, std::string const& path) {
        unsigned const flags = options_.overwrite ? 0U : unsigned{RENAME_NOREPLACE};
        if (::renameat2(at.directory, temporary.c_str(), at.directory, at.name.c_str(), flags) == 0)
            return {};
        int const error = errno;
        ::unlinkat(at.directory, temporary.c_str(), 0);
        return fail_errno("rename", error, path);
    }

    Result<void> make_file(ArchiveReader& reader, Attributes const& attributes) {
        auto at = tree_.place(attributes.path);
        if (!at) return Failure(at.error());
        std::string const name = temporary();
        UniqueFd const fd(::openat(at->directory, name.c_str(),
                                   O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
        if (!fd) return fail_errno("open", errno, attributes.path);
        auto written = fill(reader, fd.get());
        if (written && options_.owners && ::fchown(fd.get(), attributes.uid, attributes.gid) != 0)
            written = fail_errno("chown", errno, attributes.path);
        if (written && ::fchmod(fd.get(), attributes.mode) != 0)
            written = fail_errno("chmod", errno, attributes.path);
        if (!written) {
            ::unlinkat(at->directory, name.c_str(), 0);
            if (written.error().detail.empty()) written.error().detail = attributes.path;
            return written;
        }
        static_cast<void>(::futimens(fd.get(), attributes.times));
        ++sum_.files;
        return publish(*at, name, attributes.path);
    }

    Result<void> fill(ArchiveReader& reader, int fd) {
        std::uint64_t end = 0;
        std::uint64_t written = 0;
        for (;;) {
            if (stopped(cancel_)) return fail(Code::cancelled, "archive");
            auto const block = reader.data();
            if (!block) return Failure(block.error());
            if (block->end) break;
            if (auto ok = write_all(fd, block->bytes, static_cast<std::int64_t>(block->offset)); !ok)
                return ok;
            written += block->bytes.size();
            end = std::max(end, block->offset + block->bytes.size());
        }
        sum_.bytes += end;
        // Holes at the end of a sparse file.
        if (end != written && ::ftruncate(fd, static_cast<off_t>(end)) != 0)
            return fail_errno("truncate", errno);
        return {};
    }

    Result<void> hard_link(std::string const& path, char const* target) {
        auto const below = member_name(target);
        if (!below || below->empty() || path.empty()) return bad_name(target);
        auto const from = tree_.place(*below);
        if (!from) return Failure(from.error());
        UniqueFd const held(::openat(from->directory, from->name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
        struct ::stat stat {};
        if (!held || ::fstat(held.get(), &stat) != 0) return fail_errno("link", errno, target);
        if (!S_ISREG(stat.st_mode)) return bad_name(target);
        std::string const name = temporary();
        // From the descriptor just looked at; without the right to do that, from the name.
        std::string const self = "/proc/self/fd/" + std::to_string(held.get());
        auto const at = tree_.place(path);
        if (!at) return Failure(at.error());
        if (::linkat(AT_FDCWD, self.c_str(), at->directory, name.c_str(), AT_SYMLINK_FOLLOW) != 0)
            return fail_errno("link", errno, path);
        ++sum_.links;
        auto done = publish(*at, name, path);
        ::unlinkat(at->directory, name.c_str(),
                   0);  // renaming onto another name of the same file does nothing
        return done;
    }

    Result<void> make_link(Link const& link) {
        auto at = tree_.place(link.attributes.path);
        if (!at) return Failure(at.error());
        std::string const name = temporary();
        if (::symlinkat(link.target.c_str(), at->directory, name.c_str()) != 0)
            return fail_errno("symlink", errno, link.attributes.path);
        if (options_.owners)
            static_cast<void>(::fchownat(at->directory, name.c_str(), link.attributes.uid,
                                         link.attributes.gid, AT_SYMLINK_NOFOLLOW) == 0);
        static_cast<void>(
            ::utimensat(at->directory, name.c_str(), link.attributes.times, AT_SYMLINK_NOFOLLOW));
        ++sum_.links;
        return publish(*at, name, link.attributes.path);
    }

    UnpackOptions const& options_;
    Tree tree_;
    CancelFlag const& cancel_;
    Unpacked sum_;
    std::vector<Link> links_;
    std::vector<Attributes> directories_;
    std::string salt_ = random_hex(6);
    std::uint64_t serial_ = 0;
};

std::uint64_t size_of(int fd) {
    struct ::stat stat {};
    return ::fstat(fd, &stat) == 0 ? static_cast<std::uint64_t>(stat.st_size) : 0;
}

}  // namespace

Result<Unpacked> examine_archive(int archive, UnpackOptions const& options, CancelFlag const& cancel) {
    auto reader = ArchiveReader::open(archive);
    if (!reader) return Failure(reader.error());
    return examine(std::move(*reader), size_of(archive), options, cancel);
}

Result<Unpacked> examine_archive(std::string_view archive, UnpackOptions const& options) {
    auto reader = ArchiveReader::open(archive);
    if (!reader) return Failure(reader.error());
    return examine(std::move(*reader), archive.size(), options, {});
}

Result<Unpacked> Unpack::run() const {
    if (auto ok = check_path(options.path); !ok) return Failure(ok.error());
    auto const found = examine_archive(archive.get(), options, cancel);
    if (!found) return found;
    MakeDirectory make(options.path);
    if (auto made = make.run(); !made) return Failure(made.error());
    UniqueFd root(::open(options.path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK));
    if (!root) return fail_errno("open", errno, options.path);
    if (auto ok = check_space(root.get(), found->bytes); !ok) return Failure(ok.error());
    auto reader = ArchiveReader::open(archive.get());
    if (!reader) return Failure(reader.error());
    return Extraction(options, std::move(root), cancel).run(std::move(*reader));
}

}  // namespace execd::fs
