#include "shell/journal.hpp"

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/check.hpp"
#include "base/fault.hpp"
#include "base/log.hpp"
#include "shell/spill_store.hpp"

namespace execd::shell {

namespace {
constexpr std::size_t kFirstBlock = 4 << 10;
constexpr std::size_t kSecondBlock = 16 << 10;
constexpr std::size_t kSpillAtOnce = 512 << 10;
constexpr std::size_t kLeastRead = 1 << 10;
constexpr std::uint64_t kPunchAtOnce = 4 << 20;
/// More than the largest piece that is spilled at once: half a megabyte, a block too much, and their order.
constexpr std::uint64_t kLeastCircle = 2 << 20;
/// How long a full ring waits for a reader that is at work before it goes to the disk: copying to and from
/// there costs the reader more than this.
constexpr Duration kReadersTurn = std::chrono::milliseconds(20);

Position advanced(Position at, Stream stream, std::size_t bytes) {
    at.total += bytes;
    at.offsets[index_of(stream)] += bytes;
    return at;
}
}  // namespace

Journal::Journal(Loop& loop, std::shared_ptr<SpillStore> store, Options options)
    : loop_(&loop), store_(std::move(store)), options_(options) {}

Journal::~Journal() { store_->release(held_); }

void Journal::push(Entry entry) {
    if (entries_.full()) entries_.set_capacity(std::max<std::size_t>(entries_.capacity() * 2, 1));
    entries_.push_back(std::move(entry));
}

void Journal::open_block() {
    std::size_t size = BlockPool::kBlock;  // most executions say little: grow lazily
    if (end_.total < kFirstBlock)
        size = kFirstBlock;
    else if (end_.total < kFirstBlock + kSecondBlock)
        size = kSecondBlock;
    push(Entry{end_, 0, 0, std::make_shared<Block>(store_->blocks(), size), 0});
}

void Journal::account(Entry& entry, std::size_t bytes, Stream stream) {
    std::size_t const before = entry.memory->weight();
    entry.memory->commit(stream, bytes);
    memory_ += entry.memory->weight() - before;
    entry.size += static_cast<std::uint32_t>(bytes);
    entry.segments = static_cast<std::uint32_t>(entry.memory->segments().size());
    end_ = advanced(end_, stream, bytes);
}

Journal::Fill Journal::fill(int fd, Stream stream, std::size_t budget) {
    Fill out;
    if (entries_.empty() || !entries_.back().memory || entries_.back().memory->free_size() == 0) open_block();
    // The last block's rest and, for one that has much to say, a few whole blocks behind it.
    std::array<std::shared_ptr<Block>, 8> spare;
    std::array<iovec, 9> parts{};
    Block& tail = *entries_.back().memory;
    parts[0] = {tail.free_space(), tail.free_size()};
    std::size_t offered = parts[0].iov_len;
    std::size_t count = 0;
    std::size_t const wanted = hungry_ ? budget : kLeastRead;
    while (offered < wanted && count < spare.size()) {
        spare[count] = std::make_shared<Block>(store_->blocks(), BlockPool::kBlock);
        parts[count + 1] = {spare[count]->data(), BlockPool::kBlock};
        offered += BlockPool::kBlock;
        ++count;
    }
    ssize_t n = 0;
    int const injected = fault::hit("journal.read");
    do {
        n = injected != 0 ? (errno = injected, -1) : ::readv(fd, parts.data(), static_cast<int>(count + 1));
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
        if (errno == EIO)
            out.end = true;  // a terminal whose last user has gone: its end of file
        else if (errno != EAGAIN)
            out.error = errno;
        return out;
    }
    out.bytes = static_cast<std::size_t>(n);
    out.end = n == 0;
    hungry_ = out.bytes == offered;
    // A terminal hands out its lines in pieces; a pipe gives what it has.
    out.drained = !hungry_ && stream != Stream::tty;
    std::size_t left = out.bytes;
    std::size_t const first = std::min(left, parts[0].iov_len);
    account(entries_.back(), first, stream);
    left -= first;
    for (std::size_t i = 0; left > 0; ++i) {
        std::size_t const part = std::min(left, BlockPool::kBlock);
        push(Entry{end_, 0, 0, std::move(spare[i]), 0});
        account(entries_.back(), part, stream);
        left -= part;
    }
    if (out.bytes > 0) changed_.notify_all();
    return out;
}

void Journal::append(Stream stream, std::string_view bytes) {
    if (bytes.empty()) return;
    while (!bytes.empty()) {
        if (entries_.empty() || !entries_.back().memory || entries_.back().memory->free_size() == 0)
            open_block();
        Block& tail = *entries_.back().memory;
        std::size_t const part = std::min(bytes.size(), tail.free_size());
        std::memcpy(tail.free_space(), bytes.data(), part);
        account(entries_.back(), part, stream);
        bytes.remove_prefix(part);
    }
    changed_.notify_all();
}

void Journal::mark_verdict() {
    if (!verdict_) verdict_ = end_;
    changed_.notify_all();
}

void Journal::close() {
    if (closed_) return;
    closed_ = true;
    entries_.set_capacity(entries_.size());
    if (!entries_.empty() && entries_.back().memory) {
        // A finished record stays for a while: give back the unused part of its last block.
        Entry& last = entries_.back();
        if (last.memory->used() * 2 < last.memory->capacity()) {
            auto exact = std::make_shared<Block>(nullptr, std::max<std::size_t>(last.memory->used(), 1));
            std::memcpy(exact->data(), last.memory->data(), last.memory->used());
            exact->segments() = last.memory->segments();
            exact->set_used(last.memory->used());
            last.memory = std::move(exact);
        }
    }
    if (spilled_ > 0) store_->finished(weak_from_this());
    changed_.notify_all();
}

// ---- leaving memory

std::uint64_t Journal::oldest_needed() const {
    // In memory alone all cannot be kept: then at least what readers lack is (as with Keep::window).
    bool const disk = on_disk_ > 0 || (!spill_broken_ && options_.spill > 0 && store_->enabled());
    if (options_.keep == Keep::all && disk) return 0;
    std::uint64_t oldest = end_.total;
    for (Cursor const* cursor : cursors_) oldest = std::min(oldest, cursor->position_.total);
    return oldest;
}

void Journal::forget_front() {
    Entry& front = entries_.front();
    if (front.memory) {
        memory_ -= front.memory->weight();
    } else {
        std::uint64_t const bytes = front.size + front.segments * sizeof(std::uint32_t);
        spilled_ -= bytes;
        --on_disk_;
        if (!circle_) {
            punchable_ = front.file_at + bytes;
            punch();
            held_ -= bytes;
            store_->release(bytes);
        }
    }
    entries_.pop_front();
}

/// Gives the space of forgotten blocks back; a file system that cannot punch keeps it until the file is
/// closed.
void Journal::punch() {
    std::uint64_t const bytes = punchable_ - punched_;
    if (bytes < std::min(kPunchAtOnce, store_->limit() / 16)) return;
    ::fallocate(file_->get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(punched_),
                static_cast<off_t>(bytes));
    punched_ = punchable_;
}

void Journal::forget_unneeded() {
    std::uint64_t const needed = oldest_needed();
    while (entries_.size() > 1 && entries_.front().end_total() <= needed && (on_disk_ > 0 || needs_room()))
        forget_front();
    if (circle_ && on_disk_ == 0 && !spilling_) drop_file();
}

/// Gives all of the file's space back.
void Journal::drop_file() {
    file_.reset();
    store_->release(std::exchange(held_, 0));
    file_end_ = punched_ = punchable_ = 0;
    circle_.reset();
}

std::uint64_t Journal::forget_spilled() {
    if (spilling_) return 0;
    std::uint64_t const before = held_;
    while (on_disk_ > 0) forget_front();
    drop_file();
    return before;
}

bool Journal::room_on_disk(std::uint64_t bytes) {
    if (spill_broken_ || options_.spill < bytes || !store_->enabled()) return false;
    if (spilled_ + bytes > options_.spill) go_round();
    if (!circle_) {
        while (spilled_ + bytes > options_.spill && on_disk_ > 0) forget_front();
        while (!store_->reserve(bytes)) {
            if (on_disk_ == 0) return false;
            forget_front();
        }
        held_ += bytes;
    }
    return true;
}

/// The file is as large as it may get: what is written from now on takes the place of the oldest. To give
/// that back and to ask for as much anew costs twice the writing itself.
void Journal::go_round() {
    if (!circle_ && spilled_ >= kLeastCircle) circle_ = Circle{entries_.front().file_at, file_end_};
}

/// Where so many bytes go; forgets what lies there.
std::uint64_t Journal::place_for(std::uint64_t bytes) {
    if (!circle_) return file_end_;
    std::uint64_t at = file_end_;
    if (at + bytes > circle_->to) {
        at = circle_->from;
        // Behind our end lies what was left over from the turn before, older than what the beginning holds.
        while (on_disk_ > 0 && entries_.front().file_at >= file_end_) forget_front();
    }
    auto const in_the_way = [&](Entry const& entry) {
        std::uint64_t const end = entry.file_at + entry.size + entry.segments * sizeof(std::uint32_t);
        return entry.file_at < at + bytes && end > at;
    };
    while (on_disk_ > 0 && in_the_way(entries_.front())) forget_front();
    return at;
}

namespace {
/// Runs on the pool: every block as its bytes followed by its order.
int write_blocks(int fd, std::uint64_t at, std::vector<std::shared_ptr<Block>> const& blocks) {
    std::vector<iovec> parts;
    for (auto const& block : blocks) {
        parts.push_back({block->data(), block->used()});
        parts.push_back({block->segments().data(), block->segments().size() * sizeof(std::uint32_t)});
    }
    std::size_t done = 0;
    while (done < parts.size()) {
        if (int const e = fault::hit("journal.spill.write")) return e;
        int const count = static_cast<int>(std::min<std::size_t>(parts.size() - done, 64));
        ssize_t n = ::pwritev(fd, &parts[done], count, static_cast<off_t>(at));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return errno;
        at += static_cast<std::uint64_t>(n);
        while (n > 0 || (done < parts.size() && parts[done].iov_len == 0)) {
            auto const part = std::min(static_cast<std::size_t>(n), parts[done].iov_len);
            parts[done].iov_base = static_cast<char*>(parts[done].iov_base) + part;
            parts[done].iov_len -= part;
            n -= static_cast<ssize_t>(part);
            if (parts[done].iov_len == 0) ++done;
        }
    }
    return 0;
}
}  // namespace

/// Moves the oldest half megabyte of memory to the file. False: that is not possible.
Task<bool> Journal::spill_some() {
    std::vector<std::shared_ptr<Block>> blocks;
    std::uint64_t bytes = 0;
    for (std::size_t i = on_disk_; i + 1 < entries_.size() && bytes < kSpillAtOnce; ++i) {
        blocks.push_back(entries_[i].memory);
        bytes += entries_[i].memory->weight();
    }
    if (blocks.empty()) co_return false;
    if (!file_) {
        if (spill_broken_ || options_.spill == 0) co_return false;
        auto file = store_->create();
        spill_broken_ = !file;
        if (!file) co_return false;
        file_ = std::make_shared<UniqueFd>(std::move(*file));
    }
    if (!room_on_disk(bytes)) co_return false;
    auto const self = shared_from_this();
    auto const file = file_;
    std::uint64_t const at = place_for(bytes);
    spilled_ += bytes;
    int error = ECANCELED;
    {
        struct Turn {  // also when the pump is cancelled: the other stream's pump waits for us
            Journal* journal;
            explicit Turn(Journal* j) : journal(j) { j->spilling_ = true; }
            ~Turn() {
                journal->spilling_ = false;
                journal->spilled_event_.notify_all();
            }
        } const turn(this);
        auto const work = [fd = file->get(), at, &blocks] { return write_blocks(fd, at, blocks); };
        error = co_await loop_->pool().run(Lane::bulk, work);
    }
    if (error != 0) {
        log::warn("journal.spill_failed", {{"errno", error}});
        spill_broken_ = true;
        spilled_ -= bytes;
        if (!circle_) {
            held_ -= bytes;
            store_->release(bytes);
        }
        co_return false;
    }
    std::uint64_t place = at;
    for (auto const& block : blocks) {
        // Nothing left memory meanwhile: only one spill runs at a time and forgetting waits for it.
        Entry& entry = entries_[on_disk_];
        EXECD_REQUIRE(entry.memory == block);
        memory_ -= block->weight();
        entry.memory.reset();
        entry.file_at = place;
        place += block->weight();
        ++on_disk_;
    }
    file_end_ = place;
    co_return true;
}

Task<void> Journal::let_readers_read() {
    bool const disk = !spill_broken_ && options_.spill > 0 && store_->enabled();
    if ((options_.keep == Keep::all && disk) || cursors_.empty() || on_disk_ > 0) co_return;
    if (stuck_at_ && oldest_needed() <= *stuck_at_) co_return;
    Deadline const until = Deadline::in(loop_->clock(), kReadersTurn);
    while (true) {
        bool const moved = co_await read_event_.wait(loop_->clock(), until);
        if (spilling_)
            co_return;  // the other stream's pump began meanwhile: what it writes stays until it has
        forget_unneeded();
        if (!needs_room()) co_return;
        if (!moved) break;
    }
    stuck_at_ = oldest_needed();
}

Task<void> Journal::make_room() {
    auto const self = shared_from_this();
    while (true) {
        while (spilling_) {
            co_await spilled_event_.wait();  // the other stream's pump is at it
        }
        forget_unneeded();
        if (!needs_room() || entries_.size() < 2) co_return;
        co_await let_readers_read();
        if (spilling_) continue;
        if (!needs_room() || entries_.size() < 2) co_return;
        if (bool const spilled = co_await spill_some(); !spilled) {
            // The disk is no help: the oldest bytes go, and readers who wanted them see a gap.
            while (on_disk_ > 0 && needs_room() && spill_broken_) forget_front();
            if (circle_ && on_disk_ == 0) drop_file();
            while (needs_room() && entries_.size() > 1) forget_front();
            co_return;
        }
    }
}

// ---- finding places

std::size_t Journal::find(std::uint64_t total) const {
    auto const after = std::upper_bound(entries_.begin(), entries_.end(), total,
                                        [](std::uint64_t t, Entry const& e) { return t < e.start.total; });
    return after == entries_.begin() ? 0 : static_cast<std::size_t>(after - entries_.begin()) - 1;
}

Position Journal::begin() const { return entries_.empty() ? end_ : entries_.front().start; }

Position Journal::seek(Stream stream, std::uint64_t offset) const {
    std::size_t const s = index_of(stream);
    if (offset >= end_.offsets[s]) {
        Position at = end_;
        at.offsets[s] = std::max(offset, end_.offsets[s]);
        return at;
    }
    auto const after =
        std::upper_bound(entries_.begin(), entries_.end(), offset,
                         [s](std::uint64_t o, Entry const& e) { return o < e.start.offsets[s]; });
    if (after == entries_.begin()) {
        Position at = begin();
        at.offsets[s] = offset;
        at.total -= std::min(at.total, begin().offsets[s] - offset);  // before the oldest: a gap will be told
        return at;
    }
    // The block's start is near enough: a reader of this one stream skips to `offset` by its stream offset.
    Position at = std::prev(after)->start;
    at.offsets[s] = offset;
    return at;
}

Position Journal::seek_total(std::uint64_t total) const {
    if (total >= end_.total) return end_;
    if (total == 0) return {};
    std::size_t const i = find(total);
    Position at = entries_[i].start;
    if (total <= at.total || !entries_[i].memory) {
        at.total = total;  // forgotten or on disk: the reader works out the streams when it is there
        return at;
    }
    for (std::uint32_t const segment : entries_[i].memory->segments()) {
        std::size_t const part = std::min<std::uint64_t>(Block::size_of(segment), total - at.total);
        at = advanced(at, Block::stream_of(segment), part);
        if (at.total == total) break;
    }
    return at;
}

}  // namespace execd::shell
