// SessionScript: what a session types into its shell, for bash and for a POSIX sh (dash, busybox ash), and
// where the private descriptors are.
//
// Both answer alike on the control channel: \1 tag NUL status NUL directory NUL exports NUL. The tag is
// "ready", "begin" or the command's number, so that a report may be asked for again when an interrupt may
// have hit it.
//
// Pure.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "shell/environment.hpp"

namespace execd::shell {

struct SessionScript {
    /// Behind the shell's path.
    std::vector<std::string> arguments;
    /// Descriptors in the shell. `go` (-1: none) lets a command on a terminal begin, `control` reports to us,
    /// `source` brings the text, `runner` is the runner.
    int go = -1;
    int control = -1;
    int source = -1;
    int runner = -1;
    /// Typed once; answered with "ready".
    std::string_view setup;
    /// The sourced file that evaluates one text.
    std::string_view runner_text;
    /// Typed behind "__execd_n=<number>".
    std::string_view run;
    /// The runner answers "begin" before it evaluates.
    bool begins = false;
    /// On a terminal: the report is made where the prompt would be, not asked for.
    bool reports_itself = false;
    bool bash = true;

    /// The line that makes the shell report this command's end. Typed twice it is answered twice.
    [[nodiscard]] std::string report(std::uint64_t number) const;
    /// The content of the source file.
    [[nodiscard]] std::string source_of(std::string_view prefix, std::string_view text) const;
    [[nodiscard]] std::string export_command(std::string_view name, std::string_view value) const;
    [[nodiscard]] std::string change_directory(std::string_view path) const;
};

/// On a terminal for bash only.
[[nodiscard]] SessionScript session_script(Shell const& shell, bool terminal);

}  // namespace execd::shell
