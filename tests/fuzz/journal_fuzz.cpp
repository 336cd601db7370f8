// Writers and readers of a journal in any order: every byte that a reader gets is the one that was written at
// that offset, and what it does not get is declared.
#include <list>

#include "base/check.hpp"
#include "base/scope.hpp"
#include "base/work_pool.hpp"
#include "shell/journal.hpp"
#include "shell/journal_state.hpp"
#include "shell/spill_store.hpp"
#include "tests/fuzz/target.hpp"

namespace execd::shell {
namespace {

Task<void> room(std::shared_ptr<Journal> journal) { co_await journal->make_room(); }

class Run {
  public:
    explicit Run(Keep keep) {
        options_.keep = keep;
        options_.ring = 70'000;
        journal_ = std::make_shared<Journal>(loop_, std::make_shared<SpillStore>(), options_);
    }
    ~Run() {
        readers_.clear();
        clock_.settle();
        EXECD_REQUIRE(scope_.running() == 0);
    }

    void step(unsigned op, unsigned a, unsigned b) {
        switch (op % 6) {
            case 0:
            case 1: write(static_cast<Stream>(a % 2), (b + 1) * (a < 128 ? 7U : 60U)); break;
            case 2: attach(a, b); break;
            case 3: read(a, b); break;
            case 4:
                if (!readers_.empty()) readers_.pop_front();
                break;
            default: save_and_restore();
        }
    }

    void finish() {
        journal_->mark_verdict();
        journal_->close();
        attach(0, 0);
        for (auto& reader : readers_) {
            Batch batch;
            while (reader.cursor.poll(batch, 9000)) check(reader, batch);
            EXECD_REQUIRE(reader.cursor.at_end());
            for (std::size_t s = 0; s < 2; ++s)
                EXECD_REQUIRE((reader.mask & (1U << s)) == 0 || reader.next[s] == written_[s].size());
        }
    }

  private:
    struct Reader {
        Cursor cursor;
        StreamMask mask;
        StreamOffsets next;
    };

    void write(Stream stream, std::size_t size) {
        std::string& all = written_[index_of(stream)];
        std::string bytes(size, '\0');
        for (auto& c : bytes) c = static_cast<char>('a' + (total_++ * 31) % 26);
        all += bytes;
        journal_->append(stream, bytes);
        if (!journal_->needs_room()) return;
        scope_.spawn("room", room(journal_));
        clock_.advance(std::chrono::milliseconds(25));  // nobody reads meanwhile
        EXECD_REQUIRE(journal_->memory_bytes() <= options_.ring + BlockPool::kBlock + 20'000);
    }

    void attach(unsigned a, unsigned b) {
        if (readers_.size() > 8) return;
        StreamMask const mask = a % 3 == 0 ? kAllStreams : mask_of(static_cast<Stream>(a % 2));
        Position at{};
        if (mask != kAllStreams) {
            auto const stream = static_cast<Stream>(a % 2);
            at = journal_->seek(stream, written_[a % 2].size() * b / 255);
        }
        readers_.push_back({journal_->reader({mask, Until::verdict, at}), mask, at.offsets});
    }

    void read(unsigned a, unsigned b) {
        if (readers_.empty()) return;
        auto reader = readers_.begin();
        std::advance(reader, a % readers_.size());
        Batch batch;
        if (reader->cursor.poll(batch, 1 + b * 50)) check(*reader, batch);
    }

    void check(Reader& reader, Batch const& batch) {
        for (auto const& slice : batch.slices) {
            std::size_t const s = index_of(slice.stream);
            EXECD_REQUIRE((reader.mask & mask_of(slice.stream)) != 0);
            EXECD_REQUIRE(slice.offset == reader.next[s] && (slice.lost > 0) == slice.bytes.empty());
            EXECD_REQUIRE(slice.offset + slice.lost + slice.bytes.size() <= written_[s].size());
            EXECD_REQUIRE(written_[s].compare(slice.offset, slice.bytes.size(), slice.bytes) == 0);
            reader.next[s] = slice.offset + slice.lost + slice.bytes.size();
        }
    }

    void save_and_restore() {
        JournalState const state = journal_->save();
        auto restored = Journal::restore(loop_, std::make_shared<SpillStore>(), options_, state);
        EXECD_REQUIRE(restored.has_value());
        EXECD_REQUIRE((*restored)->end() == journal_->end());
        journal_ = std::move(*restored);
        readers_.clear();  // they come again, at their places
    }

    asio::io_context io_{1};
    VirtualClock clock_{io_};
    inline static WorkPool pool_;
    Loop loop_{io_, clock_, pool_};
    Scope scope_{loop_, "fuzz"};
    Journal::Options options_;
    std::shared_ptr<Journal> journal_;
    std::string written_[2];
    std::uint64_t total_ = 0;
    std::list<Reader> readers_;
};

void run(std::string_view input) {
    Run run(fuzz::take_byte(input) % 2 == 0 ? Keep::window : Keep::all);
    for (int i = 0; i < 400 && !input.empty(); ++i) {
        unsigned const op = fuzz::take_byte(input);
        unsigned const a = fuzz::take_byte(input);
        run.step(op, a, fuzz::take_byte(input));
    }
    run.finish();
}

fuzz::Target const kTarget("journal", run);

}  // namespace
}  // namespace execd::shell
