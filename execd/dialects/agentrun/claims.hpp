// The sandboxes that clients created here (§1.4). There is one sandbox, execd's own, and any id means it;
// what was created is remembered, so that it can be asked for, stopped and deleted. A claim owns nothing yet.
//
// Thread: the reactor.
#pragma once
#include <deque>
#include <map>
#include <optional>
#include <string>

#include "base/clock.hpp"

namespace execd::agentrun {

struct Claim {
    std::string id;
    std::string template_name;
    WallTime created{};
    WallTime updated{};
    std::optional<WallTime> ended{};
    std::optional<std::int64_t> idle_seconds{};
};

class Claims {
  public:
    /// Nothing: the id is taken by a claim that lives.
    [[nodiscard]] Claim const* create(Claim claim);
    [[nodiscard]] Claim const* find(std::string const& id) const;
    /// False: it had ended before. Unknown ids are nobody's and end without a trace.
    bool end(std::string const& id, WallTime now);

  private:
    static constexpr std::size_t kMost = 10'000;  // the oldest are forgotten
    std::map<std::string, Claim, std::less<>> all_;
    std::deque<std::string> order_;
};

/// 26 characters of Crockford's alphabet, the first ten of them the time: a ULID.
[[nodiscard]] std::string new_sandbox_id(WallTime now);

}  // namespace execd::agentrun
