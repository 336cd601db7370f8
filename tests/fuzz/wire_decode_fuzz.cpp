// Any bytes as a request under each kind of policy: no crash, and a fault exactly when decoding says so.
#include "base/check.hpp"
#include "tests/fuzz/target.hpp"
#include "tests/unit/execd/wire_dialects.hpp"
#include "tests/unit/execd/wire_schemas.hpp"

template struct execd::wire::Codec<execd::wire_test::Everything>;
template struct execd::wire::Codec<execd::wire_test::WatchRequest>;

namespace execd::wire_test {
namespace {

template <class T>
void one(wire::Sources const& from, wire::Policy const& policy) {
    T value;
    wire::Faults faults;
    bool const good = wire::decode(value, from, policy, faults);
    EXECD_REQUIRE(good == faults.empty());
    for (auto const& fault : faults) {
        EXECD_REQUIRE(!fault.loc.empty() && !fault.type.empty() && fault.input.size() < 1200);
    }
    if (!faults.empty()) {
        (void)go_error(faults);
        EXECD_REQUIRE(Json::accept(fastapi_error(faults)));
        EXECD_REQUIRE(Json::accept(agentrun_error(faults, "r")));
    }
    std::string text;
    wire::encode(value, {.absent = wire::Absent::null, .escape = wire::Escape::non_ascii}, text);
    EXECD_REQUIRE(Json::accept(text));
}

void run(std::string_view input) {
    wire::TextPair const pairs[] = {
        {"session", input.substr(0, input.size() / 3)}, {"limit", input.substr(0, 8)}, {"tag", input}};
    for (auto const& policy : {go_policy(), fastapi_policy(), agentrun_policy()}) {
        one<Everything>({.body_text = input}, policy);
        one<WatchRequest>({.body_text = input, .path = pairs, .query = pairs}, policy);
    }
}

fuzz::Target const kTarget("wire_decode", run);

}  // namespace
}  // namespace execd::wire_test
