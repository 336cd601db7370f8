#include "fs/archive_reader.hpp"

#include <archive.h>
#include <archive_entry.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "fs/archive_charset.hpp"

namespace execd::fs {

void ArchiveClose::operator()(::archive* a) const { ::archive_free(a); }

struct ArchiveReader::Source {
    int fd = -1;
    std::string_view memory{};
    std::int64_t at = 0;
    std::array<char, 128 * 1024> buffer{};

    static la_ssize_t read(::archive* a, void* context, void const** out) {
        auto& self = *static_cast<Source*>(context);
        if (self.fd < 0) {
            auto const left = self.memory.substr(static_cast<std::size_t>(self.at));
            *out = left.data();
            self.at += static_cast<std::int64_t>(left.size());
            return static_cast<la_ssize_t>(left.size());
        }
        ssize_t n = 0;
        do n = ::pread(self.fd, self.buffer.data(), self.buffer.size(), self.at);
        while (n < 0 && errno == EINTR);
        if (n < 0) {
            ::archive_set_error(a, errno, "read failed");
            return ARCHIVE_FATAL;
        }
        self.at += n;
        *out = self.buffer.data();
        return n;
    }
};

ArchiveReader::ArchiveReader() : source_(std::make_unique<Source>()) {}
ArchiveReader::~ArchiveReader() = default;
ArchiveReader::ArchiveReader(ArchiveReader&&) noexcept = default;

Error ArchiveReader::broken() const {
    char const* const text = ::archive_error_string(archive_.get());
    return Error{Code::decode, "archive", 0, text != nullptr ? text : "not a tar archive"};
}

Result<void> ArchiveReader::start() {
    keep_archive_names_as_bytes();
    archive_.reset(::archive_read_new());
    if (!archive_) return fail(Code::exhausted, "archive", "out of memory");
    // One by one: what is not named here is not in the program.
    ::archive_read_support_format_tar(archive_.get());
    ::archive_read_support_filter_gzip(archive_.get());
    ::archive_read_support_filter_zstd(archive_.get());
    if (::archive_read_open(archive_.get(), source_.get(), nullptr, &Source::read, nullptr) < ARCHIVE_WARN)
        return Failure(broken());
    return {};
}

Result<ArchiveReader> ArchiveReader::open(int fd) {
    ArchiveReader out;
    out.source_->fd = fd;
    if (auto ok = out.start(); !ok) return Failure(ok.error());
    return out;
}

Result<ArchiveReader> ArchiveReader::open(std::string_view bytes) {
    ArchiveReader out;
    out.source_->memory = bytes;
    if (auto ok = out.start(); !ok) return Failure(ok.error());
    return out;
}

Result<::archive_entry*> ArchiveReader::next() {
    ::archive_entry* entry = nullptr;
    int const rc = ::archive_read_next_header(archive_.get(), &entry);
    if (rc == ARCHIVE_EOF) return nullptr;
    // A warning is about something that could not be taken over as it is; the entry is whole.
    if (rc != ARCHIVE_OK && rc != ARCHIVE_WARN) return Failure(broken());
    if (::archive_entry_pathname(entry) == nullptr)
        return fail(Code::decode, "archive", "an entry without a name");
    return entry;
}

Result<ArchiveReader::Block> ArchiveReader::data() {
    void const* bytes = nullptr;
    std::size_t size = 0;
    la_int64_t offset = 0;
    int const rc = ::archive_read_data_block(archive_.get(), &bytes, &size, &offset);
    Block block;
    block.end = rc == ARCHIVE_EOF;
    if (block.end) return block;
    if (rc != ARCHIVE_OK && rc != ARCHIVE_WARN) return Failure(broken());
    if (offset < 0) return fail(Code::decode, "archive", "a negative offset");
    block.bytes = std::string_view(static_cast<char const*>(bytes), size);
    block.offset = static_cast<std::uint64_t>(offset);
    return block;
}

Result<std::uint64_t> ArchiveReader::skip(std::uint64_t limit) {
    std::uint64_t end = 0;
    for (;;) {
        auto const block = data();
        if (!block) return Failure(block.error());
        if (block->end) return end;
        end = std::max(end, block->offset + block->bytes.size());
        if (end > limit) return end;
    }
}

}  // namespace execd::fs
