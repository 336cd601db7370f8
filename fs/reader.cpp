#include "fs/reader.hpp"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>

#include "base/fault.hpp"
#include "fs/cached.hpp"
#include "fs/content.hpp"
#include "fs/executor.hpp"
#include "fs/path.hpp"

namespace execd::fs {

namespace {

constexpr std::size_t kChunk = 256 * 1024;

Result<void> check_kind(mode_t mode, std::string const& path) {
    if (S_ISREG(mode)) return {};
    if (S_ISDIR(mode)) return fail_errno("open", EISDIR, path);
    return fail(Code::invalid_argument, "open.special", path + " is not a regular file");
}

bool is_virtual(int fd) {
    struct ::statfs stat {};
    if (::fstatfs(fd, &stat) != 0) return false;
    return stat.f_type == PROC_SUPER_MAGIC || stat.f_type == SYSFS_MAGIC ||
           stat.f_type == CGROUP_SUPER_MAGIC || stat.f_type == CGROUP2_SUPER_MAGIC ||
           stat.f_type == DEBUGFS_MAGIC;
}

Result<OpenFile> describe(UniqueFd fd, std::string const& path) {
    struct ::stat stat {};
    if (::fstat(fd.get(), &stat) != 0) return fail_errno("stat", errno, path);
    if (auto ok = check_kind(stat.st_mode, path); !ok) return Failure(ok.error());
    OpenFile file;
    file.path = path;
    file.size = static_cast<std::uint64_t>(stat.st_size);
    file.mtime_ns = std::int64_t{stat.st_mtim.tv_sec} * 1'000'000'000 + stat.st_mtim.tv_nsec;
    file.inode = stat.st_ino;
    file.device = stat.st_dev;
    file.mode = stat.st_mode & 07777U;
    // Kernel files say 0 or a page: only then ask what they are.
    if (stat.st_size == 0 || stat.st_size == 4096) file.sized = !is_virtual(fd.get());
    file.fd = std::move(fd);
    return file;
}

}  // namespace

std::string OpenFile::etag() const {
    char text[64];
    char* at = text;
    for (auto const part : {inode, size, static_cast<std::uint64_t>(mtime_ns)}) {
        if (at != text) *at++ = '-';
        at = std::to_chars(at, std::end(text), part, 16).ptr;
    }
    return std::string(text, at);
}

bool OpenFile::changed() const {
    struct ::stat stat {};
    if (::fstat(fd.get(), &stat) != 0) return true;
    auto const mtime = std::int64_t{stat.st_mtim.tv_sec} * 1'000'000'000 + stat.st_mtim.tv_nsec;
    return static_cast<std::uint64_t>(stat.st_size) != size || mtime != mtime_ns;
}

Result<OpenFile> OpenRead::run() const {
    if (auto ok = check_path(path); !ok) return Failure(ok.error());
    if (int const e = fault::hit("open")) return fail_errno("open", e, path);
    struct ::stat stat {};
    int const rc = follow ? ::stat(path.c_str(), &stat) : ::lstat(path.c_str(), &stat);
    if (rc != 0) return fail_errno("open", errno, path);
    if (auto ok = check_kind(stat.st_mode, path); !ok) return Failure(ok.error());
    // Not blocking, because the name may have become a FIFO since.
    UniqueFd fd(
        ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | (follow ? 0 : O_NOFOLLOW)));
    if (!fd) return fail_errno("open", errno, path);
    return describe(std::move(fd), path);
}

bool read_at_once(OpenFile const& file, std::uint64_t offset, std::uint64_t length, std::string& out) {
    out.resize(length);
    if (length == 0) return true;
    auto const at = static_cast<std::int64_t>(offset);
    auto const n =
        file.in_memory ? ::pread(file.fd.get(), out.data(), length, at) : read_cached(file.fd.get(), out, at);
    return n == static_cast<std::int64_t>(length);
}

std::optional<Result<OpenFile>> open_at_once(Executor& files, std::string const& path) {
    if (!files.local() || !check_path(path)) return std::nullopt;
    UniqueFd const seen = peek(path);  // to open a device may do something to it
    struct ::statx stat {};
    int const flags = AT_EMPTY_PATH | AT_STATX_DONT_SYNC;  // of a server nothing is asked
    if (!seen || ::statx(seen.get(), "", flags, STATX_TYPE, &stat) != 0 || !S_ISREG(stat.stx_mode))
        return std::nullopt;
    std::uint64_t const device = ::makedev(stat.stx_dev_major, stat.stx_dev_minor);
    auto const storage = files.storage(path, seen.get(), device);
    if (storage == Storage::may_wait) return std::nullopt;
    UniqueFd fd = open_cached(path);
    if (!fd) return std::nullopt;
    auto file = describe(std::move(fd), path);
    if (file) file->in_memory = storage == Storage::memory && file->device == device;
    return file;
}

Task<Result<OpenFile>> open_for_read(Executor& files, std::string path) {
    if (auto quick = open_at_once(files, path)) co_return std::move(*quick);
    OpenRead open{std::move(path)};
    auto opened = co_await files.run(std::move(open));
    if (opened) opened->may_hang = files.may_hang(opened->fd.get());
    co_return opened;
}

