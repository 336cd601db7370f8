// The pieces a journal is made of: streams, blocks of bytes with their order, and batches of views for
// readers. Pure: no I/O, no clock.
#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

namespace execd::shell {

/// `tty` is the one stream of a terminal.
enum class Stream : std::uint8_t { out, err, tty };
inline constexpr std::size_t kStreams = 3;
[[nodiscard]] constexpr std::size_t index_of(Stream stream) { return static_cast<std::size_t>(stream); }
[[nodiscard]] std::string_view to_string(Stream stream) noexcept;

using StreamOffsets = std::array<std::uint64_t, kStreams>;
using StreamMask = std::uint8_t;
[[nodiscard]] constexpr StreamMask mask_of(Stream stream) {
    return static_cast<StreamMask>(1U << index_of(stream));
}
inline constexpr StreamMask kAllStreams = 7;

/// Recycles the memory of full-size blocks, so that streaming gigabytes touches the same cached megabyte.
class BlockPool {
  public:
    static constexpr std::size_t kBlock = 64 << 10;
    [[nodiscard]] std::unique_ptr<char[]> take();
    void give(std::unique_ptr<char[]> memory);

  private:
    static constexpr std::size_t kKept = 20;
    std::vector<std::unique_ptr<char[]>> free_;
};

/// Bytes of all streams in the order they came, with the streams' alternation. Bytes that are in never move.
class Block {
  public:
    /// A capacity of BlockPool::kBlock is taken from the pool.
    Block(std::shared_ptr<BlockPool> pool, std::size_t capacity);
    ~Block();
    Block(Block const&) = delete;
    Block& operator=(Block const&) = delete;

    [[nodiscard]] char* free_space() const { return data_.get() + used_; }
    [[nodiscard]] std::size_t free_size() const {
        return segments_.size() < kMaxSegments ? capacity_ - used_ : 0;
    }
    /// `bytes` were put at free_space().
    void commit(Stream stream, std::size_t bytes);

    [[nodiscard]] char* data() const { return data_.get(); }
    [[nodiscard]] std::size_t used() const { return used_; }
    [[nodiscard]] std::size_t capacity() const { return capacity_; }
    /// What it costs in memory: bytes and order.
    [[nodiscard]] std::size_t weight() const { return used_ + segments_.size() * sizeof(std::uint32_t); }
    [[nodiscard]] std::vector<std::uint32_t>& segments() { return segments_; }
    [[nodiscard]] std::vector<std::uint32_t> const& segments() const { return segments_; }
    void set_used(std::size_t used) { used_ = used; }

    static constexpr Stream stream_of(std::uint32_t segment) { return static_cast<Stream>(segment >> 30); }
    static constexpr std::size_t size_of(std::uint32_t segment) { return segment & 0x3fffffffU; }

  private:
    /// A child that alternates streams byte by byte must not cost more in order than in bytes.
    static constexpr std::size_t kMaxSegments = 4096;
    std::shared_ptr<BlockPool> pool_;
    std::unique_ptr<char[]> data_;
    std::size_t capacity_;
    std::size_t used_ = 0;
    std::vector<std::uint32_t> segments_;
};

/// A run of bytes of one stream, or a gap.
struct Slice {
    Stream stream = Stream::out;
    /// Absolute offset of the first byte in its stream.
    std::uint64_t offset = 0;
    /// Bytes of all streams before it.
    std::uint64_t total = 0;
    std::string_view bytes;
    /// Not 0: so many bytes of this stream, from `offset` on, are gone; `bytes` is empty then.
    std::uint64_t lost = 0;
};

/// What a reader got at once, in order. Owns (shares) the memory its views point into.
struct Batch {
    std::vector<Slice> slices;
    std::vector<std::shared_ptr<Block>> held;
    std::size_t bytes = 0;

    void clear() {
        slices.clear();
        held.clear();
        bytes = 0;
    }
    [[nodiscard]] bool empty() const { return slices.empty(); }
};

}  // namespace execd::shell
