#include "shell/terminal.hpp"

#include <signal.h>

#include "base/ids.hpp"
#include "shell/shell_text.hpp"

namespace execd::shell {

namespace {
constexpr std::size_t kMostTyped = 1 << 20;  // bytes that may wait for the program
}

Writer::~Writer() = default;

void Writer::lose() {
    valid_ = false;
    taken_over_.notify_all();
    if (call_) call_();
}

Terminal::Terminal(Loop& loop, Executions& executions, Options options)
    : loop_(&loop),
      executions_(&executions),
      options_(std::move(options)),
      journal_(std::make_shared<Journal>(loop, executions.store(), options_.journal)) {}

std::shared_ptr<Terminal> Terminal::create(Loop& loop, Executions& executions, Options options) {
    if (options.id.empty()) options.id = uuid();
    return std::shared_ptr<Terminal>(new Terminal(loop, executions, std::move(options)));
}

Task<Result<void>> Terminal::start(bool pipes) {
    auto const self = shared_from_this();
    while (starting_) {
        co_await started_event_.wait();
    }
    if (closed_) co_return fail(Code::gone, "terminal", "it is closed");
    if (running()) co_return Result<void>();
    struct Turn {
        Terminal* terminal;
        explicit Turn(Terminal* t) : terminal(t) { t->starting_ = true; }
        ~Turn() {
            terminal->starting_ = false;
            terminal->started_event_.notify_all();
        }
    } const turn(this);
    auto spec = spec_of(pipes);
    if (!spec) co_return tl::unexpected(spec.error());
    auto started = co_await executions_->start(std::move(*spec));
    if (!started) co_return tl::unexpected(started.error());
    if (execution_) former_.add(*execution_);
    execution_ = *started;
    pipes_ = pipes;
    typed_.clear();  // meant for the one before
    feed_error_.reset();
    auto const* failed =
        execution_->verdict() ? std::get_if<FailedToStart>(&execution_->verdict()->ending) : nullptr;
    if (failed != nullptr) co_return tl::unexpected(SpawnFailure{failed->step, failed->error}.to_error());
    if (closed_) execution_->request_stop({});
    co_return Result<void>();
}

Result<ExecutionSpec> Terminal::spec_of(bool pipes) const {
    ExecutionSpec spec;
    spec.argv = options_.argv;
    if (!options_.text.empty()) {
        auto command = shell_command(find_shell(options_.environment), options_.text, options_.shell_options);
        if (!command) return tl::unexpected(command.error());
        spec.argv = std::move(command->argv);
        spec.fds = std::move(command->fds);
        spec.owned = std::move(command->owned);
    }
    spec.env = options_.environment.list();
    spec.cwd = options_.cwd;
    spec.identity = options_.identity;
    spec.owner = options_.owner;
    spec.label = "terminal";
    spec.stop_signal = SIGHUP;
    spec.into = journal_;
    if (pipes)
        spec.input = Input::pipe;
    else
        spec.terminal = options_.size;
    return spec;
}

Cursor Terminal::reader(std::uint64_t since) const {
    ReadFrom from;
    from.until = Until::closed;
    from.position = journal_->seek_total(std::max(since, journal_->begin().total));
    return Cursor(journal_, std::move(from));
}

Result<std::shared_ptr<Writer>> Terminal::take_writer(bool takeover) {
    if (closed_) return fail(Code::gone, "terminal", "it is closed");
    if (auto const holder = writer_.lock()) {
        if (!takeover) return fail(Code::conflict, "terminal", "another writer is connected");
        holder->lose();
        journal_->changed().notify_all();
        typed_event_.notify_all();
    }
    std::shared_ptr<Writer> writer(new Writer());
    writer_ = writer;
    return writer;
}

Task<Result<void>> Terminal::write(Writer const& writer, std::string bytes, Deadline deadline) {
    if (!writer.valid()) co_return fail(Code::conflict, "terminal", "another writer took over");
    co_return co_await write(std::move(bytes), deadline);
}

Task<Result<void>> Terminal::type(Writer const& writer, std::string bytes, Deadline deadline) {
    auto const self = shared_from_this();
    auto const execution = execution_;
    while (writer.valid() && running() && !feed_error_ && typed_.size() >= kMostTyped) {
        bool const told = co_await typed_event_.wait(loop_->clock(), deadline);
        if (!told) co_return fail(Code::timed_out, "terminal", "the program does not read its input");
    }
    if (!writer.valid()) co_return fail(Code::conflict, "terminal", "another writer took over");
    if (!running() || execution != execution_) co_return fail(Code::gone, "terminal", "nothing runs");
    if (feed_error_) co_return tl::unexpected(*feed_error_);
    typed_ += bytes;
    if (feeding_) co_return Result<void>();
    feeding_ = true;
    if (executions_->scope().spawn("terminal.feed", feed(self))) co_return Result<void>();
    feeding_ = false;
    co_return fail(Code::unavailable, "terminal", "shutting down");
}

Task<void> Terminal::feed([[maybe_unused]] std::shared_ptr<Terminal> self) {
    struct Turn {
        Terminal* terminal;
        ~Turn() {
            terminal->feeding_ = false;
            terminal->typed_event_.notify_all();
        }
    } const turn{this};
    while (!typed_.empty()) {
        auto const execution = execution_;
        std::string bytes = std::exchange(typed_, {});
        typed_event_.notify_all();
        auto const written = co_await execution->write(std::move(bytes), Deadline::never());
        if (written || execution != execution_) continue;  // a new program has its own input
        if (written.error().code != Code::gone) feed_error_ = written.error();
        typed_.clear();
        break;
    }
}

Task<Result<void>> Terminal::write(std::string bytes, Deadline deadline) {
    auto const execution = execution_;
    if (!execution) co_return fail(Code::conflict, "terminal", "nothing runs");
    co_return co_await execution->write(std::move(bytes), deadline);
}

Result<void> Terminal::resize(WindowSize size) {
    if (size.columns == 0 || size.rows == 0) return fail(Code::invalid_argument, "terminal", "an empty size");
    options_.size = size;
    if (screen_) screen_->resize(size.columns, size.rows);
    if (pipes_ || !running()) return {};
    return execution_->resize(size);
}

Result<void> Terminal::signal(int number) {
    if (!running()) return fail(Code::gone, "terminal", "nothing runs");
    return execution_->signal(number);
}

Result<void> Terminal::signal_foreground(int number) {
    if (!running()) return fail(Code::gone, "terminal", "nothing runs");
    return pipes_ ? execution_->signal(number) : execution_->signal_foreground(number);
}

Task<void> Terminal::close(Duration grace) {
    auto const self = shared_from_this();
    closed_ = true;
    auto const execution = execution_;
    if (execution) co_await execution->stop(grace);
    co_await former_.end(*loop_, *executions_);
    journal_->close();
    typed_event_.notify_all();
}

// ---- the screen

ScreenReader& Terminal::screen() {
    if (!screen_)
        screen_ = std::make_unique<ScreenReader>(*loop_, journal_, options_.size.columns, options_.size.rows);
    return *screen_;
}

Task<Screen::Picture> Terminal::picture() {
    auto const self = shared_from_this();
    co_return co_await screen().picture();
}

Task<Result<Screen::Picture>> Terminal::wait_for_text(std::string text, Deadline deadline) {
    auto const self = shared_from_this();
    std::function<bool()> runs = [this] { return running(); };
    co_return co_await screen().wait_for_text(std::move(text), std::move(runs), deadline);
}

Task<Result<Screen::Picture>> Terminal::wait_for_idle(Duration quiet, Deadline deadline) {
    auto const self = shared_from_this();
    std::function<bool()> runs = [this] { return running(); };
    co_return co_await screen().wait_for_idle(quiet, std::move(runs), deadline);
}

}  // namespace execd::shell
