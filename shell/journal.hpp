// Journal: the output of one execution. Per stream an append-only byte log with absolute offsets, one order
// across the streams, a memory ring that grows lazily (1 MiB) in front of a bounded spill file; what had to
// be forgotten is reported as a gap, never silently. Any number of readers (Cursor) attach anywhere and never
// block the child.
//
//   Cursor cursor = execution->journal().reader({.until = Until::verdict});
//   Batch batch;
//   for (; co_await cursor.next(batch, Deadline::never()) == Next::data;)
//       for (Slice const& slice : batch.slices)
//           encode(slice.stream, slice.offset, slice.bytes);   // views, valid until `batch` is cleared or
//           reused
//
// A Batch holds its blocks: its views may be handed to an asynchronous write that outlives the journal.
//
// Thread: the reactor. Ownership: shared (readers keep it); nothing in it runs by itself.
#pragma once
#include <boost/circular_buffer.hpp>

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "base/event.hpp"
#include "base/loop.hpp"
#include "base/unique_fd.hpp"
#include "shell/journal_block.hpp"

namespace execd::shell {

class Cursor;
class SpillStore;
struct JournalState;

enum class Keep : std::uint8_t {
    all,     // everything, up to the caps: background jobs, what can be fetched later
    window,  // what attached readers have not read yet, and the last ring of bytes
};

/// A place in the journal as plain data: a reader that comes back continues here.
struct Position {
    /// Bytes of all streams before this place, in their one order.
    std::uint64_t total = 0;
    StreamOffsets offsets{};
    friend bool operator==(Position const&, Position const&) = default;
};

/// An end that somebody sets later: of one command among many in a session's journal.
struct Mark {
    std::optional<Position> end;
};

/// Until when a reader waits for more.
enum class Until : std::uint8_t {
    now,      // only what is there at the time of the call
    verdict,  // all output before the verdict
    closed,   // also what grandchildren write after it
};

struct ReadFrom {
    StreamMask streams = kAllStreams;
    Until until = Until::verdict;
    /// Default: the beginning.
    Position position{};
    /// Ends there too, once it is set (then notify Journal::changed()).
    std::shared_ptr<Mark const> mark{};
};

class Journal : public std::enable_shared_from_this<Journal> {
  public:
    struct Options {
        Keep keep = Keep::window;
        /// Bytes in memory beyond which the oldest leave it.
        std::size_t ring = 1 << 20;
        /// Bytes of this journal on disk beyond which the oldest are forgotten; 0: never on disk.
        std::uint64_t spill = 256ULL << 20;
    };
    Journal(Loop& loop, std::shared_ptr<SpillStore> store, Options options);
    ~Journal();
    Journal(Journal const&) = delete;
    Journal& operator=(Journal const&) = delete;

    // ---- writing (the execution's pumps)

    struct Fill {
        std::size_t bytes = 0;
        bool end = false;      // end of file (or EIO of a terminal whose other side is closed)
        bool drained = false;  // took less than it offered: there is nothing more at this moment
        int error = 0;         // another errno of read
    };
    /// Reads what is there, up to about `budget` bytes, straight into the ring. Neither bytes nor end:
    /// nothing there.
    [[nodiscard]] Fill fill(int fd, Stream stream, std::size_t budget = 256 << 10);
    void append(Stream stream, std::string_view bytes);
    /// Brings memory down to the ring before more is filled in: forgets, lets a reader that is at work come
    /// after (20 ms at most, and once only for one that stands still: a viewer never blocks the child), or
    /// writes to the spill file on the pool.
    [[nodiscard]] Task<void> make_room();
    [[nodiscard]] bool needs_room() const { return memory_ > options_.ring; }
    /// So much more than the ring that what is filled in waits until there is room.
    [[nodiscard]] bool crowded() const { return memory_ > options_.ring + options_.ring / 2; }
    /// What was written so far is all that precedes the verdict.
    void mark_verdict();
    /// No more bytes will come.
    void close();

    // ---- reading

    [[nodiscard]] Cursor reader(ReadFrom from = {});
    /// The place of `offset` in one stream, for readers of that stream (`streams` should name it alone).
    [[nodiscard]] Position seek(Stream stream, std::uint64_t offset) const;
    /// The place after `total` bytes of all streams.
    [[nodiscard]] Position seek_total(std::uint64_t total) const;
    [[nodiscard]] Position end() const { return end_; }
    /// The oldest place that can still be read.
    [[nodiscard]] Position begin() const;
    [[nodiscard]] std::uint64_t written(Stream stream) const { return end_.offsets[index_of(stream)]; }
    [[nodiscard]] bool closed() const { return closed_; }
    [[nodiscard]] std::size_t memory_bytes() const { return memory_; }
    [[nodiscard]] std::uint64_t spilled_bytes() const { return spilled_; }
    /// Waits for any change: bytes, verdict mark, close.
    [[nodiscard]] Event& changed() { return changed_; }

