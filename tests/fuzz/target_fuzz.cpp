#include "base/check.hpp"
#include "execd/http/target.hpp"
#include "tests/fuzz/target.hpp"

namespace execd::http {
namespace {

std::string encode(Pairs const& pairs) {
    std::string out;
    for (auto const& [name, value] : pairs) {
        if (!out.empty()) out += '&';
        append_percent_encoded(out, name, Encode::unreserved);
        out += '=';
        append_percent_encoded(out, value, Encode::unreserved);
    }
    return out;
}

void run(std::string_view input) {
    (void)parse_authority(input);
    (void)percent_decode(input);
    if (auto const target = parse_target(input)) {
        std::string path;
        for (auto const& segment : target->segments) path += "/" + percent_encode(segment, Encode::segment);
        if (path.empty() || target->trailing_slash) path += "/";
        auto const again = parse_target(path);
        EXECD_REQUIRE(again && again->segments == target->segments);
        EXECD_REQUIRE(again->trailing_slash == target->trailing_slash);
        input = target->raw_query;
    }
    for (BadEscape const policy : {BadEscape::refuse, BadEscape::keep, BadEscape::drop}) {
        auto const pairs = parse_query(input, {.bad_escape = policy});
        if (!pairs) continue;
        EXECD_REQUIRE(parse_query(encode(*pairs), {.bad_escape = BadEscape::refuse}) == *pairs);
    }
}

fuzz::Target const kTarget("target", run);

}  // namespace
}  // namespace execd::http
