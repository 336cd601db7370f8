// Any bytes through the JSON parser: no crash, no deep tree, and what is accepted is written and read back
// the same.
#include <nlohmann/json.hpp>

#include "base/check.hpp"
#include "execd/http/wire/json_parse.hpp"
#include "execd/http/wire/json_text.hpp"
#include "tests/fuzz/target.hpp"

namespace execd::wire {
namespace {

void run(std::string_view text) {
    auto const lenient = parse_json(text, {.trailing = Trailing::ignore});
    auto const strict = parse_json(text, {.bad_text = BadText::reject});
    EXECD_REQUIRE(lenient || !strict);
    EXECD_REQUIRE(strict || strict.error().offset <= text.size());
    if (!lenient) return;
    std::string once;
    append_json(once, *lenient);
    auto const again = parse_json(once, {.bad_text = BadText::reject});
    EXECD_REQUIRE(again.has_value());
    std::string twice;
    append_json(twice, *again);
    EXECD_REQUIRE(once == twice);
    std::string bounded;
    append_json_bounded(bounded, *lenient, text.size() % 100);
    EXECD_REQUIRE(parse_json(bounded, {.bad_text = BadText::reject}).has_value());
}

fuzz::Target const kTarget("json_depth", run);

}  // namespace
}  // namespace execd::wire
