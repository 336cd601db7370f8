// Native kernels: Jupyter kernels inside the execd binary. `execd kernel <name> -f FILE` is a process of its
// own: Xeus answers the protocol, a single-threaded worker written in the language (kernels/native/workers)
// evaluates.
//
// The daemon only offers their kernelspecs (kernelspecs()); what runs them is a process of its own.
#pragma once
#include <span>
#include <string>
#include <vector>

#include "kernels/kernelspec.hpp"

namespace execd::kernels::native {

/// One kernel that the binary has.
struct Language {
    std::string_view name;      // of `execd kernel NAME`
    std::string_view language;  // as kernelspecs call it
    std::string_view display_name;
    std::span<std::string_view const> interpreters;  // what is looked for on PATH, best first
};
[[nodiscard]] std::span<Language const> languages();
[[nodiscard]] Language const* language_by_name(std::string_view name);
/// Absolute path, empty when the interpreter is not there. Touches the file system.
[[nodiscard]] std::string interpreter_of(Language const& language, Env const& env);

/// The environment of this process.
[[nodiscard]] Env process_env();

/// What this binary offers where `env` has the PATH: a kernelspec for each language whose interpreter is
/// there. Touches the file system.
[[nodiscard]] std::vector<KernelSpec> kernelspecs(Env const& env);
/// Why a kernel does not work here: its interpreter is missing, too old or lacks something; empty when it
/// does. Starts the interpreter, for at most ten seconds, and waits for children: not for the daemon, that
/// has KernelSpec::check for it.
[[nodiscard]] std::string why_not(Language const& language, Env const& env);
[[nodiscard]] std::string why_not(KernelSpec const& ours, Env const& env);

/// `execd kernel ...`: the process's exit status. `version` is execd's.
int main(std::span<std::string const> args, std::string_view version);

/// Runs a kernel until it is shut down; the process's exit status.
int run_kernel(Language const& language, std::string const& connection_file, std::string_view version);

}  // namespace execd::kernels::native
