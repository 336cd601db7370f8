#include "base/check.hpp"
#include "execd/dialects/opensandbox/line_events.hpp"
#include "shell/lines.hpp"
#include "tests/fuzz/target.hpp"

namespace execd::shell {
namespace {

std::vector<std::string> lines_of(std::string_view text, std::size_t step, std::size_t limit) {
    LineSplitter splitter(limit);
    std::vector<std::string> out;
    auto const emit = [&out](Line const& line) {
        EXECD_REQUIRE(!line.text.empty() && line.terminator <= line.text.size());
        EXECD_REQUIRE(line.content().find('\n') == std::string_view::npos);
        out.emplace_back(line.text);
    };
    for (std::size_t at = 0; at < text.size(); at += step) splitter.push(text.substr(at, step), emit);
    splitter.flush(emit);
    EXECD_REQUIRE(splitter.pending() == 0);
    return out;
}

std::string joined(std::vector<std::string> const& list) {
    std::string out;
    for (auto const& one : list) out += one;
    return out;
}

void run(std::string_view input) {
    std::size_t const step = 1 + fuzz::take_byte(input) % 9;
    std::size_t const limit = 1 + fuzz::take_byte(input);
    auto const whole = lines_of(input, input.size() + 1, 1 << 20);
    EXECD_REQUIRE(joined(whole) == input);
    EXECD_REQUIRE(lines_of(input, step, 1 << 20) == whole);
    EXECD_REQUIRE(joined(lines_of(input, step, limit)) == input);

    // The dialect's fast way and its general way give the same frames at any chunking.
    for (bool const bare : {false, true}) {
        opensandbox::LineEvents at_once("stdout", bare);
        opensandbox::LineEvents in_steps("stdout", bare);
        std::string expected;
        std::string out;
        at_once.push(expected, input, 7);
        at_once.flush(expected, 7, true);
        for (std::size_t at = 0; at < input.size(); at += step) in_steps.push(out, input.substr(at, step), 7);
        in_steps.flush(out, 7, true);
        EXECD_REQUIRE(out == expected);
        EXECD_REQUIRE(out.empty() == input.empty());
    }
}

fuzz::Target const kTarget("line_splitter", run);

}  // namespace
}  // namespace execd::shell
