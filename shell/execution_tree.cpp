#include <signal.h>

#include "shell/execution.hpp"
#include "shell/process_tree.hpp"

namespace execd::shell {

Task<void> Execution::kill_since(std::uint64_t ticks) {
    auto const self = shared_from_this();
    if (!process_ || !process_->running()) co_return;
    Reaper::Hold const hold(process_);  // the leader's number stays its own during the walk
    TreeQuery query{process_->pid(), id_};
    query.since = ticks;
    auto const work = [&query] { return signal_tree(query, SIGKILL, 50); };
    (void)co_await loop_->pool().run(Lane::search, work);
}

}  // namespace execd::shell
