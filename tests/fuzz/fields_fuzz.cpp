#include "base/check.hpp"
#include "base/utf8.hpp"
#include "execd/http/fields.hpp"
#include "execd/http/ws_codec.hpp"
#include "tests/fuzz/target.hpp"

namespace execd::http {
namespace {

void run(std::string_view input) {
    for (auto const element : split_list(input)) EXECD_REQUIRE(!element.empty());
    for (auto const& element : parse_qualities(input)) EXECD_REQUIRE(element.q >= 0 && element.q <= 1000);
    int const q = accept_quality(input, "text/html");
    EXECD_REQUIRE(q >= 0 && q <= 1000);
    (void)encoding_quality(input, "gzip");
    (void)has_token(input, "upgrade");
    (void)parse_cookies(input);
    (void)parse_content_type(input);
    (void)split_authorization(input);
    if (auto const params = parse_params(input)) (void)params->extended("filename");
    if (auto const decoded = decode_extended(input)) EXECD_REQUIRE(is_utf8(*decoded));
    std::string const disposition = content_disposition("attachment", input);
    EXECD_REQUIRE(is_field_value(disposition));
    auto const parsed = parse_params(disposition);
    EXECD_REQUIRE(parsed.has_value());
    EXECD_REQUIRE(parsed->extended("filename") == to_utf8(input));
    if (auto const time = parse_http_date(input))
        EXECD_REQUIRE(parse_http_date(format_http_date(*time)) == time);
    (void)ws_check_request(
        {.method = "GET", .upgrade = input, .connection = input, .version = "13", .key = input});
}

fuzz::Target const kTarget("fields", run);

}  // namespace
}  // namespace execd::http
