// LineEvents: one output stream of a command as the dialect's events, line by line. The hot path of every
// foreground command: lines of plain ASCII are found by one scan and copied once, between a prefix and a
// suffix that are made once a batch.
//
// Pure: appends to a string, no I/O, no clock.
#pragma once
#include <string>
#include <string_view>

#include "execd/dialects/opensandbox/events.hpp"
#include "shell/lines.hpp"

namespace execd::opensandbox {

class LineEvents {
  public:
    /// `type` is "stdout" or "stderr". Clients before 1.1 want `bare` lines, without their terminators, an
    /// empty one as "\n" (opensandbox-1.1.md §3.2).
    LineEvents(std::string_view type, bool bare);

    /// Appends an event for every line that is complete.
    void push(std::string& out, std::string_view bytes, event::Stamp now);
    /// The unfinished line as it is; unless it is the `last` one an unfinished UTF-8 character stays.
    void flush(std::string& out, event::Stamp now, bool last);

  private:
    void restamp(event::Stamp now);
    [[nodiscard]] std::size_t plain_lines(std::string& out, std::string_view bytes) const;
    void line(std::string& out, shell::Line const& line) const;

    std::string type_;
    std::string prefix_;      // up to the text
    std::string suffix_;      // what follows an unterminated text
    std::string line_end_;    // what follows the text of a line that ended with \n
    std::string empty_line_;  // the whole event of an empty line
    event::Stamp stamped_ = -1;
    bool bare_;
    shell::LineSplitter lines_;
};

}  // namespace execd::opensandbox
