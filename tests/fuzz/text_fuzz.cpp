#include "base/check.hpp"
#include "fs/diff.hpp"
#include "fs/path.hpp"
#include "fs/reader.hpp"
#include "fs/remote_mounts.hpp"
#include "fs/text.hpp"
#include "tests/fuzz/target.hpp"

namespace execd::fs {
namespace {

// Every encoding there and back, the difference of two halves, windows of lines at two chunkings, paths.
void run(std::string_view input) {
    unsigned const first = fuzz::take_byte(input);
    for (auto const encoding : {Encoding::utf8, Encoding::utf8_bom, Encoding::utf16_le, Encoding::utf16_be,
                                Encoding::latin1, Encoding::base64}) {
        auto const text = decode_text(input, encoding);
        if (!text) continue;
        auto const bytes = encode_text(*text, encoding);
        EXECD_REQUIRE(bytes.has_value());
        auto const again = decode_text(*bytes, encoding);
        EXECD_REQUIRE(again && *again == *text);
        if (encoding == Encoding::latin1 || encoding == Encoding::base64) EXECD_REQUIRE(*bytes == input);
    }
    auto const half = input.size() / 2;
    auto const diff = unified_diff(input.substr(0, half), input.substr(half), "a", "b");
    EXECD_REQUIRE(diff.empty() == (input.substr(0, half) == input.substr(half)));

    std::string whole;
    std::string pieces;
    LineWindow one(first % 7, first % 5 == 0 ? std::nullopt : std::optional<std::uint64_t>(first % 5));
    LineWindow other(first % 7, first % 5 == 0 ? std::nullopt : std::optional<std::uint64_t>(first % 5));
    one.push(input, whole);
    for (char const& c : input) other.push(std::string_view(&c, 1), pieces);
    EXECD_REQUIRE(whole == pieces);

    auto const clean = clean_path(input);
    EXECD_REQUIRE(clean_path(clean) == clean);
    Expansion how;
    how.home = "/home/x";
    how.variable = [](std::string_view name) {
        return name == "A" ? std::optional<std::string>("value") : std::nullopt;
    };
    if (auto const path = expand_path(input, how)) EXECD_REQUIRE(path->starts_with('/'));
    (void)parse_remote_mounts(input);
}

fuzz::Target const kTarget("text", run);

}  // namespace
}  // namespace execd::fs
