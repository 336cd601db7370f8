// Shell text of any size as a command: short texts are `-c`, texts beyond what execve takes as one argument
// (128 KiB) travel in a memory file that the shell reads and closes first.
#pragma once
#include <string>
#include <vector>

#include "base/error.hpp"
#include "base/unique_fd.hpp"
#include "shell/environment.hpp"
#include "shell/spawn_spec.hpp"

namespace execd::shell {

struct ShellCommand {
    std::vector<std::string> argv;
    /// The command itself where bash would only start it (shell/direct_command.hpp); may be empty.
    std::vector<std::string> direct;
    /// For SpawnSpec or ExecutionSpec when the text did not fit.
    std::vector<FdMap> fds;
    std::vector<UniqueFd> owned;
};

/// `options` come before -c ("--norc"). invalid_argument: NUL in the text; too_large: over 64 MiB.
[[nodiscard]] Result<ShellCommand> shell_command(Shell const& shell, std::string text,
                                                 std::vector<std::string> options = {});

/// 'it'\''s': one shell word for any bytes but NUL.
[[nodiscard]] std::string shell_quoted(std::string_view text);

/// A file of these bytes without a name, open for reading from the start (memfd, or a temporary file).
[[nodiscard]] Result<UniqueFd> anonymous_file(std::string_view bytes);

}  // namespace execd::shell
