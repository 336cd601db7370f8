// Terminal: a program on a PTY (or on pipes) that outlives its viewers. Its journal goes on over restarts of
// the program, so one absolute offset (Position::total) is enough to come back to. Any number of viewers
// read; one writer types, and another may take over from it.
//
//   terminal->start();                               // on the first viewer, and again after an exit
//   Cursor view = terminal->reader(since);           // replay and live in one
//   auto writer = terminal->take_writer(takeover);   // conflict: another one holds it
//   while (writer->valid()) ... terminal->type(*writer, bytes, deadline)
//
// The screen (text, cursor, title) is worked out only for those who ask, from the journal.
//
// Thread: the reactor. Ownership: shared; close() ends the program.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "shell/environment.hpp"
#include "shell/executions.hpp"
#include "shell/former.hpp"
#include "shell/screen_reader.hpp"

namespace execd::shell {

/// The right to type. Letting go of it frees it.
class Writer {
  public:
    ~Writer();
    Writer(Writer const&) = delete;
    Writer& operator=(Writer const&) = delete;
    [[nodiscard]] bool valid() const { return valid_; }
    /// Notified when another writer took over (Terminal::journal().changed() is notified too).
    [[nodiscard]] Event& taken_over() { return taken_over_; }
    /// Called at that moment, for holders that may be stuck somewhere. Must not touch the terminal.
    void when_taken_over(std::function<void()> call) { call_ = std::move(call); }

  private:
    friend class Terminal;
    Writer() = default;
    void lose();
    bool valid_ = true;
    Event taken_over_;
    std::function<void()> call_;
};

class Terminal : public std::enable_shared_from_this<Terminal> {
  public:
    struct Options {
        std::string id;
        /// Of the request that makes it (Terminals::create_or_attach).
        std::string digest;
        std::string owner;
        std::vector<std::string> argv;
        /// Instead of `argv`: shell text of any size, and what comes before its -c.
        std::string text;
        std::vector<std::string> shell_options;
        Environment environment;
        std::string cwd;
        std::optional<Identity> identity;
        WindowSize size;
        Journal::Options journal{.keep = Keep::window};
    };
    [[nodiscard]] static std::shared_ptr<Terminal> create(Loop& loop, Executions& executions,
                                                          Options options);

    /// Starts the program when none runs; `pipes`: stdin, stdout and stderr instead of a PTY.
    [[nodiscard]] Task<Result<void>> start(bool pipes = false);
    [[nodiscard]] bool running() const { return execution_ && execution_->running(); }
    /// The program of now, or the last one; null before the first start.
    [[nodiscard]] std::shared_ptr<Execution> const& execution() const { return execution_; }
    [[nodiscard]] bool pipes() const { return pipes_; }

    [[nodiscard]] std::string const& id() const { return options_.id; }
    [[nodiscard]] std::string const& owner() const { return options_.owner; }
    [[nodiscard]] std::string const& digest() const { return options_.digest; }
    [[nodiscard]] Journal& journal() const { return *journal_; }
    /// From `since` bytes on (clamped to the oldest kept), without end; ends when the terminal is closed.
    [[nodiscard]] Cursor reader(std::uint64_t since = 0) const;

    /// conflict: somebody holds it and `takeover` is false.
    [[nodiscard]] Result<std::shared_ptr<Writer>> take_writer(bool takeover);
    [[nodiscard]] bool has_writer() const { return !writer_.expired(); }
    /// conflict when `writer` was taken over from.
    [[nodiscard]] Task<Result<void>> write(Writer const& writer, std::string bytes, Deadline deadline);
    /// Puts `bytes` behind what was typed before and does not wait for the program to read them, unless more
    /// than 1 MiB is waiting. They reach it also when the writer goes away. conflict: taken over from;
    /// disconnected: the program closed its stdin; gone: it ended; timed_out: nothing was taken.
    [[nodiscard]] Task<Result<void>> type(Writer const& writer, std::string bytes, Deadline deadline);
    /// A program's input without a writer (agents' tools).
    [[nodiscard]] Task<Result<void>> write(std::string bytes, Deadline deadline);
    /// Kept for the next start when nothing runs; nothing to do on pipes.
    Result<void> resize(WindowSize size);
    [[nodiscard]] WindowSize size() const { return options_.size; }
    /// To the program's process group.
    Result<void> signal(int number);
    /// To the foreground job, as a key press would; on pipes to the process group.
    Result<void> signal_foreground(int number);
    /// What the program sees from its next start on.
    void set_environment(Environment environment) { options_.environment = std::move(environment); }
    /// Ends the program and all it started, also what the programs before it left running.
    [[nodiscard]] Task<void> close(Duration grace = {});
    [[nodiscard]] bool closed() const { return closed_; }

    [[nodiscard]] Task<Screen::Picture> picture();
    /// Until `text` is on the screen. timed_out otherwise, gone when the program ended without it.
    [[nodiscard]] Task<Result<Screen::Picture>> wait_for_text(std::string text, Deadline deadline);
    /// Until no output came for `quiet`. timed_out when it never became so.
    [[nodiscard]] Task<Result<Screen::Picture>> wait_for_idle(Duration quiet, Deadline deadline);

  private:
    Terminal(Loop& loop, Executions& executions, Options options);
    [[nodiscard]] ScreenReader& screen();
    [[nodiscard]] Task<void> feed(std::shared_ptr<Terminal> self);
    [[nodiscard]] Result<ExecutionSpec> spec_of(bool pipes) const;

    Loop* loop_;
    Executions* executions_;
    Options options_;
    std::shared_ptr<Journal> journal_;
    std::shared_ptr<Execution> execution_;
    Former former_;
    std::weak_ptr<Writer> writer_;
    std::string typed_;  // waits for feed()
    bool feeding_ = false;
    std::optional<Error> feed_error_;
    Event typed_event_;
    bool pipes_ = false;
    bool starting_ = false;
    bool closed_ = false;
    Event started_event_;
    std::unique_ptr<ScreenReader> screen_;
};

}  // namespace execd::shell
