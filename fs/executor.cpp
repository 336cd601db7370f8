#include "fs/executor.hpp"

namespace execd::fs {

Task<Result<Packet>> Executor::call(Packet, Lane) {
    co_return fail(Code::internal, "fs.executor", "the local executor has no channel");
}

}  // namespace execd::fs
