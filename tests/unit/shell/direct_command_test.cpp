#include "shell/direct_command.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <sstream>

#include "harness.hpp"
#include "shell/shell_text.hpp"

namespace execd::shell {
namespace {

using Words = std::vector<std::string>;

TEST(SimpleCommand, IsWordsWithoutExpansion) {
    EXPECT_EQ(simple_command("true"), Words{"true"});
    EXPECT_EQ(simple_command("  ls\t-la  src/a.b \n"), (Words{"ls", "-la", "src/a.b"}));
    EXPECT_EQ(simple_command("python3 -c 'print(\"1\")\nx = $y'"),
              (Words{"python3", "-c", "print(\"1\")\nx = $y"}));
    EXPECT_EQ(simple_command("grep -e\"a  b\"'c' \"\""), (Words{"grep", "-ea  bc", ""}));
    EXPECT_EQ(simple_command("env A=1 date +%s"), (Words{"env", "A=1", "date", "+%s"}));
}

TEST(SimpleCommand, LeavesEverythingElseToTheShell) {
    for (char const* text :
         {"",          " \n",     "a\nb",  "a;b",     "a&",        "a|b",    "a>b",      "a<b",
          "a $b",      "a `b`",   "a \\b", "a *",     "a ?",       "a [b]",  "a ~",      "a {b,c}",
          "a #b",      "!a",      "a^b",   "(a)",     "a 'b",      "a \"b",  "a \"$b\"", "a \"`b`\"",
          "a \"\\b\"", "A=1 b",   "A=1",   "'A=1' b", "''",        "%1",     "cd /",     "'cd' /",
          "echo hi",   "exec ls", "if",    "time ls", "[ a ]",     ". file", ": a",      "kill 1",
          "pwd",       "type ls", "a\rb",  "a \x01",  "l\xc3\xa4s"})
        EXPECT_FALSE(simple_command(text).has_value()) << text;
}

TEST(SimpleCommand, NoWordHoldsANul) {
    EXPECT_FALSE(simple_command(std::string_view("ls \"a\0b\"", 8)));
    EXPECT_FALSE(simple_command(std::string_view("ls\0", 3)));
}

TEST(SimpleCommand, KnowsEveryWordOfThisBash) {
    Harness h;
    std::istringstream words(h.read(*h.start("compgen -k; compgen -b")));
    for (std::string word; words >> word;)
        EXPECT_EQ(simple_command(word).has_value(), word == "true" || word == "false") << word;
}

ExecutionSpec command(Harness& h, std::string text, Words env, std::string cwd, bool direct) {
    auto spec = h.shell("");
    auto made = shell_command({"/bin/bash", true}, std::move(text));
    EXPECT_TRUE(made.has_value());
    spec.argv = made->argv;
    if (direct) spec.direct = made->direct;
    spec.env = std::move(env);
    spec.cwd = std::move(cwd);
    spec.id = "same";  // it shows in the environment
    return spec;
}

/// Output and verdict of the text, started as bash would and directly.
std::pair<std::string, std::string> both_ways(std::string const& text, Words const& env,
                                              std::string const& cwd) {
    std::string out[2];
    for (int direct = 0; direct < 2; ++direct) {
        Harness h;
        auto const run = h.start(command(h, text, env, cwd, direct == 1));
        std::istringstream lines(h.read(*run));
        Words sorted;
        for (std::string line; std::getline(lines, line);) sorted.push_back(line);
        std::sort(sorted.begin(), sorted.end());
        for (auto const& line : sorted) out[direct] += line + "\n";
        auto const verdict = h.verdict(run);
        auto const* const exited = std::get_if<Exited>(&verdict.ending);
        out[direct] += "exit " + std::to_string(exited == nullptr ? -1 : exited->code);
    }
    return {out[0], out[1]};
}

TEST(DirectStart, GivesTheEnvironmentThatBashGives) {
    std::string const path = "PATH=/nonexistent:/usr/bin:/bin";
    std::string const link = "/tmp/execd-direct-" + std::to_string(::getpid());
    ASSERT_EQ(::symlink("/usr", link.c_str()), 0);
    for (auto const& [env, cwd] : std::vector<std::pair<Words, std::string>>{
             {{path}, ""},
             {{path, "PWD=/usr", "SHLVL=3", "_=old", "OLDPWD=/none"}, "/usr"},
             {{path, "PWD=/wrong", "SHLVL=", "OLDPWD=/usr", "LANG=C.UTF-8"}, "/tmp"},
             {{path, "PWD=" + link, "A-B=1"}, "/usr"},
             {{path, "PWD=" + link}, link},
             {{path}, link},
             {{path, "SHLVL=junk"}, "/"}}) {
        auto const [shell, direct] = both_ways("env", env, cwd);
        EXPECT_EQ(shell, direct);
        auto const [shell_path, direct_path] = both_ways("/usr/bin/env", env, cwd);
        EXPECT_EQ(shell_path, direct_path);
    }
    ::unlink(link.c_str());
}

TEST(DirectStart, LeavesMessagesToBash) {
    Words const env = {"PATH=/usr/bin:/bin"};
    std::string const script = "/tmp/execd-script-" + std::to_string(::getpid());
    FILE* file = ::fopen(script.c_str(), "w");
    ASSERT_NE(file, nullptr);
    ::fputs("echo \"a script without a first line: $0 $1\"\n", file);
    ::fclose(file);
    for (std::string const& text : {std::string("no-such-command-here"), std::string("/etc/passwd"),
                                    std::string("/tmp"), script + " one"}) {
        ::chmod(script.c_str(), 0755);
        auto const [shell, direct] = both_ways(text, env, "/");
        EXPECT_EQ(shell, direct);
        EXPECT_FALSE(shell.empty());
    }
    ::unlink(script.c_str());
}

TEST(DirectStart, StartsNoShell) {
    Harness h;
    auto spec = command(h, "cat /proc/self/comm", {"PATH=/usr/bin:/bin"}, "/", true);
    spec.argv = {"/nonexistent"};  // the shell is not even looked at
    EXPECT_EQ(h.read(*h.start(std::move(spec))), "cat\n");
}

TEST(DirectStart, IsNotTriedWhereTheEnvironmentStirsBash) {
    EXPECT_TRUE(direct_environment({"PATH=/bin"}, "/"));
    EXPECT_FALSE(direct_environment({"PATH=/bin", "BASH_ENV=/x"}, "/"));
    EXPECT_FALSE(direct_environment({"PATH=/bin", "BASH_FUNC_true%%=() { :; }"}, "/"));
    EXPECT_FALSE(direct_environment({"PATH=/bin", "SHELLOPTS=xtrace"}, "/"));
    EXPECT_FALSE(direct_environment({"A=b"}, "/"));
    EXPECT_FALSE(direct_environment({"PATH=/bin"}, "/none"));
}

}  // namespace
}  // namespace execd::shell
