// The programs that a session or a terminal had before the one of now, which ended or were replaced: what
// they left running (servers) goes on, and ends with the session or terminal itself.
//
// Thread: the reactor. Owner: the session or terminal.
#pragma once
#include <deque>
#include <string>

#include "base/task.hpp"

namespace execd {
class Loop;
}  // namespace execd

namespace execd::shell {

class Execution;
class Executions;

class Former {
  public:
    /// One that has ended, or is being stopped. The newest 64 are kept.
    void add(Execution const& one);
    /// Kills what they left running, and waits. Where retention has dropped one, its marker in the
    /// environment finds what is left of it.
    [[nodiscard]] Task<void> end(Loop& loop, Executions& executions);
    [[nodiscard]] std::size_t size() const { return ids_.size(); }

  private:
    std::deque<std::string> ids_;
};

}  // namespace execd::shell
