// Unit: one supervised program of the desktop. Started at the first demand, believed when its probe has
// answered, started again when it ends, later each time it does so soon.
//
// Thread: the reactor. Owner: the Supervisor; close() before destruction.
#pragma once
#include <memory>
#include <string>
#include <string_view>

#include "base/event.hpp"
#include "base/loop.hpp"
#include "base/scope.hpp"
#include "browser_proxy/launch.hpp"

namespace execd::browser_proxy {

enum class UnitState : std::uint8_t {
    idle,      // nobody asked for it yet
    starting,  // its probe has not answered yet
    ready,
    waiting,  // it ended or did not come up, and is started again in a moment
    stopped,  // for good
};
[[nodiscard]] std::string_view to_string(UnitState state) noexcept;

/// What people are told about a unit.
struct UnitStatus {
    std::string name;
    UnitState state = UnitState::idle;
    long pid = 0;                  // 0: does not run
    std::uint64_t generation = 0;  // how often it came up
    std::uint64_t ended = 0;       // how often it ended or did not come up
    std::string reason;            // of the last such time
    std::string missing;           // why it cannot be had here at all
};

class Unit {
  public:
    struct Times {
        Duration come_up = std::chrono::seconds(20);
        Duration first_pause = std::chrono::milliseconds(250);
        Duration longest_pause = std::chrono::seconds(30);
        Duration lasted = std::chrono::seconds(10);  // whoever runs that long starts anew at once
        Duration grace = std::chrono::seconds(1);
        Duration watch = std::chrono::seconds(10);  // between two questions whether it still answers
        Duration answer = std::chrono::seconds(5);  // for the answer
    };
    Unit(Loop& loop, Launcher& launcher, std::string name, Times times);
    virtual ~Unit();
    Unit(Unit const&) = delete;
    Unit& operator=(Unit const&) = delete;

    /// Starts it unless somebody did.
    void want();
    /// The same, and waits until it is up. Code::unavailable with the reason when it cannot be had, failed
    /// twice while we waited, or the deadline passed.
    [[nodiscard]] Task<Result<void>> demand(Deadline deadline);
    /// Ends it for good. Idempotent.
    [[nodiscard]] Task<void> close();

    [[nodiscard]] UnitStatus status() const;
    [[nodiscard]] bool ready() const { return state_ == UnitState::ready; }
    [[nodiscard]] UnitState state() const { return state_; }
    [[nodiscard]] std::uint64_t generation() const { return generation_; }
    [[nodiscard]] std::string const& reason() const { return reason_; }
    /// Notified at each change of state.
    [[nodiscard]] Event& changed() { return changed_; }
    /// Empty, or why this image cannot have it.
    [[nodiscard]] virtual std::string missing() const = 0;

  protected:
    /// Starts the program (running_) and asks it whether it is up.
    [[nodiscard]] virtual Task<Result<void>> come_up(Deadline deadline) = 0;
    /// Asks what only a program in health answers. An error: nothing came.
    [[nodiscard]] virtual Task<Result<void>> ask(Deadline deadline);
    /// How long it may be silent when it is asked; zero: it cannot be asked.
    [[nodiscard]] virtual Duration patience() const { return Duration::zero(); }
    virtual void went_down() {}
    /// Starts `launch` as running_.
    [[nodiscard]] Task<Result<void>> launch(Launch launch);
    [[nodiscard]] Loop& loop() const { return loop_; }
    [[nodiscard]] Launcher& launcher() const { return launcher_; }
    [[nodiscard]] Times const& times() const { return times_; }
    [[nodiscard]] Scope& scope() { return scope_; }

    std::shared_ptr<Running> running_;

  private:
    [[nodiscard]] Task<void> run();
    [[nodiscard]] Task<std::string> once();
    /// Comes back when it has ended or answers no more, with the reason.
    [[nodiscard]] Task<std::string> stay();
    void enter(UnitState state);
    [[nodiscard]] Duration pause() const;

    Loop& loop_;
    Launcher& launcher_;
    std::string name_;
    Times times_;
    UnitState state_ = UnitState::idle;
    std::uint64_t generation_ = 0;
    std::uint64_t ended_ = 0;
    unsigned failures_ = 0;  // in a row
    TimePoint well_{};       // its last sign of health
    std::string reason_;
    Event changed_;
    Scope scope_;
};

}  // namespace execd::browser_proxy
