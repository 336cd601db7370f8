#include "base/check.hpp"
#include "tests/fuzz/event_log.hpp"
#include "tests/fuzz/target.hpp"

namespace execd::http {
namespace {

// First line: the boundary. The rest: the body.
void run(std::string_view input) {
    std::uint32_t const seed = fuzz::take_byte(input) * 97U + 1000U;
    std::string_view const boundary = fuzz::take_line(input);
    MultipartLimits const limits{.parts = 8, .part_head = 512, .part_fields = 4, .preamble = 64};
    std::string const whole = multipart_log(boundary, input, 0, limits);
    EXECD_REQUIRE(multipart_log(boundary, input, 1, limits) == whole);
    EXECD_REQUIRE(multipart_log(boundary, input, seed, limits) == whole);
}

fuzz::Target const kTarget("multipart", run);

}  // namespace
}  // namespace execd::http
