#include "base/check.hpp"
#include "execd/http/byte_class.hpp"
#include "execd/http/fields.hpp"
#include "execd/http/head_scan.hpp"
#include "tests/fuzz/target.hpp"

namespace execd::http {
namespace {

void check_fields(HeadScan const& scan) {
    unsigned count = 0;
    for_each_field(scan.field_lines, [&count](std::string_view name, std::string_view value) {
        EXECD_REQUIRE(is_token(name));
        EXECD_REQUIRE(is_field_value(value));
        ++count;
    });
    EXECD_REQUIRE(count == scan.fields);
}

void run(std::string_view input) {
    std::size_t whole = 0;
    auto const end = find_head_end(input, whole);
    std::size_t resume = 0;
    for (std::size_t size = 0; size <= input.size(); ++size) {
        auto const found = find_head_end(input.substr(0, size), resume);
        if (!found) continue;
        EXECD_REQUIRE(found == end && *found == size);
        break;
    }
    std::string_view const head = input.substr(0, end.value_or(input.size()));
    HeadScan const request = scan_head(head);
    EXECD_REQUIRE(request.ok() == (request.status() == 0));
    if (request.ok()) {
        EXECD_REQUIRE(end.has_value());
        EXECD_REQUIRE(is_token(request.method) && all_in(request.target, kTargetByte));
        check_fields(request);
    }
    HeadScan const answer = scan_response_head(head, false);
    if (answer.ok()) check_fields(answer);
}

fuzz::Target const kTarget("head_scan", run);

}  // namespace
}  // namespace execd::http
