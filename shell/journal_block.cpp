#include "shell/journal_block.hpp"

namespace execd::shell {

std::string_view to_string(Stream stream) noexcept {
    switch (stream) {
        case Stream::out: return "stdout";
        case Stream::err: return "stderr";
        case Stream::tty: return "pty";
    }
    return "stdout";
}

std::unique_ptr<char[]> BlockPool::take() {
    if (free_.empty()) return std::make_unique_for_overwrite<char[]>(kBlock);
    auto memory = std::move(free_.back());
    free_.pop_back();
    return memory;
}

void BlockPool::give(std::unique_ptr<char[]> memory) {
    if (free_.size() < kKept) free_.push_back(std::move(memory));
}

Block::Block(std::shared_ptr<BlockPool> pool, std::size_t capacity)
    : pool_(std::move(pool)),
      data_(capacity == BlockPool::kBlock && pool_ ? pool_->take()
                                                   : std::make_unique_for_overwrite<char[]>(capacity)),
      capacity_(capacity) {}

Block::~Block() {
    if (capacity_ == BlockPool::kBlock && pool_) pool_->give(std::move(data_));
}

void Block::commit(Stream stream, std::size_t bytes) {
    if (bytes == 0) return;
    used_ += bytes;
    if (!segments_.empty() && stream_of(segments_.back()) == stream) {
        segments_.back() += static_cast<std::uint32_t>(bytes);
        return;
    }
    segments_.push_back(static_cast<std::uint32_t>(index_of(stream) << 30) |
                        static_cast<std::uint32_t>(bytes));
}

}  // namespace execd::shell
