// libarchive's reading half: the three formats, errors as ours.
#pragma once
#include <memory>
#include <string>
#include <string_view>

#include "base/error.hpp"

struct archive;
struct archive_entry;

namespace execd::fs {

struct ArchiveClose {
    void operator()(::archive* a) const;
};

class ArchiveReader {
  public:
    /// From the beginning of the file. The descriptor is borrowed.
    [[nodiscard]] static Result<ArchiveReader> open(int fd);
    [[nodiscard]] static Result<ArchiveReader> open(std::string_view bytes);

    /// Null at the end. Valid until the next call.
    [[nodiscard]] Result<::archive_entry*> next();
    struct Block {
        std::string_view bytes;
        std::uint64_t offset = 0;
        bool end = false;
    };
    [[nodiscard]] Result<Block> data();
    /// Reads over the content; how many bytes it was.
    [[nodiscard]] Result<std::uint64_t> skip(std::uint64_t limit);

  private:
    struct Source;
    ArchiveReader();
    [[nodiscard]] Error broken() const;
    [[nodiscard]] Result<void> start();
    std::unique_ptr<Source> source_;
    std::unique_ptr<::archive, ArchiveClose> archive_;

  public:
    ~ArchiveReader();
    ArchiveReader(ArchiveReader&&) noexcept;
};

}  // namespace execd::fs
