#include "fs/spool.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "base/fault.hpp"
#include "base/ids.hpp"
#include "fs/content.hpp"
#include "fs/executor.hpp"
#include "fs/path.hpp"

namespace execd::fs {

namespace {
constexpr std::size_t kPart = 256 * 1024;
}

Result<UniqueFd> open_unnamed(std::string const& directory) {
    if (int const e = fault::hit("open")) return fail_errno("open", e, directory);
    UniqueFd fd(::open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
    if (fd) return fd;
    if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL)
        return fail_errno("open", errno, directory);
    // A file system without nameless files: a name that is taken away at once.
    std::string const name = join_path(directory, ".execd-" + random_hex(8) + ".tmp");
    fd.reset(::open(name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (!fd) return fail_errno("open", errno, directory);
    ::unlink(name.c_str());
    return fd;
}

/// Shared with the pool thread: a Spool may die while a part is being written.
struct Spool::Disk {
    explicit Disk(std::string where) : directory(std::move(where)) {}
    std::string directory;
    UniqueFd fd;
    std::string part;
    std::uint64_t offset = 0;

    Result<void> put() {
        if (!fd) {
            auto opened = open_unnamed(directory);
            if (!opened) return Failure(opened.error());
            fd = std::move(*opened);
        }
        auto ok = write_all(fd.get(), part, static_cast<std::int64_t>(offset));
        offset += part.size();
        if (!ok) ok.error().detail = directory;
        return ok;
    }
    Result<std::size_t> get(std::uint64_t at) {
        part.resize(kPart);
        auto n = read_at(fd.get(), part, static_cast<std::int64_t>(at));
        if (n) part.resize(*n);
        return n;
    }
};

namespace {
template <class Disk>
struct PutPart {
    using Answer = std::size_t;
    static constexpr Lane kLane = Lane::bulk;
    explicit PutPart(std::shared_ptr<Disk> d) : disk(std::move(d)) {}
    std::shared_ptr<Disk> disk;
    bool may_hang = true;
    [[nodiscard]] Result<std::size_t> run() const {
        auto ok = disk->put();
        if (!ok) return Failure(ok.error());
        return std::size_t{0};
    }
    Result<std::size_t> operator()() const { return run(); }
};
template <class Disk>
struct GetPart {
    using Answer = std::size_t;
    static constexpr Lane kLane = Lane::bulk;
    GetPart(std::shared_ptr<Disk> d, std::uint64_t from) : disk(std::move(d)), at(from) {}
    std::shared_ptr<Disk> disk;
    std::uint64_t at;
    bool may_hang = true;
    [[nodiscard]] Result<std::size_t> run() const { return disk->get(at); }
    Result<std::size_t> operator()() const { return run(); }
};
}  // namespace

Spool::Spool(Executor& files, std::string directory)
    : loop_(&files.loop()), files_(&files), directory_(std::move(directory)) {}

template <class Op>
Task<Result<std::size_t>> Spool::run(Op op) {
    if (files_ != nullptr && files_->may_hang(directory_)) co_return co_await files_->run_here(std::move(op));
    co_return co_await loop_->pool().run(Lane::bulk, std::move(op));
}

Task<Result<void>> Spool::write_out() {
    if (!disk_) disk_ = std::make_shared<Disk>(directory_);
    std::swap(disk_->part, memory_);
    memory_.clear();
    PutPart<Disk> put(disk_);
    auto const ok = co_await run(std::move(put));
    if (!ok) co_return Failure(ok.error());
    co_return Result<void>();
}

Task<Result<void>> Spool::append(std::string_view bytes) {
    size_ += bytes.size();
    while (!bytes.empty()) {
        auto const now = bytes.substr(0, kPart - memory_.size());
        memory_.append(now);
        bytes.remove_prefix(now.size());
        if (memory_.size() < kPart) continue;
        auto ok = co_await write_out();
        if (!ok) co_return ok;
    }
    co_return Result<void>();
}

Task<Result<std::string_view>> Spool::next() {
    if (!disk_) {
        bool const given = std::exchange(reading_, true);
        co_return given ? std::string_view() : std::string_view(memory_);
    }
    if (!reading_ && !memory_.empty()) {
        auto ok = co_await write_out();
        if (!ok) co_return Failure(ok.error());
    }
    reading_ = true;
    GetPart<Disk> get(disk_, read_);
    auto n = co_await run(std::move(get));
    if (!n) co_return Failure(n.error());
    read_ += *n;
    co_return std::string_view(disk_->part);
}

Task<Result<UniqueFd>> Spool::take_file() {
    auto ok = co_await write_out();
    if (!ok) co_return Failure(ok.error());
    co_return std::move(disk_->fd);
}

}  // namespace execd::fs