    /// Everything that another daemon needs to go on with it (shell/journal_state.hpp).
    [[nodiscard]] JournalState save() const;
    /// invalid_argument: the parts of `state` contradict each other.
    [[nodiscard]] static Result<std::shared_ptr<Journal>> restore(Loop& loop,
                                                                  std::shared_ptr<SpillStore> store,
                                                                  Options options, JournalState const& state);

    /// Forgets what is on disk (a finished journal when disk space is needed). Returns the bytes freed.
    std::uint64_t forget_spilled();
    /// Changes what is kept from now on (a foreground run whose client asks to keep it).
    void set_keep(Keep keep) { options_.keep = keep; }

  private:
    friend class Cursor;
    struct Entry {
        Position start;
        std::uint32_t size = 0;
        std::uint32_t segments = 0;
        std::shared_ptr<Block> memory;  // null: in the spill file
        std::uint64_t file_at = 0;
        [[nodiscard]] std::uint64_t end_total() const { return start.total + size; }
    };

    void push(Entry entry);
    void open_block();
    [[nodiscard]] std::size_t find(std::uint64_t total) const;
    [[nodiscard]] std::uint64_t oldest_needed() const;
    void forget_front();
    void forget_unneeded();
    [[nodiscard]] bool room_on_disk(std::uint64_t bytes);
    [[nodiscard]] Task<void> let_readers_read();
    [[nodiscard]] Task<bool> spill_some();
    void punch();
    void go_round();
    [[nodiscard]] std::uint64_t place_for(std::uint64_t bytes);
    void drop_file();
    void account(Entry& entry, std::size_t bytes, Stream stream);

    Loop* loop_;
    std::shared_ptr<SpillStore> store_;
    Options options_;
    /// Grows by doubling (push): a deque costs each of a thousand finished records 600 bytes.
    boost::circular_buffer<Entry> entries_;
    std::size_t on_disk_ = 0;  // the first so many entries are spilled
    std::size_t memory_ = 0;
    std::uint64_t spilled_ = 0;
    std::uint64_t held_ = 0;  // of the file, as the store counts it: what is spilled, or the whole circle
    std::uint64_t file_end_ = 0;
    /// Set when the cap was reached: from then on the file is written over in a circle between these two.
    struct Circle {
        std::uint64_t from = 0;
        std::uint64_t to = 0;
    };
    std::optional<Circle> circle_;
    std::shared_ptr<UniqueFd> file_;  // shared with readers that are loading from it
    std::uint64_t punched_ = 0;       // the file's space before is given back
    std::uint64_t punchable_ = 0;     // ... and may be before here
    bool spill_broken_ = false;
    bool spilling_ = false;
    bool hungry_ = false;  // the last read took all that was offered: offer more
    /// Where the slowest reader stood when it was waited for in vain.
    std::optional<std::uint64_t> stuck_at_;
    Position end_;
    std::optional<Position> verdict_;
    bool closed_ = false;
    Event changed_;
    Event spilled_event_;
    Event read_event_;  // a reader moved
    std::vector<Cursor*> cursors_;
};

enum class Next : std::uint8_t { data, end, timed_out };

/// One reader. Movable; keeps the journal alive. While it lives a `Keep::window` journal keeps what it has
/// not read.
class Cursor {
  public:
    Cursor(std::shared_ptr<Journal> journal, ReadFrom from);
    ~Cursor();
    Cursor(Cursor&& other) noexcept;
    Cursor& operator=(Cursor&&) = delete;

    /// Clears `batch` and fills it with up to about `max` bytes in order, waiting for the first. A batch may
    /// consist of a gap alone. `timed_out` also when the wait was cancelled.
    [[nodiscard]] Task<Next> next(Batch& batch, Deadline deadline, std::size_t max = 256 << 10);
    /// The same without waiting: nothing when there is nothing in memory right now.
    [[nodiscard]] bool poll(Batch& batch, std::size_t max = 256 << 10);
    /// Where the next byte will come from.
    [[nodiscard]] Position const& position() const { return position_; }
    [[nodiscard]] Journal& journal() const { return *journal_; }
    /// Everything that this reader was to see has been given out.
    [[nodiscard]] bool at_end() const;

  private:
    friend class Journal;
    void take(std::shared_ptr<Block> const& block, Position const& start, Batch& batch, std::size_t max);
    void take_gap(Batch& batch);
    [[nodiscard]] std::uint64_t limit() const;
    [[nodiscard]] Task<void> load();

    std::shared_ptr<Journal> journal_;
    StreamMask streams_;
    Until until_;
    std::uint64_t now_limit_;
    std::shared_ptr<Mark const> mark_;
    Position position_;
    /// Spilled blocks that are in memory again, in order.
    struct Loaded {
        std::uint64_t total = 0;
        std::shared_ptr<Block> block;
    };
    std::deque<Loaded> loaded_;
};

}  // namespace execd::shell
