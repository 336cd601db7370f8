// ScreenReader: what is on a terminal's screen, worked out from its journal when somebody asks.
//
// Thread: the reactor. Its owner must live until its coroutines have ended.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "shell/journal.hpp"
#include "shell/screen.hpp"

namespace execd::shell {

class Execution;

class ScreenReader {
  public:
    ScreenReader(Loop& loop, std::shared_ptr<Journal> journal, std::size_t columns, std::size_t rows);

    void resize(std::size_t columns, std::size_t rows);
    [[nodiscard]] Task<Screen::Picture> picture();
    /// Until `text` is on the screen. timed_out otherwise, gone when the program ended without it.
    [[nodiscard]] Task<Result<Screen::Picture>> wait_for_text(std::string text, std::function<bool()> running,
                                                              Deadline deadline);
    /// Until no output came for `quiet`. timed_out when it never became so.
    [[nodiscard]] Task<Result<Screen::Picture>> wait_for_idle(Duration quiet, std::function<bool()> running,
                                                              Deadline deadline);

  private:
    [[nodiscard]] Task<void> sync();

    Loop* loop_;
    std::shared_ptr<Journal> journal_;
    Screen screen_;
    std::size_t columns_;
    std::size_t rows_;
    Position at_;
    bool syncing_ = false;
    Event synced_event_;
};

/// The screens of executions on a terminal: made when they are first asked for, gone with their executions.
class Screens {
  public:
    /// Of the execution's size at this moment. Only while it is terminal().
    [[nodiscard]] std::shared_ptr<ScreenReader> of(Loop& loop, std::shared_ptr<Execution> const& run);

  private:
    struct Known {
        std::weak_ptr<Execution> run;
        std::shared_ptr<ScreenReader> screen;
    };
    std::map<std::string, Known, std::less<>> known_;  // by the execution's id
};

}  // namespace execd::shell
