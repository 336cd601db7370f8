// Arguments and variables of the daemon: refused with words, or within their bounds.
#include "base/check.hpp"
#include "execd/config.hpp"
#include "tests/fuzz/target.hpp"

namespace execd {
namespace {

std::vector<std::pair<std::string, std::string>>& variables() {
    static std::vector<std::pair<std::string, std::string>> all;
    return all;
}

std::optional<std::string> look_up(std::string_view name) {
    for (auto const& [known, value] : variables())
        if (known == name) return value;
    return std::nullopt;
}

// Lines: NAME=value is a variable, anything else an argument. `@<n>` at the front of a line is the n-th
// option.
void run(std::string_view input) {
    static auto const options = option_table();
    std::vector<std::string> arguments;
    variables().clear();
    for (int i = 0; i < 40 && !input.empty(); ++i) {
        std::string line(fuzz::take_line(input));
        if (line.find('\0') != std::string::npos) return;  // no argument holds one
        if (line.starts_with('@') && line.size() > 1) {
            auto const& option = options[static_cast<unsigned char>(line[1]) % options.size()];
            std::string const value = line.substr(2);
            if (!option.env.empty() && line[1] % 2 == 0) {
                variables().emplace_back(option.env, value);
            } else if (!option.flag.empty()) {
                arguments.push_back("--" + std::string(option.flag));
                if (!value.empty()) arguments.push_back(value);
            }
        } else if (auto const equals = line.find('='); equals != std::string::npos && line.front() != '-') {
            variables().emplace_back(line.substr(0, equals), line.substr(equals + 1));
        } else {
            arguments.push_back(std::move(line));
        }
    }
    auto const made = parse_command_line(arguments, look_up);
    if (!made) {
        EXECD_REQUIRE(made.error().code == Code::invalid_argument && !made.error().message().empty());
        return;
    }
    Config const& config = made->config;
    EXECD_REQUIRE(config.drain >= Duration::zero() && config.slow_request >= Duration::zero());
    EXECD_REQUIRE(config.stream_tail >= Duration::zero() && config.max_connections > 0);
    EXECD_REQUIRE(config.access_token.find('\n') == std::string::npos);
}

fuzz::Target const kTarget("config", run);

}  // namespace
}  // namespace execd
