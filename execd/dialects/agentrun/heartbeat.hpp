// When a silent client is warned and sent away (contracts/agentrun.md §2.5). Pure.
#pragma once
#include "base/clock.hpp"

namespace execd::agentrun {

class Heartbeat {
  public:
    static constexpr Duration kWarn = std::chrono::seconds(90);
    static constexpr Duration kClose = std::chrono::seconds(120);
    enum class Due { nothing, warn, close };

    explicit Heartbeat(TimePoint now) : heard_(now) {}
    void heard(TimePoint now) {
        heard_ = now;
        warned_ = false;
    }
    /// What is to be done now; the warning is asked for once.
    [[nodiscard]] Due due(TimePoint now) {
        if (now - heard_ >= kClose) return Due::close;
        if (warned_ || now - heard_ < kWarn) return Due::nothing;
        warned_ = true;
        return Due::warn;
    }
    /// When to ask again.
    [[nodiscard]] Deadline next() const { return Deadline(heard_ + (warned_ ? kClose : kWarn)); }

  private:
    TimePoint heard_;
    bool warned_ = false;
};

}  // namespace execd::agentrun
