// Direct start: shell text that is one plain command (`ls -la src`, `python3 -c 'print(1)'`) need not pay for
// a shell. `bash -c` would read it, look it up in PATH and replace itself with the program; the spawner does
// the same without bash in between, which is half the time of a short command. Everything that could mean
// anything else (expansions, operators, builtins, keywords, assignments, shell options in the environment)
// goes to bash, and so does every command that cannot be executed: its message is the shell's.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace execd::shell {

/// The words of one simple command without any expansion; nullopt where only a shell knows what the text
/// means. `true` and `false` are builtins too, but their programs do the same.
[[nodiscard]] std::optional<std::vector<std::string>> simple_command(std::string_view text);

/// The environment that `bash -c COMMAND`, started with `env` in `cwd` (empty: the daemon's), gives to
/// COMMAND: PWD, OLDPWD and SHLVL as bash sets them, without `_`, which names the file and is added per
/// candidate. nullopt: something in `env` makes bash do more (BASH_ENV, SHELLOPTS, exported functions ...).
/// Calls stat.
[[nodiscard]] std::optional<std::vector<std::string>> direct_environment(std::vector<std::string> const& env,
                                                                         std::string const& cwd);

}  // namespace execd::shell
