// Any bytes as a request under each kind of policy: no crash, and a fault exactly when decoding says so.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "tests/unit/execd/wire_dialects.hpp"
#include "tests/unit/execd/wire_schemas.hpp"

template struct execd::wire::Codec<execd::wire_test::Everything>;
template struct execd::wire::Codec<execd::wire_test::WatchRequest>;

namespace {

template <class T>
void one(execd::wire::Sources const& from, execd::wire::Policy const& policy) {
    using namespace execd;
    T value;
    wire::Faults faults;
    bool const good = wire::decode(value, from, policy, faults);
    if (good != faults.empty()) std::abort();
    for (auto const& fault : faults) {
        if (fault.loc.empty() || fault.type.empty() || fault.input.size() > 1200) std::abort();
    }
    if (!faults.empty()) {
        wire_test::go_error(faults);
        if (!wire::Json::accept(wire_test::fastapi_error(faults))) std::abort();
        if (!wire::Json::accept(wire_test::agentrun_error(faults, "r"))) std::abort();
    }
    std::string text;
    wire::encode(value, {.absent = wire::Absent::null, .escape = wire::Escape::non_ascii}, text);
    if (!wire::Json::accept(text)) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    using namespace execd;
    std::string_view const text(reinterpret_cast<char const*>(data), size);
    wire::TextPair const pairs[] = {
        {"session", text.substr(0, size / 3)}, {"limit", text.substr(0, 8)}, {"tag", text}};
    for (auto const& policy :
         {wire_test::go_policy(), wire_test::fastapi_policy(), wire_test::agentrun_policy()}) {
        one<wire_test::Everything>({.body_text = text}, policy);
        one<wire_test::WatchRequest>({.body_text = text, .path = pairs, .query = pairs}, policy);
    }
    return 0;
}
