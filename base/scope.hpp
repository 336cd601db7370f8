// Scope: the only way to start a coroutine. It knows everything it started by name; closing refuses new work,
// cancels what runs, waits under a deadline and reports stragglers.
//
// Thread: the reactor. Owner: whoever owns the state that the coroutines touch; a Scope must be closed (or
// empty) before it is destroyed, and dies loudly otherwise.
#pragma once
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/event.hpp"
#include "base/task.hpp"

namespace execd {

class Loop;

class Scope {
  public:
    Scope(Loop& loop, std::string name);
    ~Scope();
    Scope(Scope const&) = delete;
    Scope& operator=(Scope const&) = delete;

    /// Starts `work`, unless closing: then it is dropped and false comes back. An exception that leaves
    /// `work` other than its own cancellation is a defect: logged and counted, the daemon lives on.
    bool spawn(std::string name, Task<void> work);
    /// The same, with a handle that can cancel just this one; the handle may be dropped freely.
    class Handle {
      public:
        void cancel();

      private:
        friend class Scope;
        std::weak_ptr<void> child_;
    };
    bool spawn(std::string name, Task<void> work, Handle& handle);

    /// Asks everything to stop without waiting.
    void cancel_all();
    /// Refuses new work, cancels, waits. Returns the names still running when the deadline passed (empty =
    /// clean); those keep their resources until they end. A cancellation of the
    /// caller meanwhile does not cut it short.
    [[nodiscard]] Task<std::vector<std::string>> close(Deadline deadline);
    /// Waits until everything ended by itself; false when the deadline passed first.
    [[nodiscard]] Task<bool> drain(Deadline deadline);

    /// Exceptions that left coroutines of any scope since the start; not zero means a defect. Thread: any.
    [[nodiscard]] static std::uint64_t exceptions() noexcept;

    [[nodiscard]] bool closing() const;
    [[nodiscard]] std::size_t running() const;
    [[nodiscard]] std::vector<std::string> names() const;

  private:
    struct State;
    std::shared_ptr<State> state_;
};

}  // namespace execd
