#include "fs/archive.hpp"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "fs/archive_reader.hpp"
#include "fs/content.hpp"
#include "fs/entry.hpp"
#include "fs/path.hpp"

namespace execd::fs {

namespace {

struct Format {
    std::string_view name;
    ArchiveFormat format;
};
constexpr std::array<Format, 5> kNames{{{"tar", ArchiveFormat::tar},
                                        {"tar.gz", ArchiveFormat::tar_gz},
                                        {"tgz", ArchiveFormat::tar_gz},
                                        {"tar.zst", ArchiveFormat::tar_zst},
                                        {"tzst", ArchiveFormat::tar_zst}}};
constexpr std::size_t kBlock = 128 * 1024;

}  // namespace

std::optional<ArchiveFormat> archive_format(std::string_view name) {
    for (auto const& known : kNames)
        if (known.name == name) return known.format;
    return std::nullopt;
}

std::string_view suffix_of(ArchiveFormat format) {
    switch (format) {
        case ArchiveFormat::tar: return ".tar";
        case ArchiveFormat::tar_gz: return ".tar.gz";
        case ArchiveFormat::tar_zst: return ".tar.zst";
    }
    return ".tar";
}

std::string_view media_type_of(ArchiveFormat format) {
    switch (format) {
        case ArchiveFormat::tar: return "application/x-tar";
        case ArchiveFormat::tar_gz: return "application/gzip";
        case ArchiveFormat::tar_zst: return "application/zstd";
    }
    return "application/x-tar";
}

std::optional<std::string> member_name(std::string_view name) {
    if (name.starts_with('/') || name.find('\0') != std::string_view::npos) return std::nullopt;
    std::string out;
    while (!name.empty()) {
        auto const end = std::min(name.find('/'), name.size());
        auto const part = name.substr(0, end);
        name.remove_prefix(std::min(end + 1, name.size()));
        if (part.empty() || part == ".") continue;
        if (part == "..") return std::nullopt;
        if (!out.empty()) out += '/';
        out += part;
    }
    return out;
}

// ---- packing
// ---------------------------------------------------------------------------------------------------

struct Packer::Impl {
    Impl(PackOptions wanted, CancelFlag flag)
        : options(std::move(wanted)),
          walker(
              options, [](std::string_view, std::string_view, Kind) { return true; }, std::move(flag)) {}

    PackOptions options;
    Walker walker;
    OwnerNames names;
    std::unique_ptr<::archive, ArchiveClose> archive;
    UniqueFd file;
    std::string path;        // of the open file
    std::uint64_t left = 0;  // of its content
    std::string buffer = std::string(kBlock, '\0');
    std::string* out = nullptr;
    std::uint64_t skipped = 0;
    bool finished = false;

    static la_ssize_t take(::archive*, void* context, void const* bytes, std::size_t size) {
        static_cast<Impl*>(context)->out->append(static_cast<char const*>(bytes), size);
        return static_cast<la_ssize_t>(size);
    }
    [[nodiscard]] Failure broken() const {
        char const* const text = ::archive_error_string(archive.get());
        return fail(Code::io, "pack", text != nullptr ? text : "libarchive failed");
    }

    Result<void> start() {
        archive.reset(::archive_write_new());
        if (!archive) return fail(Code::exhausted, "pack", "out of memory");
        auto* const a = archive.get();
        // GNU's tar: names are bytes there, and every tar of today reads it.
        int rc = ::archive_write_set_format_gnutar(a);
        if (rc == ARCHIVE_OK && options.format == ArchiveFormat::tar_gz)
            rc = ::archive_write_add_filter_gzip(a);
        if (rc == ARCHIVE_OK && options.format == ArchiveFormat::tar_zst)
            rc = ::archive_write_add_filter_zstd(a);
        if (rc == ARCHIVE_OK && options.level && options.format != ArchiveFormat::tar)
            rc = ::archive_write_set_filter_option(a, nullptr, "compression-level",
                                                   std::to_string(*options.level).c_str());
        if (rc != ARCHIVE_OK) return broken();
        ::archive_write_set_bytes_per_block(a, 0);
        ::archive_write_set_bytes_in_last_block(a, 1);
        if (::archive_write_open(a, this, nullptr, &Impl::take, nullptr) != ARCHIVE_OK) return broken();
        return {};
    }

