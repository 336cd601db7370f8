#include "execd/runtime_init.hpp"

#include <memory>

namespace execd {

using http::Answer;
using http::Call;

RuntimeInit& runtime_init() {
    static RuntimeInit one;
    return one;
}

Result<Answer> not_initialized() {
    return fail(Code::unavailable, "", "execd is not initialized yet: POST /internal/init comes first");
}

namespace {
Task<Result<Answer>> at_once(Result<Answer> (*refusal)()) { co_return refusal(); }
}  // namespace

void wait_for_init(std::vector<http::Row>& rows, Result<Answer> (*refusal)()) {
    for (auto& row : rows) {
        if (row.access == http::Access::open) continue;
        if (row.sync)
            row.sync = [refusal, inner = row.sync](Call& call) -> Result<Answer> {
                return runtime_init().done ? inner(call) : refusal();
            };
        if (row.invoke)
            row.invoke = [refusal, inner = std::make_shared<http::Handler const>(row.invoke)](Call& call) {
                return runtime_init().done ? (*inner)(call) : at_once(refusal);
            };
    }
}

}  // namespace execd
