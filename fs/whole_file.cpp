#include "fs/whole_file.hpp"

#include <atomic>
#include <utility>

#include "fs/content.hpp"

namespace execd::fs {

namespace {
std::atomic<std::uint64_t> taken{0};
}

Result<MemoryShare> MemoryShare::take(std::uint64_t bytes) {
    if (bytes <= kSmall) return MemoryShare(0);
    auto before = taken.load();
    do {
        if (before > 0 && before + bytes > kBound)
            return fail(Code::exhausted, "fs.memory", "other large files are being read or changed");
    } while (!taken.compare_exchange_weak(before, before + bytes));
    return MemoryShare(bytes);
}

MemoryShare::MemoryShare(MemoryShare&& other) noexcept : bytes_(std::exchange(other.bytes_, 0)) {}
MemoryShare& MemoryShare::operator=(MemoryShare&& other) noexcept {
    std::swap(bytes_, other.bytes_);
    return *this;
}
MemoryShare::~MemoryShare() { taken -= bytes_; }

Result<WholeFile> load_file(std::string const& path, std::uint64_t max_size) {
    auto file = OpenRead(path).run();
    if (!file) return Failure(std::move(file.error()));
    if (file->size > max_size)
        return fail(Code::too_large, "read", path + ": file of " + std::to_string(file->size) + " bytes");
    auto share = MemoryShare::take(file->size);
    if (!share) return Failure(std::move(share.error()));
    auto bytes = read_all(file->fd.get(), max_size);
    if (!bytes) {
        bytes.error().detail = path + ": " + bytes.error().detail;
        return Failure(std::move(bytes.error()));
    }
    return WholeFile{std::move(*file), std::move(*share), std::move(*bytes)};
}

}  // namespace execd::fs
