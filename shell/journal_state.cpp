#include "shell/journal_state.hpp"

#include "shell/spill_store.hpp"

namespace execd::shell {

JournalState Journal::save() const {
    JournalState out;
    out.end = end_;
    out.verdict = verdict_;
    out.closed = closed_;
    out.begin = on_disk_ < entries_.size() ? entries_[on_disk_].start : end_;
    for (std::size_t i = on_disk_; i < entries_.size(); ++i) {
        Block const& block = *entries_[i].memory;
        out.bytes.append(block.data(), block.used());
        out.segments.insert(out.segments.end(), block.segments().begin(), block.segments().end());
    }
    return out;
}

Result<std::shared_ptr<Journal>> Journal::restore(Loop& loop, std::shared_ptr<SpillStore> store,
                                                  Options options, JournalState const& state) {
    Position at = state.begin;
    std::size_t bytes = 0;
    for (std::uint32_t const segment : state.segments) {
        std::size_t const s = segment >> 30;
        std::size_t const size = Block::size_of(segment);
        if (s >= kStreams || size == 0 || size > state.bytes.size() - bytes)
            return fail(Code::invalid_argument, "journal.restore", "runs and bytes do not fit together");
        at.total += size;
        at.offsets[s] += size;
        bytes += size;
    }
    bool const verdict_fits = !state.verdict || state.verdict->total <= state.end.total;
    if (bytes != state.bytes.size() || at != state.end || !verdict_fits)
        return fail(Code::invalid_argument, "journal.restore", "offsets and bytes do not fit together");
    auto journal = std::make_shared<Journal>(loop, std::move(store), options);
    journal->end_ = state.begin;
    std::string_view rest = state.bytes;
    for (std::uint32_t const segment : state.segments) {
        journal->append(Block::stream_of(segment), rest.substr(0, Block::size_of(segment)));
        rest.remove_prefix(Block::size_of(segment));
    }
    journal->verdict_ = state.verdict;
    if (state.closed) journal->close();
    return journal;
}

}  // namespace execd::shell
