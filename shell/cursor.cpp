#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/fault.hpp"
#include "shell/journal.hpp"

namespace execd::shell {

Cursor Journal::reader(ReadFrom from) { return Cursor(shared_from_this(), std::move(from)); }

Cursor::Cursor(std::shared_ptr<Journal> journal, ReadFrom from)
    : journal_(std::move(journal)),
      streams_(from.streams),
      until_(from.until),
      now_limit_(journal_->end_.total),
      mark_(std::move(from.mark)),
      position_(from.position) {
    journal_->cursors_.push_back(this);
}

Cursor::Cursor(Cursor&& other) noexcept
    : journal_(std::move(other.journal_)),
      streams_(other.streams_),
      until_(other.until_),
      now_limit_(other.now_limit_),
      mark_(std::move(other.mark_)),
      position_(other.position_),
      loaded_(std::move(other.loaded_)) {
    if (journal_) std::replace(journal_->cursors_.begin(), journal_->cursors_.end(), &other, this);
}

Cursor::~Cursor() {
    if (!journal_) return;
    std::erase(journal_->cursors_, this);
    journal_->read_event_.notify_all();
}

std::uint64_t Cursor::limit() const {
    if (until_ == Until::now) return now_limit_;
    if (mark_ && mark_->end) return mark_->end->total;
    if (until_ == Until::verdict && journal_->verdict_) return journal_->verdict_->total;
    return journal_->closed_ ? journal_->end_.total : ~std::uint64_t{0};
}

bool Cursor::at_end() const { return position_.total >= limit(); }

void Cursor::take_gap(Batch& batch) {
    Position const begin = journal_->begin();
    bool told = false;
    for (std::size_t s = 0; s < kStreams; ++s) {
        auto const stream = static_cast<Stream>(s);
        if ((streams_ & mask_of(stream)) == 0 || position_.offsets[s] >= begin.offsets[s]) continue;
        batch.slices.push_back(
            {stream, position_.offsets[s], position_.total, {}, begin.offsets[s] - position_.offsets[s]});
        position_.offsets[s] = begin.offsets[s];
        told = true;
    }
    // A place given by its total alone: which stream the bytes belonged to is forgotten with them.
    if (!told && streams_ == kAllStreams)
        batch.slices.push_back(
            {Stream::out, position_.offsets[0], position_.total, {}, begin.total - position_.total});
    position_.total = begin.total;
}

/// Gives out this block's bytes from our position on, as far as mask, limit and `max` allow.
void Cursor::take(std::shared_ptr<Block> const& block, Position const& start, Batch& batch, std::size_t max) {
    Position at = start;
    char const* data = block->data();
    std::uint64_t const end = limit();
    bool held = false;
    for (std::uint32_t const segment : block->segments()) {
        Stream const stream = Block::stream_of(segment);
        std::size_t const s = index_of(stream);
        std::uint64_t const size = Block::size_of(segment);
        std::uint64_t from = 0;
        if (position_.total > at.total) from = std::min(size, position_.total - at.total);
        bool const wanted = (streams_ & mask_of(stream)) != 0;
        if (wanted && position_.offsets[s] > at.offsets[s])
            from = std::max(from, std::min(size, position_.offsets[s] - at.offsets[s]));
        std::uint64_t to = std::min(size, end > at.total ? end - at.total : 0);
        if (wanted) to = std::min<std::uint64_t>(to, from + (max - std::min(max, batch.bytes)));
        if (wanted && to > from) {
            batch.slices.push_back({stream, at.offsets[s] + from, at.total + from,
                                    std::string_view(data + from, static_cast<std::size_t>(to - from)), 0});
            batch.bytes += static_cast<std::size_t>(to - from);
            if (!held) batch.held.push_back(block);
            held = true;
        }
        std::uint64_t const seen = std::max(from, to);
        if (at.total + seen > position_.total) position_.total = at.total + seen;
        position_.offsets[s] = std::max(position_.offsets[s], at.offsets[s] + seen);
        if (seen < size) return;  // limit or max
        at.total += size;
        at.offsets[s] += size;
        data += size;
    }
}

bool Cursor::poll(Batch& batch, std::size_t max) {
    batch.clear();
    Journal& journal = *journal_;
    std::uint64_t const before = position_.total;
    while (batch.bytes < max && !at_end()) {
        if (position_.total < journal.begin().total) {
            take_gap(batch);
            continue;
        }
        if (journal.entries_.empty()) break;
        Journal::Entry const& entry = journal.entries_[journal.find(position_.total)];
        if (position_.total >= entry.end_total()) break;
        if (entry.memory) {
            take(entry.memory, entry.start, batch, max);
        } else {
            while (!loaded_.empty() && loaded_.front().total < entry.start.total) loaded_.pop_front();
            if (loaded_.empty() || loaded_.front().total != entry.start.total) break;
            take(loaded_.front().block, entry.start, batch, max);
        }
    }
    if (position_.total != before && journal.read_event_.has_waiters()) journal.read_event_.notify_all();
    return !batch.empty();
}

namespace {
bool read_block(int fd, std::uint64_t at, Block& block, std::size_t size) {
    auto const read_all = [fd](char* to, std::size_t want, std::uint64_t from) {
        while (want > 0) {
            if (fault::hit("journal.spill.read") != 0) return false;
            ssize_t const n = ::pread(fd, to, want, static_cast<off_t>(from));
            if (n < 0 && errno == EINTR) continue;
            if (n <= 0) return false;
            to += n;
            from += static_cast<std::uint64_t>(n);
            want -= static_cast<std::size_t>(n);
        }
        return true;
    };
    block.set_used(size);
    return read_all(block.data(), size, at) &&
           read_all(reinterpret_cast<char*>(block.segments().data()),
                    block.segments().size() * sizeof(std::uint32_t), at + size);
}
}  // namespace

/// Brings the spilled blocks from our position on into memory, a few at once; what cannot be read becomes a
/// gap.
Task<void> Cursor::load() {
    constexpr std::size_t kLoadAtOnce = 512 << 10;
    struct Part {
        std::uint64_t total;
        std::uint64_t file_at;
        std::size_t size;
        std::shared_ptr<Block> block;
    };
    Journal& journal = *journal_;
    std::size_t const first = journal.find(position_.total);
    std::vector<Part> parts;
    std::size_t bytes = 0;
    for (std::size_t i = first; i < journal.on_disk_ && bytes < kLoadAtOnce; ++i) {
        Journal::Entry const& entry = journal.entries_[i];
        auto block = std::make_shared<Block>(nullptr, std::max<std::size_t>(entry.size, 1));
        block->segments().resize(entry.segments);
        parts.push_back({entry.start.total, entry.file_at, entry.size, std::move(block)});
        bytes += entry.size;
    }
    auto const file = journal.file_;
    // Named, with trivial captures: g++ 12 destroys a closure twice that is a temporary of a co_await.
    auto const work = [fd = file->get(), &parts] {
        std::size_t good = 0;
        while (good < parts.size() &&
               read_block(fd, parts[good].file_at, *parts[good].block, parts[good].size))
            ++good;
        return good;
    };
    std::size_t const good = co_await journal.loop_->pool().run(Lane::bulk, work);
    // Forgotten meanwhile, maybe punched out under the read: a gap.
    std::uint64_t const begin = journal.begin().total;
    if (begin > parts.front().total) co_return;
    if (good == 0) {
        while (!journal.spilling_ && journal.on_disk_ > 0 && journal.begin().total <= parts.front().total)
            journal.forget_front();
        co_return;
    }
    loaded_.clear();
    for (std::size_t i = 0; i < good; ++i) loaded_.push_back({parts[i].total, std::move(parts[i].block)});
}

Task<Next> Cursor::next(Batch& batch, Deadline deadline, std::size_t max) {
    Journal& journal = *journal_;
    while (true) {
        if (poll(batch, max)) co_return Next::data;
        if (at_end()) co_return Next::end;
        bool const on_disk = journal.on_disk_ > 0 && position_.total < journal.end_.total &&
                             !journal.entries_[journal.find(position_.total)].memory;
        if (on_disk) {
            co_await load();
            continue;
        }
        if (bool const woken = co_await journal.changed_.wait(journal.loop_->clock(), deadline); !woken)
            co_return Next::timed_out;
    }
}

}  // namespace execd::shell
