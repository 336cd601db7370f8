// Any bytes through the JSON parser: no crash, no deep tree, and what is accepted is written and read back
// the same.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "execd/http/wire/json_parse.hpp"
#include "execd/http/wire/json_text.hpp"

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    using namespace execd::wire;
    std::string_view const text(reinterpret_cast<char const*>(data), size);
    auto const lenient = parse_json(text, {.trailing = Trailing::ignore});
    auto const strict = parse_json(text, {.bad_text = BadText::reject});
    if (strict && !lenient) std::abort();
    if (!strict && strict.error().offset > size) std::abort();
    if (!lenient) return 0;
    std::string once;
    append_json(once, *lenient);
    auto const again = parse_json(once, {.bad_text = BadText::reject});
    if (!again) std::abort();
    std::string twice;
    append_json(twice, *again);
    if (once != twice) std::abort();
    std::string bounded;
    append_json_bounded(bounded, *lenient, size % 100);
    if (!parse_json(bounded, {.bad_text = BadText::reject})) std::abort();
    return 0;
}
