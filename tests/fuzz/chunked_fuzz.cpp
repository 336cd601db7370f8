#include "base/check.hpp"
#include "tests/fuzz/event_log.hpp"
#include "tests/fuzz/target.hpp"

namespace execd::http {
namespace {

void run(std::string_view input) {
    std::uint32_t const seed = fuzz::take_byte(input) * 97U + 1000U;
    ChunkedLimits const limits{.line = 64, .overhead = 128, .trailers = 64};
    std::string const whole = chunked_log(input, 0, limits);
    EXECD_REQUIRE(chunked_log(input, 1, limits) == whole);
    EXECD_REQUIRE(chunked_log(input, seed, limits) == whole);
}

fuzz::Target const kTarget("chunked", run);

}  // namespace
}  // namespace execd::http
