// Verdict: how an execution ended. Exactly one, never invented, published after the last byte of output.
// Pure.
#pragma once
#include <cstdint>
#include <string>
#include <variant>

#include "base/clock.hpp"
#include "shell/spawn_spec.hpp"

namespace execd::shell {

struct Exited {
    int code = 0;
};
struct Signaled {
    int signal = 0;
    bool core = false;
};
struct TimedOut {
    enum class Kind : std::uint8_t { soft, hard, idle } kind = Kind::hard;
};
/// Ended because somebody asked (cancel, delete, shutdown).
struct Cancelled {};
struct OomKilled {};
struct FailedToStart {
    Step step = Step::none;
    int error = 0;
};
/// Its end could not be learned.
struct Lost {
    std::string why;
};

using Ending = std::variant<Exited, Signaled, TimedOut, Cancelled, OomKilled, FailedToStart, Lost>;

struct Usage {
    Duration user{};
    Duration system{};
    std::uint64_t peak_memory = 0;  // bytes, of the largest process
};

struct Verdict {
    Ending ending;
    /// What the process itself returned; also there when the ending is ours (timed out, cancelled, out of
    /// memory).
    std::variant<std::monostate, Exited, Signaled> status;
    Usage usage;
    /// Something still holds stdout or stderr open (a background server): its output goes on into the
    /// journal.
    bool output_open = false;
    TimePoint at{};
    WallTime wall{};

    [[nodiscard]] bool success() const;
    /// The exit code of a process that exited; -1 when it was ended by a signal or never ran.
    [[nodiscard]] int exit_code() const;
    /// 128 + signal for signals, as a shell says it.
    [[nodiscard]] int shell_status() const;
    /// "exited", "signaled", "timed_out", "cancelled", "oom_killed", "failed_to_start", "lost"
    [[nodiscard]] std::string_view kind() const;
    /// For people: "exit status 3", "signal: killed", "timed out", "exec: No such file or directory".
    [[nodiscard]] std::string text() const;
};

/// "killed", "terminated", "segmentation fault" ... as Go and Python print them; "signal 40" for others.
[[nodiscard]] std::string signal_text(int number);
/// "SIGKILL" from 9; "SIG40" for others.
[[nodiscard]] std::string signal_name(int number);
/// 9 from "SIGKILL", "KILL", "kill" or "9"; 0 when unknown.
[[nodiscard]] int signal_number(std::string_view name) noexcept;

}  // namespace execd::shell
