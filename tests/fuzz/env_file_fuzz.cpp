#include "base/check.hpp"
#include "shell/environment.hpp"
#include "tests/fuzz/target.hpp"

namespace execd::shell {
namespace {

bool has_nul(std::string_view text) { return text.find('\0') != std::string_view::npos; }

void run(std::string_view input) {
    Environment const daemon({"HOME=/root", "PATH=/bin:/usr/bin", "EMPTY="});
    EnvFile const file = parse_env_file(input, daemon);
    for (auto const& [name, value] : file.entries) {
        EXECD_REQUIRE(!name.empty() && !has_nul(name) && !has_nul(value));
        EXECD_REQUIRE(name.find('=') == std::string::npos && name.find('\n') == std::string::npos);
    }
    std::size_t before = 0;
    for (std::size_t const line : file.skipped) {
        EXECD_REQUIRE(line > before);  // numbered from 1, each once
        before = line;
    }
    // What was read, written in the one form that nothing is replaced in, reads the same again.
    std::string text;
    std::vector<std::pair<std::string, std::string>> written;
    for (auto const& entry : file.entries) {
        bool const plain = entry.second.find('\'') == std::string::npos && entry.first.front() != '#';
        if (!plain) continue;
        text += entry.first + "='" + entry.second + "'\n";
        written.push_back(entry);
    }
    EnvFile const again = parse_env_file(text, daemon);
    EXECD_REQUIRE(again.entries == written && again.skipped.empty());
    Expanded const expanded = expand(input, daemon);
    EXECD_REQUIRE(expand(expanded.text, Environment()).text.size() <= expanded.text.size());
}

fuzz::Target const kTarget("env_file", run);

}  // namespace
}  // namespace execd::shell