    Result<void> add(WalkItem const& item) {
        bool const regular = item.kind == Kind::file;
        if (item.kind == Kind::other) {
            ++skipped;
            return {};
        }
        struct ::stat stat {};
        if (regular) {
            // A root that was followed (fs/through_link.hpp) may be a link to the file.
            bool const root = options.path.ends_with('/') && item.path.size() < options.path.size();
            int const flags = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | (root ? 0 : O_NOFOLLOW);
            file.reset(::open(item.path.c_str(), flags));
            if (!file && (errno == ENOENT || errno == ELOOP)) return {};  // gone since it was seen
            if (!file) return fail_errno("open", errno, item.path);
            if (::fstat(file.get(), &stat) != 0) return fail_errno("stat", errno, item.path);
        } else if (::lstat(item.path.c_str(), &stat) != 0) {
            return errno == ENOENT ? Result<void>() : fail_errno("lstat", errno, item.path);
        }
        // What it was when it was seen may be something else by now.
        if (S_ISREG(stat.st_mode) != regular || S_ISDIR(stat.st_mode) != (item.kind == Kind::directory)) {
            file.reset();
            ++skipped;
            return {};
        }
        return add_header(item, stat);
    }

    Result<void> add_header(WalkItem const& item, struct ::stat const& stat) {
        std::unique_ptr<::archive_entry, void (*)(::archive_entry*)> const entry(::archive_entry_new(),
                                                                                 &::archive_entry_free);
        auto* const e = entry.get();
        ::archive_entry_set_pathname(
            e, (item.kind == Kind::directory ? item.relative + "/" : item.relative).c_str());
        ::archive_entry_copy_stat(e, &stat);
        ::archive_entry_set_nlink(e, 1);
        ::archive_entry_set_uname(e, names.user(stat.st_uid).c_str());
        ::archive_entry_set_gname(e, names.group(stat.st_gid).c_str());
        if (item.kind == Kind::symlink) {
            char target[4096];
            auto const n = ::readlink(item.path.c_str(), target, sizeof target - 1);
            if (n < 0) return errno == ENOENT ? Result<void>() : fail_errno("readlink", errno, item.path);
            target[n] = '\0';
            ::archive_entry_set_symlink(e, target);
        }
        if (item.kind != Kind::file) ::archive_entry_set_size(e, 0);
        if (::archive_write_header(archive.get(), e) < ARCHIVE_WARN) return broken();
        left = item.kind == Kind::file ? static_cast<std::uint64_t>(stat.st_size) : 0;
        path = item.path;
        if (left == 0) file.reset();
        return {};
    }

    Result<void> add_content() {
        ssize_t n = 0;
        do n = ::read(file.get(), buffer.data(), std::min<std::uint64_t>(left, buffer.size()));
        while (n < 0 && errno == EINTR);
        if (n < 0) return fail_errno("read", errno, path);
        // The head has promised the size: what follows would be invented.
        if (n == 0) return fail(Code::conflict, "pack.changed", path + " became shorter while it was read");
        if (::archive_write_data(archive.get(), buffer.data(), static_cast<std::size_t>(n)) != n)
            return broken();
        left -= static_cast<std::uint64_t>(n);
        if (left == 0) file.reset();
        return {};
    }

    Result<void> step() {
        if (file) return add_content();
        WalkItem item;
        auto const more = walker.next(item);
        if (!more) return Failure(more.error());
        if (*more) return add(item);
        if (::archive_write_close(archive.get()) != ARCHIVE_OK) return broken();
        finished = true;
        return {};
    }
};

Packer::Packer(PackOptions options, CancelFlag cancel)
    : impl_(std::make_unique<Impl>(std::move(options), std::move(cancel))) {}
Packer::~Packer() {
    // Closing writes the end of the archive: there is nowhere to put it, but somewhere there must be.
    std::string nowhere;
    if (impl_) impl_->out = &nowhere;
    if (impl_) impl_->archive.reset();
}
Packer::Packer(Packer&&) noexcept = default;
bool Packer::done() const { return impl_->finished; }
std::uint64_t Packer::skipped() const { return impl_->skipped; }

Result<void> Packer::next(std::string& out, std::size_t least) {
    auto const until = out.size() + least;
    impl_->out = &out;
    if (!impl_->archive)
        if (auto ok = impl_->start(); !ok) return ok;
    while (!impl_->finished && out.size() < until)
        if (auto ok = impl_->step(); !ok) return ok;
    return {};
}

}  // namespace execd::fs
