#include "base/check.hpp"
#include "fs/glob.hpp"
#include "fs/ignore.hpp"
#include "tests/fuzz/target.hpp"

namespace execd::fs {
namespace {

// First line: the pattern. The rest: a path. Options in the first byte.
void run(std::string_view input) {
    unsigned const flags = fuzz::take_byte(input);
    GlobOptions options;
    options.negation = (flags & 1U) != 0;
    options.ignore_case = (flags & 2U) != 0;
    options.braces = (flags & 4U) == 0;
    std::string_view const pattern = fuzz::take_line(input).substr(0, 256);
    std::string_view const path = input.substr(0, 1024);
    auto const glob = Glob::compile(pattern, options);
    if (glob) {
        bool const found = glob->match(path);
        EXECD_REQUIRE(glob->match(path) == found);
        auto other = options;
        other.ignore_case = true;
        // What matches exactly also matches when case does not count, unless it is negated.
        bool const negated = pattern.starts_with('!') || pattern.find("[!") != std::string_view::npos ||
                             pattern.find("[^") != std::string_view::npos;
        if (auto const loose = Glob::compile(pattern, other); loose && found && !negated)
            EXECD_REQUIRE(loose->match(path));
    }
    auto const rules = IgnoreRules::parse(pattern);
    auto const name = path.substr(path.rfind('/') + 1);
    (void)rules.ignored(path, name, false);
    (void)rules.ignored(path, name, true);
}

fuzz::Target const kTarget("glob", run);

}  // namespace
}  // namespace execd::fs
