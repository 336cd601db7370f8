#include "base/check.hpp"
#include "tests/fuzz/event_log.hpp"
#include "tests/fuzz/target.hpp"

namespace execd::http {
namespace {

void run(std::string_view input) {
    unsigned const choice = fuzz::take_byte(input);
    std::uint32_t const seed = choice * 97U + 1000U;
    WsReaderOptions options{.max_frame = 300, .max_message = 500};
    if ((choice & 1U) != 0) options.role = WsRole::client;
    if ((choice & 2U) != 0) options.unmask = false;
    std::string const whole = ws_log(input, 0, options);
    EXECD_REQUIRE(ws_log(input, 1, options) == whole);
    EXECD_REQUIRE(ws_log(input, seed, options) == whole);
}

fuzz::Target const kTarget("ws_codec", run);

}  // namespace
}  // namespace execd::http
