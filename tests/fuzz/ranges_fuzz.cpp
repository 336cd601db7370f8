#include "base/check.hpp"
#include "execd/http/ranges.hpp"
#include "tests/fuzz/target.hpp"

namespace execd::http {
namespace {

void run(std::string_view input) {
    std::uint64_t size = fuzz::take_byte(input);
    if (size > 250) size = UINT64_MAX - size;
    std::string_view const etag = fuzz::take_line(input);
    for (auto const multi : {MultiRange::ignore, MultiRange::first_satisfiable, MultiRange::all}) {
        RangePlan const plan = plan_ranges(input, size, {.multi = multi, .refuse_malformed = true});
        EXECD_REQUIRE(plan.ranges.empty() == (plan.outcome != RangeOutcome::partial));
        std::uint64_t total = 0;
        for (auto const& range : plan.ranges) {
            EXECD_REQUIRE(range.length > 0 && range.first < size && range.length <= size - range.first);
            EXECD_REQUIRE(range.length <= size - total);
            total += range.length;
        }
    }
    Validators const now{.etag = etag, .modified = 784'111'777};
    (void)range_applies(input, now);
    (void)evaluate({.if_match = input}, now);
    (void)evaluate({.if_none_match = input, .if_unmodified_since = input}, now);
    (void)evaluate({.if_modified_since = input}, now);
    if (etag_strong_equal(etag, input)) EXECD_REQUIRE(etag_weak_equal(etag, input));
    if (etag_list_has(input, etag, true)) EXECD_REQUIRE(etag_list_has(input, etag, false));
}

fuzz::Target const kTarget("ranges", run);

}  // namespace
}  // namespace execd::http
