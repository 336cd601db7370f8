#include "execd/runtime_init.hpp"

#include "execd/http/gate.hpp"

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

void wait_for_init(std::vector<http::Row>& rows, Result<Answer> (*refusal)()) {
    for (auto& row : rows) {
        if (row.access == http::Access::open) continue;
        http::put_before(row, [refusal](Call&) -> std::optional<Result<Answer>> {
            if (runtime_init().done) return std::nullopt;
            return refusal();
        });
    }
}

}  // namespace execd
