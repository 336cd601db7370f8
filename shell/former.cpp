#include "shell/former.hpp"

#include <utility>

#include "base/loop.hpp"
#include "shell/executions.hpp"
#include "shell/process_forest.hpp"

namespace execd::shell {

namespace {
constexpr std::size_t kMost = 64;
}  // namespace

void Former::add(Execution const& one) {
    if (!ids_.empty() && ids_.back() == one.id()) return;
    ids_.push_back(one.id());
    if (ids_.size() > kMost) ids_.pop_front();
}

Task<void> Former::end(Loop& loop, Executions& executions) {
    auto const ids = std::exchange(ids_, {});
    ForestQuery dropped;
    for (auto const& id : ids) {
        auto const one = executions.find(id);
        if (one == nullptr)
            dropped.executions.insert(id);
        else
            co_await one->stop(Duration::zero());
    }
    if (dropped.executions.empty()) co_return;
    auto const work = [&dropped] {
        kill_forest(dropped);
        return true;
    };
    (void)co_await loop.pool().run(Lane::search, work);
}

}  // namespace execd::shell
