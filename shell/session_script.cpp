#include "shell/session_script.hpp"

#include "shell/shell_text.hpp"

namespace execd::shell {

namespace {

// ---- bash. High numbers: scripts use the low ones.

constexpr std::string_view kSetup =
    "PS1= PS2= PROMPT_COMMAND= __execd_x=; set +m +H +o history; shopt -u checkwinsize; "
    "builtin printf '\\1ready\\0\\0\\0\\0' >&61\n";
// Sourced, because bash says "exit" on stderr when an interactive shell exits, and a sourced file is not
// interactive. Tracing (set -x, set -v) is for the commands alone: it is off while the runner works and on
// again for the next text.
constexpr std::string_view kRunner =
    "IFS= read -r -d '' -u 62 __execd_p || :; IFS= read -r -d '' -u 62 __execd_t || :; "
    "eval \"$__execd_p\" && eval \"$__execd_x$__execd_t\" </dev/null 61>&- 62<&- 63<&-; "
    "{ __execd_s=$?; __execd_x=; case $- in *x*) __execd_x='set -x;';; esac; "
    "case $- in *v*) __execd_x=\"${__execd_x}set -v;\";; esac; set +xv; __execd_q=1; } 2>/dev/null\n";
// The text may `return` from the runner: then its status is the text's. A status that is not 0 is kept from
// being the runner's, or an ERR trap would see it once more.
constexpr std::string_view kRun =
    " __execd_s=130 __execd_q=; . /proc/self/fd/63; __execd_r=$? PS1= PS2= PROMPT_COMMAND=; "
    "[ -n \"$__execd_q\" ] || __execd_s=$__execd_r\n";
// The first part is for a runner that an interrupt cut off, the second for a line that it kept from being
// read.
constexpr std::string_view kReportHead =
    "{ case $- in *x*) __execd_x='set -x;'; set +x;; esac; case $__execd_n in ";
constexpr std::string_view kReportStatus =
    ") ;; *) __execd_s=130;; esac; builtin printf '\\1%d\\0%d\\0%s\\0' ";
constexpr std::string_view kReportTail =
    " \"$__execd_s\" \"$PWD\"; builtin declare -px; builtin printf '\\0'; } >&61 2>/dev/null; "
    "builtin unset __execd_t __execd_p\n";

// On a terminal the command may read what comes next, so the report cannot be typed ahead: it is made when
// the prompt would be. Echo is off while we type; the command waits until it is on again.
constexpr std::string_view kTerminalSetup =
    "PS1= PS2= __execd_x=; set +H +o history; __execd_report() { { __execd_s=$?; PS1= PS2=; set +x; } "
    "2>/dev/null; "
    "[ -z \"$__execd_n\" ] || "
    "{ builtin printf '\\1%d\\0%d\\0%s\\0' \"$__execd_n\" \"$__execd_s\" \"$PWD\"; builtin declare -px; "
    "builtin printf '\\0'; } >&61; builtin unset __execd_n __execd_t __execd_p; }; "
    "PROMPT_COMMAND=__execd_report; "
    "builtin printf '\\1ready\\0\\0\\0\\0' >&61\n";
constexpr std::string_view kTerminalRunner =
    "IFS= read -r -d '' -u 62 __execd_p || :; IFS= read -r -d '' -u 62 __execd_t || :; "
    "builtin printf '\\1begin\\0\\0\\0\\0' >&61; builtin read -r -N 1 -u 60; "
    "eval \"$__execd_p\" && eval \"$__execd_x$__execd_t\" 60<&- 61>&- 62<&- 63<&-; "
    "{ __execd_s=$?; __execd_x=; case $- in *x*) __execd_x='set -x;';; esac; "
    "case $- in *v*) __execd_x=\"${__execd_x}set -v;\";; esac; set +xv; return $__execd_s; } 2>/dev/null\n";
constexpr std::string_view kTerminalRun = " PROMPT_COMMAND=__execd_report; . /proc/self/fd/63\n";

// ---- sh. One digit is all that dash knows of descriptors. It throws away what it has read of its input at
// each error and interrupt, so the report is typed when the text runs already ("begin"), and it reads no text
// up to a NUL, so the source file assigns. Lines stay below 1 KiB: busybox reads no longer ones in one piece.
// What nobody can mend from here: an interactive dash ignores SIGTERM, and so does its job in the moment
// before it has begun; `job & kill $!` in one breath kills nothing there.

constexpr std::string_view kPlainSetup =
    "PS1= PS2= __execd_x=; \\command printf '\\1ready\\0\\0\\0\\0' >&7\n";
// One line: under `set -v` a shell shows each line that it reads.
constexpr std::string_view kPlainRunner =
    ". /proc/self/fd/8; \\command printf '\\1begin\\0\\0\\0\\0' >&7; "
    "eval \"$__execd_p\" && eval \"$__execd_x$__execd_t\" </dev/null 7>&- 8<&- 9<&-; "
    "{ __execd_s=$?; __execd_x=; case $- in *x*) __execd_x='set -x;';; esac; "
    "case $- in *v*) __execd_x=\"${__execd_x}set -v;\";; esac; set +xv; __execd_q=1; } 2>/dev/null\n";
constexpr std::string_view kPlainRun =
    " __execd_s= __execd_q=; . /proc/self/fd/9; __execd_r=$? PS1= PS2=; "
    "case $__execd_q in '') __execd_s=$__execd_r;; esac\n";
// Without a status the text ended in an error of the shell (its status is $? still, for the first report) or
// was interrupted.
constexpr std::string_view kPlainHead =
    "{ __execd_r=$?; case $- in *x*) __execd_x='set -x;'; set +x;; esac; PS1= PS2=; case $__execd_n in ";
constexpr std::string_view kPlainStatus =
    ") ;; *) __execd_s=130;; esac; : \"${__execd_s:=$__execd_r}\"; \\command printf '\\1%d\\0%d\\0%s\\0' ";
constexpr std::string_view kPlainTail =
    " \"$__execd_s\" \"$PWD\"; \\command export -p; \\command printf '\\0'; } >&7 2>/dev/null; "
    "\\command unset __execd_t __execd_p\n";

}  // namespace

std::string SessionScript::report(std::uint64_t number) const {
    std::string const digits = std::to_string(number);
    std::string line(bash ? kReportHead : kPlainHead);
    line += digits;
    line += bash ? kReportStatus : kPlainStatus;
    line += digits;
    line += bash ? kReportTail : kPlainTail;
    return line;
}

std::string SessionScript::source_of(std::string_view prefix, std::string_view text) const {
    std::string out;
    if (bash) {
        out.append(prefix).append(1, '\0').append(text);
    } else {
        out = "__execd_p=" + shell_quoted(prefix) + " __execd_t=" + shell_quoted(text) + "\n";
    }
    return out;
}

std::string SessionScript::export_command(std::string_view name, std::string_view value) const {
    std::string const assignment = shell_quoted(std::string(name).append("=").append(value));
    return (bash ? "builtin export " : "\\command export ") + assignment;
}

std::string SessionScript::change_directory(std::string_view path) const {
    return (bash ? "builtin cd -- " : "\\command cd -- ") + shell_quoted(path);
}

SessionScript session_script(Shell const& shell, bool terminal) {
    SessionScript out;
    out.bash = shell.bash;
    if (!shell.bash) {
        out.arguments = {"-i", "+m"};
        out.control = 7;
        out.source = 8;
        out.runner = 9;
        out.setup = kPlainSetup;
        out.runner_text = kPlainRunner;
        out.run = kPlainRun;
        out.begins = true;
        return out;
    }
    out.arguments = {"--noprofile", "--norc", "--noediting", "-i"};
    out.go = terminal ? 60 : -1;
    out.control = 61;
    out.source = 62;
    out.runner = 63;
    out.setup = terminal ? kTerminalSetup : kSetup;
    out.runner_text = terminal ? kTerminalRunner : kRunner;
    out.run = terminal ? kTerminalRun : kRun;
    out.begins = terminal;
    out.reports_itself = terminal;
    return out;
}

}  // namespace execd::shell
