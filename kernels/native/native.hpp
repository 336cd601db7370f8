// Native kernels: Jupyter kernels inside the execd binary. `execd kernel <name> -f FILE` is a process of its
// own: Xeus answers the protocol, a single-threaded worker written in the language (kernels/native/workers)
// evaluates.
//
// The daemon only offers their kernelspecs; what runs them is a process of its own.
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

/// From now on this process offers native kernels, started with `program`. The daemon calls it once, before
/// its first context; without it (unit tests, `execd kernel` itself) there are none.
void offer(std::string program);
/// The last of the places where kernelspecs are looked for, so that an installed kernelspec wins: the binary
/// itself. Empty when none are offered. `env` has the PATH that interpreters are looked for on.
[[nodiscard]] std::string search_dir(Env const& env);
[[nodiscard]] bool is_search_dir(std::string_view dir);
/// Adds a kernelspec for each language that has none and whose interpreter is there. Touches the file system.
void add_missing(std::vector<KernelSpec>& specs, std::string_view search_dir);

/// `execd kernel ...`: the process's exit status. `version` is execd's.
int main(std::span<std::string const> args, std::string_view version);

/// Runs a kernel until it is shut down; the process's exit status.
int run_kernel(Language const& language, std::string const& connection_file, std::string_view version);

}  // namespace execd::kernels::native
