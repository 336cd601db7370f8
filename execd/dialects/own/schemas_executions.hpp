// Bodies of execd's own execution routes (docs/own-api.md).
#pragma once
#include <boost/describe/class.hpp>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "execd/http/wire/describe.hpp"
#include "execd/http/wire/types.hpp"

namespace execd::own {

enum class Stdin { none, pipe };
BOOST_DESCRIBE_ENUM(Stdin, none, pipe)

enum class KeepOutput { all, window };
BOOST_DESCRIBE_ENUM(KeepOutput, all, window)

enum class ExecutionState { running, ended };
BOOST_DESCRIBE_ENUM(ExecutionState, running, ended)

struct TerminalSize {
    std::uint16_t columns = 80;
    std::uint16_t rows = 24;
};
BOOST_DESCRIBE_STRUCT(TerminalSize, (), (columns, rows))
constexpr auto wire_notes(TerminalSize const*) {
    return wire::notes(
        {{.field = "columns", .min = 1, .defaulted = true}, {.field = "rows", .min = 1, .defaulted = true}});
}

struct ExecutionLimits {
    std::optional<std::uint64_t> memory;
    std::optional<std::uint64_t> pids;
    std::optional<double> cpu;
    std::optional<std::uint64_t> open_files;
    std::optional<std::uint64_t> file_size;
    std::optional<std::uint64_t> cpu_seconds;
    std::optional<std::uint64_t> core;
};
BOOST_DESCRIBE_STRUCT(ExecutionLimits, (), (memory, pids, cpu, open_files, file_size, cpu_seconds, core))
constexpr auto wire_notes(ExecutionLimits const*) {
    return wire::notes(
        {{.field = "memory", .doc = "Bytes of the whole tree (cgroup)", .min = 4096},
         {.field = "pids", .doc = "Processes and threads of the whole tree (cgroup)", .min = 1},
         {.field = "cpu", .doc = "Cores of the whole tree (cgroup)", .min = 0, .exclusive_min = true},
         {.field = "open_files", .doc = "Per process"},
         {.field = "file_size", .doc = "Bytes, per file"},
         {.field = "cpu_seconds", .doc = "Per process", .min = 1},
         {.field = "core", .doc = "Bytes of a core dump"}});
}

struct ExecutionRequest {
    std::optional<std::vector<std::string>> argv;
    std::optional<std::string> shell;
    std::string cwd;
    std::map<std::string, std::string> envs;
    bool inherit_env = true;
    std::optional<std::string> user;
    std::optional<std::string> group;
    ExecutionLimits limits;
    std::optional<TerminalSize> pty;
    Stdin stdin_ = Stdin::none;
    std::optional<std::string> input;
    std::optional<wire::Bytes> input_base64;
    bool merge_output = false;
    KeepOutput keep = KeepOutput::all;
    std::uint64_t timeout_ms = 0;
    std::optional<int> nice;
    std::optional<int> oom_score_adj;
    std::optional<std::string> umask;
    bool no_new_privs = false;
    std::optional<std::string> stop_signal;
    std::string label = "execution";
    std::string owner;
    std::uint64_t wait_ms = 0;
};
BOOST_DESCRIBE_STRUCT(ExecutionRequest, (),
                      (argv, shell, cwd, envs, inherit_env, user, group, limits, pty, stdin_, input,
                       input_base64, merge_output, keep, timeout_ms, nice, oom_score_adj, umask, no_new_privs,
                       stop_signal, label, owner, wait_ms))
constexpr auto wire_notes(ExecutionRequest const*) {
    return wire::notes(
        {{.field = "argv", .doc = "Program and arguments, run without a shell", .min_len = 1},
         {.field = "shell", .doc = "Shell text of up to 64 MiB (bash, or sh); exactly one of argv and shell"},
         {.field = "cwd", .doc = "Absolute working directory", .pattern = "^(/|$)", .defaulted = true},
         {.field = "envs", .doc = "Over every other layer of the environment", .defaulted = true},
         {.field = "inherit_env", .doc = "False: `envs` is the whole environment", .defaulted = true},
         {.field = "user", .doc = "Name or number; brings its groups", .min_len = 1},
         {.field = "group", .doc = "Name or number; default is the user's", .min_len = 1},
         {.field = "limits", .defaulted = true},
         {.field = "pty", .doc = "A terminal of this size instead of pipes"},
         {.field = "stdin_", .wire = "stdin", .doc = "pipe: POST .../input writes to it", .defaulted = true},
         {.field = "input", .doc = "Standard input as text, then end of file"},
         {.field = "input_base64", .doc = "The same as bytes"},
         {.field = "merge_output", .doc = "stderr into stdout, in their exact order", .defaulted = true},
         {.field = "keep",
          .doc = "all: everything up to the caps; window: what attached readers lack, and the last MiB",
          .defaulted = true},
         {.field = "timeout_ms",
          .doc = "The whole tree is killed after it; 0 is never",
          .max = 3.2e12,
          .defaulted = true},
         {.field = "nice", .min = -20, .max = 19},
         {.field = "oom_score_adj", .min = -1000, .max = 1000},
         {.field = "umask", .doc = "Octal digits", .pattern = "^[0-7]{1,4}$"},
         {.field = "no_new_privs", .defaulted = true},
         {.field = "stop_signal", .doc = "What DELETE sends first; default TERM"},
         {.field = "label", .doc = "What kind of thing it is, for lists", .max_len = 100, .defaulted = true},
         {.field = "owner", .doc = "Whose it is, for lists and events", .max_len = 200, .defaulted = true},
         {.field = "wait_ms",
          .doc = "Soft timeout: answer when it has ended, at the latest after this; it runs on",
          .max = 3.6e6,
          .defaulted = true}});
}

struct StreamView {
    std::uint64_t available_from = 0;
    std::uint64_t written = 0;
};
BOOST_DESCRIBE_STRUCT(StreamView, (), (available_from, written))

struct VerdictView {
    std::string kind;
    std::string text;
    std::optional<int> exit_code;
    std::optional<int> signal;
    std::optional<std::string> signal_name;
    std::optional<bool> core_dumped;
    std::optional<std::string> timeout;
    std::optional<std::string> step;
    std::optional<int> error_number;
    bool output_open = false;
    wire::Timestamp ended_at;
    double user_ms = 0;
    double system_ms = 0;
    std::uint64_t peak_memory = 0;
};
BOOST_DESCRIBE_STRUCT(VerdictView, (),
                      (kind, text, exit_code, signal, signal_name, core_dumped, timeout, step, error_number,
                       output_open, ended_at, user_ms, system_ms, peak_memory))
constexpr auto wire_notes(VerdictView const*) {
    return wire::notes(
        {{.field = "kind",
          .doc = "exited, signaled, timed_out, cancelled, oom_killed, failed_to_start or lost"},
         {.field = "text", .doc = "For people"},
         {.field = "exit_code", .doc = "Of a process that exited by itself"},
         {.field = "signal", .doc = "That ended the process"},
         {.field = "timeout", .doc = "hard or idle"},
         {.field = "step", .doc = "Where a start failed: chdir, identity, exec ..."},
         {.field = "error_number", .doc = "errno of that step"},
         {.field = "output_open", .doc = "Something it left behind still writes to its output"},
         {.field = "peak_memory", .doc = "Bytes of the largest process, or of the group where it has one"}});
}

struct ExecutionView {
    std::string id;
    ExecutionState state = ExecutionState::running;
    bool started_now = false;
    std::string label;
    std::string owner;
    std::string command;
    int pid = 0;
    wire::Timestamp started_at;
    bool terminal = false;
    std::map<std::string, StreamView> streams;
    std::vector<std::string> not_enforced;
    std::optional<VerdictView> verdict;
};
BOOST_DESCRIBE_STRUCT(ExecutionView, (),
                      (id, state, started_now, label, owner, command, pid, started_at, terminal, streams,
                       not_enforced, verdict))
constexpr auto wire_notes(ExecutionView const*) {
    return wire::notes(
        {{.field = "started_now", .doc = "By this request; false when it attached"},
         {.field = "command", .doc = "Shell text, or argv as JSON; cut at 4 KiB"},
         {.field = "pid", .doc = "0 when it never ran"},
         {.field = "streams",
          .doc = "stdout and stderr, or pty: what can be read and what was written, in bytes"},
         {.field = "not_enforced", .doc = "Limits that were asked for and are not in force here"}});
}

struct SignalRequest {
    std::string signal;
};
BOOST_DESCRIBE_STRUCT(SignalRequest, (), (signal))
constexpr auto wire_notes(SignalRequest const*) {
    return wire::notes(
        {{.field = "signal", .doc = "Name (INT, SIGINT) or number, to the process group", .min_len = 1}});
}

struct InputResult {
    std::uint64_t written = 0;
};
BOOST_DESCRIBE_STRUCT(InputResult, (), (written))

using ExecutionViews = std::vector<ExecutionView>;

}  // namespace execd::own

namespace execd::wire {
extern template struct Codec<own::TerminalSize>;
extern template struct Codec<own::ExecutionRequest>;
extern template struct Codec<own::ExecutionView>;
extern template struct Codec<own::ExecutionViews>;
extern template struct Codec<own::SignalRequest>;
extern template struct Codec<own::InputResult>;
}  // namespace execd::wire