namespace {
struct ReadHere {
    int fd;
    std::span<char> out;
    std::uint64_t offset;
    Result<std::size_t> operator()() const { return read_at(fd, out, static_cast<std::int64_t>(offset)); }
};
/// A read that may never come back: nothing of it is the caller's.
struct ReadPiece {
    using Answer = std::string;
    static constexpr Lane kLane = Lane::bulk;
    bool may_hang = true;
    UniqueFd fd{};
    std::uint64_t offset = 0;
    std::size_t size = 0;

    ReadPiece(UniqueFd own, std::uint64_t from, std::size_t up_to)
        : fd(std::move(own)), offset(from), size(up_to) {}
    [[nodiscard]] Result<std::string> run() const {
        std::string out(size, '\0');
        auto const n = read_at(fd.get(), out, static_cast<std::int64_t>(offset));
        if (!n) return Failure(n.error());
        out.resize(*n);
        return out;
    }
};
struct ReadAll {
    using Answer = std::string;
    static constexpr Lane kLane = Lane::bulk;
    bool may_hang = true;
    UniqueFd fd{};
    std::uint64_t limit = 0;
    ReadAll(UniqueFd own, std::uint64_t up_to) : fd(std::move(own)), limit(up_to) {}
    [[nodiscard]] Result<std::string> run() const { return read_all(fd.get(), limit); }
};
struct ReadAllHere {
    int fd;
    std::uint64_t limit;
    Result<std::string> operator()() const { return read_all(fd, limit); }
};
}  // namespace

Task<Result<std::size_t>> read_some(Executor& files, OpenFile const& file, std::uint64_t offset,
                                    std::span<char> out) {
    if (file.may_hang) {
        UniqueFd own(::fcntl(file.fd.get(), F_DUPFD_CLOEXEC, 0));
        if (!own) co_return fail_errno("read", errno, file.path);
        ReadPiece piece(std::move(own), offset, out.size());
        auto const bytes = co_await files.run_here(std::move(piece));
        if (!bytes) co_return Failure(bytes.error());
        std::copy(bytes->begin(), bytes->end(), out.begin());
        co_return bytes->size();
    }
    if (file.sized) {
        auto const n = read_cached(file.fd.get(), out, static_cast<std::int64_t>(offset));
        if (n > 0 || (n == 0 && offset >= file.size)) co_return static_cast<std::size_t>(n);
    }
    co_return co_await files.loop().pool().run(Lane::bulk, ReadHere{file.fd.get(), out, offset});
}

Task<Result<std::string>> read_whole(Executor& files, OpenFile const& file, std::uint64_t limit) {
    if (file.sized && file.size <= kChunk && file.size <= limit) {
        std::string out(file.size, '\0');
        auto const n = read_cached(file.fd.get(), out, 0);
        if (n == static_cast<std::int64_t>(file.size)) co_return out;
    }
    Result<std::string> out;
    if (file.may_hang) {
        ReadAll all(UniqueFd(::fcntl(file.fd.get(), F_DUPFD_CLOEXEC, 0)), limit);
        out = co_await files.run_here(std::move(all));
    } else {
        out = co_await files.loop().pool().run(Lane::bulk, ReadAllHere{file.fd.get(), limit});
    }
    if (!out && out.error().code == Code::too_large)
        out.error().detail = file.path + ": " + out.error().detail;
    co_return out;
}

void LineWindow::end_line() {
    ++seen_;
    returns_ = 0;
    if (skip_ > 0)
        --skip_;
    else if (left_ && *left_ > 0)
        --*left_;
    if (in_line_) chosen_before_ = true;
    in_line_ = false;
}

void LineWindow::push(std::string_view bytes, std::string& out) {
    while (!bytes.empty() && !done()) {
        auto const newline = bytes.find('\n');
        auto text = bytes.substr(0, newline);
        if (skip_ == 0) {
            if (!in_line_) {
                // The '\n' between two chosen lines is owed once the second one has begun.
                if (chosen_before_) out += '\n';
                in_line_ = true;
            }
            auto const kept = text.find_last_not_of('\r');
            if (kept != std::string_view::npos) {
                out.append(returns_, '\r');
                out.append(text.substr(0, kept + 1));
                returns_ = text.size() - kept - 1;
            } else {
                returns_ += text.size();
            }
        }
        if (newline == std::string_view::npos) return;
        end_line();
        bytes.remove_prefix(newline + 1);
    }
}

LineReader::LineReader(Executor& files, OpenFile file, std::uint64_t offset,
                       std::optional<std::uint64_t> limit)
    : files_(&files), file_(std::move(file)), window_(offset, limit), buffer_(64 * 1024, '\0') {}

Task<Result<std::string>> LineReader::next() {
    std::string out;
    while (out.empty() && !ended_ && !window_.done()) {
        auto const n = co_await read_some(*files_, file_, at_, buffer_);
        if (!n) co_return Failure(n.error());
        ended_ = *n == 0;
        at_ += *n;
        window_.push(std::string_view(buffer_).substr(0, *n), out);
    }
    co_return out;
}

}  // namespace execd::fs
