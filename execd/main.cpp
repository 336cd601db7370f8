// The program: finds out what is wanted, says what is wrong with it, and starts it.
#include <signal.h>
#include <stdlib.h>

#include <cstdio>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/fault.hpp"
#include "base/ledger.hpp"
#include "execd/clone3_compat.hpp"
#include "execd/config.hpp"
#include "execd/daemon.hpp"
#include "execd/doctor.hpp"
#include "execd/version.hpp"
#include "fs/worker.hpp"
#include "kernels/native/native.hpp"

namespace {

void say(FILE* to, std::string const& text) {
    std::fputs(text.c_str(), to);
    std::fflush(to);
}

void blank(char* text) {
    for (; *text != '\0'; ++text) *text = 'x';
}

// Whoever may run `ps` in the sandbox reads our arguments.
void hide_secrets(int argc, char** argv) {
    for (int i = 1; i < argc; ++i) {
        std::string_view word(argv[i]);
        while (word.starts_with('-')) word.remove_prefix(1);
        for (std::string_view const name : {"access-token", "jupyter-token"}) {
            if (!word.starts_with(name)) continue;
            word.remove_prefix(name.size());
            if (word.starts_with('='))
                blank(argv[i] + (word.data() + 1 - argv[i]));
            else if (word.empty() && i + 1 < argc)
                blank(argv[i + 1]);
            break;
        }
    }
}

/// What the original daemon would do before anything else. Not null: why it cannot be done.
std::optional<std::string> prepare_process() {
    // Hooks of the sandbox's maker, which are not ours to run in silence or to show to the user's program.
    for (char const* const name : {"OPENSANDBOX_LIFECYCLE", "EXECD_LIFECYCLE_CONFIG"}) {
        if (execd::process_environment(name).value_or("").empty()) continue;
        say(stderr, "execd: " + std::string(name) + " is set: its hooks are not run by this daemon\n");
        ::unsetenv(name);
    }
    auto const asked =
        execd::wants_clone3_compat(execd::process_environment("EXECD_CLONE3_COMPAT").value_or(""));
    if (!asked || !*asked) return std::nullopt;  // what is no value was refused with the command line
    auto const hidden = execd::hide_clone3();
    return hidden ? std::nullopt : std::optional("EXECD_CLONE3_COMPAT: " + hidden.error().detail);
}

}  // namespace

int main(int argc, char** argv) {
    std::vector<std::string> const args(argv + std::min(argc, 1), argv + argc);
    ::signal(SIGPIPE, SIG_IGN);
    execd::ledger::report_at_exit();
#ifdef EXECD_DEBUG
    // Test builds only: EXECD_FAULT=name:n:errno makes the n-th operation of a name fail.
    if (auto const fault = execd::process_environment("EXECD_FAULT");
        fault && !execd::fault::arm_from_text(*fault)) {
        say(stderr, "execd: EXECD_FAULT: expected name:n:errno\n");
        return 2;
    }
#endif
    ::unsetenv("EXECD_FAULT");  // ours, not our children's
    auto line = execd::parse_command_line(args, execd::process_environment);
    hide_secrets(argc, argv);
    if (!line) {
        say(stderr, "execd: " + line.error().message() + "\nexecd: try 'execd --help'\n");
        return 2;
    }
    switch (line->command) {
        case execd::Command::help: say(stdout, execd::help_text()); return 0;
        case execd::Command::version: {
            std::string text = "execd " + std::string(execd::version());
            if (!execd::commit().empty()) text += " (" + std::string(execd::commit()) + ")";
            say(stdout, text + "\n");
            return 0;
        }
        case execd::Command::doctor: return execd::doctor(line->config);
        case execd::Command::fs_worker: return execd::fs::worker_main(execd::fs::kWorkerSocket);
        case execd::Command::kernel: return execd::kernels::native::main(line->rest, execd::version());
        case execd::Command::serve: break;
    }
    if (auto const why = prepare_process()) {
        say(stderr, "execd: " + *why + "\n");
        return 1;
    }
    try {
        return execd::serve(line->config, line->rest);
    } catch (
        std::system_error const& e) {  // what is left of an account's or a container's processes is no thread
        say(stderr, "execd: cannot start: no thread can be made: " + e.code().message() +
                        "\nexecd: raise the pids limit and ulimit -u, 'execd doctor' looks at them\n");
    }
    return 1;
}
