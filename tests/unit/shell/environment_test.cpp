#include "shell/environment.hpp"

#include <random>

#include "harness.hpp"
#include "shell/shell_text.hpp"

namespace execd::shell {
namespace {

using Entries = std::vector<std::pair<std::string, std::string>>;

Environment daemon() { return Environment({"HOME=/home/me", "N=1", "EMPTY="}); }

TEST(Expand, NamesOnly) {
    EXPECT_EQ(expand("$HOME/x ${N}2 $", daemon()).text, "/home/me/x 12 $");
    EXPECT_EQ(expand("$1 $$ ${ ${} ${N", daemon()).text, "$1 $$ ${ ${} ${N");
    auto const out = expand("a$NOPE${ALSO}b$EMPTY", daemon());
    EXPECT_EQ(out.text, "ab");
    EXPECT_EQ(out.undefined, (std::vector<std::string>{"NOPE", "ALSO"}));
}

TEST(EnvFile, AllForms) {
    auto const file = parse_env_file(
        "# comment\n\n  A = plain value \r\nB=\"x\\ty\\n\\\\ \\\"q\\\" \\z $N\"\nC='lit $N "
        "\\n'\nD=\"two\nlines\"\n"
        "E='three\nmore\nlines'  \nA=later\nF=$HOME/${NOPE}x\nG=\nH=\"\"",
        daemon());
    Entries const expected{{"A", "plain value"},
                           {"B", "x\ty\n\\ \"q\" \\z 1"},
                           {"C", "lit $N \\n"},
                           {"D", "two\nlines"},
                           {"E", "three\nmore\nlines"},
                           {"A", "later"},
                           {"F", "/home/me/x"},
                           {"G", ""},
                           {"H", ""}};
    EXPECT_EQ(file.entries, expected);
    EXPECT_TRUE(file.skipped.empty());
}

TEST(EnvFile, MalformedEntriesAreSkippedAndTheRestRead) {
    auto const file = parse_env_file("novalue\n=x\nA=\"ok\" junk\nB='open\nC=1\nD=\"a\\\"\n", daemon());
    EXPECT_EQ(file.entries, (Entries{{"C", "1"}}));
    EXPECT_EQ(file.skipped, (std::vector<std::size_t>{1, 2, 3, 4, 6}));
}

TEST(EnvFile, WhatSetEnvWritesComesBack) {
    std::mt19937 random(5);
    for (int round = 0; round < 500; ++round) {
        std::string value(random() % 12, '\0');
        for (char& c : value) c = "ab \n\t$\"\\'={}"[random() % 11];
        bool const quote = value.find('\'') != std::string::npos;
        std::string text = "K='" + value + "'\n";
        if (quote) {
            text = "K=\"";
            for (char const c : value) {
                if (c == '\n')
                    text += "\\n";
                else if (c == '"' || c == '\\')
                    (text += '\\') += c;
                else
                    text += c;
            }
            text += "\"\n";
        }
        auto const file = parse_env_file(text, Environment());
        ASSERT_EQ(file.entries.size(), 1U) << text;
        EXPECT_EQ(file.entries[0].second, quote ? expand(value, Environment()).text : value) << text;
    }
}

TEST(EnvFile, NoInputIsFatal) {
    std::mt19937 random(6);
    for (int round = 0; round < 3000; ++round) {
        std::string text(random() % 40, '\0');
        for (char& c : text) c = "AB=\"'\\\n$#{} \0"[random() % 13];
        auto const file = parse_env_file(text, daemon());
        for (auto const& [key, value] : file.entries) EXPECT_FALSE(key.empty());
    }
}

TEST(Environment, SecretsStayHere) {
    ::setenv("EXECD_ACCESS_TOKEN", "secret", 1);
    EXPECT_FALSE(Environment::of_daemon().get("EXECD_ACCESS_TOKEN").has_value());
    ::unsetenv("EXECD_ACCESS_TOKEN");
    EXPECT_TRUE(Environment::of_daemon().get("PATH").has_value());
}

TEST(ShellText, AnySizeRuns) {
    Harness h;
    for (std::string const path : {"/bin/bash", "/bin/sh"}) {
        std::string const padding = ": " + std::string(150'000, 'x') + "\n";
        for (bool const large : {false, true}) {
            auto command = shell_command({path, path == "/bin/bash"},
                                         (large ? padding : "") + "echo \"it's $0\"; exit 4");
            ASSERT_TRUE(command.has_value());
            ExecutionSpec spec;
            spec.argv = std::move(command->argv);
            spec.fds = std::move(command->fds);
            spec.owned = std::move(command->owned);
            spec.env = {"PATH=/usr/bin:/bin"};
            auto run = h.start(std::move(spec));
            EXPECT_EQ(h.read(*run), "it's " + path + "\n");
            EXPECT_EQ(h.verdict(run).exit_code(), 4);
        }
    }
    EXPECT_EQ(shell_command({"/bin/sh", false}, std::string(1, '\0')).error().code, Code::invalid_argument);
    EXPECT_EQ(find_shell(Environment({"PATH=/nonexistent"})).path, "/bin/sh");
    EXPECT_TRUE(find_shell(Environment({"PATH=/usr/bin:/bin"})).bash);
}

}  // namespace
}  // namespace execd::shell
