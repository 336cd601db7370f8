#include "shell/screen_reader.hpp"

#include <boost/asio/post.hpp>

#include "shell/execution.hpp"

namespace execd::shell {

namespace {
constexpr std::size_t kAtOnce = 16 << 10;  // bytes: the model takes about 10 ns for each
}

ScreenReader::ScreenReader(Loop& loop, std::shared_ptr<Journal> journal, std::size_t columns,
                           std::size_t rows)
    : loop_(&loop), journal_(std::move(journal)), screen_(columns, rows), columns_(columns), rows_(rows) {}

void ScreenReader::resize(std::size_t columns, std::size_t rows) {
    if (columns == columns_ && rows == rows_) return;
    columns_ = columns;
    rows_ = rows;
    screen_.resize(columns, rows);
}

Task<void> ScreenReader::sync() {
    while (syncing_) {
        co_await synced_event_.wait();
    }
    struct Turn {
        ScreenReader* reader;
        explicit Turn(ScreenReader* r) : reader(r) { r->syncing_ = true; }
        ~Turn() {
            reader->syncing_ = false;
            reader->synced_event_.notify_all();
        }
    } const turn(this);
    ReadFrom from;
    from.until = Until::now;
    from.position = at_;
    Cursor cursor(journal_, std::move(from));
    Batch batch;
    while (true) {
        auto const next = co_await cursor.next(batch, Deadline::never(), kAtOnce);
        if (next != Next::data) break;
        for (auto const& slice : batch.slices) {
            if (slice.lost > 0) screen_.reset();  // what was forgotten cannot be shown; programs repaint
            screen_.feed(slice.bytes);
        }
        at_ = cursor.position();
        co_await asio::post(loop_->executor(), kUseTask);  // everybody else has a turn
    }
    at_ = cursor.position();
}

Task<Screen::Picture> ScreenReader::picture() {
    co_await sync();
    co_return screen_.picture();
}

Task<Result<Screen::Picture>> ScreenReader::wait_for_text(std::string text, std::function<bool()> running,
                                                          Deadline deadline) {
    while (true) {
        bool const over = !running();
        co_await sync();
        auto picture = screen_.picture();
        if (picture.text().find(text) != std::string::npos) co_return picture;
        if (at_.total < journal_->end().total) continue;
        if (over) co_return fail(Code::gone, "terminal", "the program ended");
        bool const told = co_await journal_->changed().wait(loop_->clock(), deadline);
        if (!told) co_return fail(Code::timed_out, "terminal", "the text did not appear");
    }
}

Task<Result<Screen::Picture>> ScreenReader::wait_for_idle(Duration quiet, std::function<bool()> running,
                                                          Deadline deadline) {
    std::uint64_t seen = journal_->end().total;
    Deadline calm = Deadline::in(loop_->clock(), quiet);
    while (running() && !calm.passed(loop_->clock())) {
        if (deadline.passed(loop_->clock())) co_return fail(Code::timed_out, "terminal", "output goes on");
        (void)co_await journal_->changed().wait(loop_->clock(), earliest(calm, deadline));
        if (journal_->end().total == seen) continue;
        seen = journal_->end().total;
        calm = Deadline::in(loop_->clock(), quiet);
    }
    co_await sync();
    co_return screen_.picture();
}

std::shared_ptr<ScreenReader> Screens::of(Loop& loop, std::shared_ptr<Execution> const& run) {
    std::erase_if(known_, [](auto const& one) { return one.second.run.expired(); });
    WindowSize const size = run->size();
    Known& known = known_[run->id()];
    if (known.run.lock() != run) {  // an id can be used again
        known.run = run;
        known.screen =
            std::make_shared<ScreenReader>(loop, run->journal().shared_from_this(), size.columns, size.rows);
    }
    known.screen->resize(size.columns, size.rows);
    return known.screen;
}

}  // namespace execd::shell
