#include "base/check.hpp"
#include "fs/pattern.hpp"
#include "tests/fuzz/target.hpp"

namespace execd::fs {
namespace {

// First line: the expression. The rest: a text. The literal that every match must hold is a promise: without
// it the search would pass over lines that match.
void run(std::string_view input) {
    unsigned const flags = fuzz::take_byte(input);
    PatternOptions options;
    options.fixed = (flags & 1U) != 0;
    options.ignore_case = (flags & 2U) != 0;
    options.multiline = (flags & 4U) != 0;
    std::string_view const expression = fuzz::take_line(input).substr(0, 128);
    std::string_view const text = input.substr(0, 2048);
    auto pattern = Pattern::compile(expression, options);
    if (!pattern) return;
    std::size_t at = 0;
    for (int i = 0; i < 64; ++i) {
        auto const hit = pattern->find_line(text, at);
        if (!hit) break;
        EXECD_REQUIRE(hit->line.begin >= at && hit->line.end <= text.size());
        EXECD_REQUIRE(hit->match.begin <= hit->match.end &&
                      hit->match.end <= hit->line.end - hit->line.begin);
        auto const line = text.substr(hit->line.begin, hit->line.end - hit->line.begin);
        EXECD_REQUIRE(line.find('\n') == std::string_view::npos);
        if (!options.fixed && !options.ignore_case) {
            auto const literal = required_literal(expression);
            EXECD_REQUIRE(literal.empty() || line.find(literal) != std::string_view::npos);
        }
        at = hit->line.end + 1;
        if (at >= text.size()) break;
    }
    if (auto const hit = pattern->find(text, 0)) EXECD_REQUIRE(hit->end <= text.size());
}

fuzz::Target const kTarget("pattern", run);

}  // namespace
}  // namespace execd::fs
