// Kernelspecs: found, ranked and rendered as Jupyter does it (jupyter_core paths.py `jupyter_path`,
// jupyter_client "Making kernels for Jupyter", section "Kernel specs"), plus what we know about real kernels
// and their specs do not say: which transport works and how they bear an interrupt.
//
// scan() touches the file system and belongs on the pool; everything else is pure.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/json_text.hpp"

namespace execd::kernels {

using Env = std::map<std::string, std::string>;

enum class Transport { ipc, tcp };
/// restart: the kernel does not survive SIGINT and knows no interrupt_request.
enum class Interrupt { signal, message, restart };

struct KernelSpec {
    std::string name;
    std::string dir;  // resource_dir
    std::vector<std::string> argv;
    std::string display_name;
    std::string language;
    Env env;
    Transport transport = Transport::tcp;
    Interrupt interrupt = Interrupt::signal;
    /// `<prefix>` when the spec lies in <prefix>/share/jupyter/kernels: its `python` is that prefix's.
    std::string prefix;
    /// The file to execute when it is not argv.front(): a kernel that this binary has.
    std::string program{};
    /// A command (of `program`, like argv) that ends with 0 where the kernel works; empty: that is taken for
    /// granted. Who lists kernels asks it; who starts one hears it from the kernel itself.
    std::vector<std::string> check{};

    [[nodiscard]] bool is_ipykernel() const;
};

/// What decides where specs are looked for.
struct SearchContext {
    Env env;           // of the daemon
    std::string home;  // of the account that kernels run as
    /// sys.prefix of the Python that Jupyter would run in, empty for none.
    std::string python_prefix;
    bool prefix_is_venv = false;
};

/// The directories, each ending in "/kernels", best first, without duplicates.
[[nodiscard]] std::vector<std::string> kernel_dirs(SearchContext const& context);

/// <prefix>/bin/python3 or python of the first hit on PATH: the prefix without following the link, which is
/// how a virtual environment is told from the Python it was made with.
struct PythonPlace {
    std::string executable;
    std::string prefix;
    bool is_venv = false;
};
[[nodiscard]] std::optional<PythonPlace> python_on_path(Env const& env);

/// Absolute path of an executable by PATH (or itself when it has a slash); empty when there is none.
[[nodiscard]] std::string find_executable(std::string_view name, Env const& env);

[[nodiscard]] Result<KernelSpec> parse_kernelspec(std::string_view name, std::string_view dir,
                                                  std::string_view json_text);

class KernelSpecs {
  public:
    struct Problem {
        std::string path;
        std::string what;
    };

    KernelSpecs() = default;
    explicit KernelSpecs(std::vector<KernelSpec> specs, std::vector<std::string> dirs = {});
    /// Blocks: reads directories and kernel.json files. Broken specs are noted in problems() and skipped. Of
    /// `built_in` those come after them whose language no directory has a kernel for.
    [[nodiscard]] static KernelSpecs scan(std::vector<std::string> const& dirs,
                                          std::vector<KernelSpec> built_in = {});
    /// The same without those that `unwanted` names.
    [[nodiscard]] KernelSpecs without(std::vector<std::string> const& unwanted) const;

    [[nodiscard]] std::vector<KernelSpec> const& all() const { return specs_; }
    [[nodiscard]] std::vector<Problem> const& problems() const { return problems_; }
    [[nodiscard]] KernelSpec const* by_name(std::string_view name) const;
    /// A kernelspec name, or a language or its alias ("py", "js", "sh"), any case. For a language a spec that
    /// is named like it wins, then any but `python3` (contracts/opensandbox.md section 4), then `python3`,
    /// then kernels with known defects. Code::unavailable for a language that kernels exist for in the world,
    /// Code::not_found for an unknown word; the text lists what exists and how to mend it.
    [[nodiscard]] Result<KernelSpec> find(std::string_view language_or_name) const;

  private:
    std::vector<KernelSpec> specs_;
    std::vector<std::string> dirs_;
    std::vector<Problem> problems_;
};

/// "py" -> "python", "JS" -> "javascript"; other words come back in lower case.
[[nodiscard]] std::string canonical_language(std::string_view word);

/// {connection_file}, {resource_dir}, {prefix} replaced; a bare python, python3 becomes the spec's own
/// prefix's.
[[nodiscard]] std::vector<std::string> render_argv(KernelSpec const& spec, std::string_view connection_file);

/// The spec's env over `base`, with $NAME and ${NAME} of `base` put in and $$ as $ (Python's
/// safe_substitute).
[[nodiscard]] Env render_env(KernelSpec const& spec, Env const& base);

}  // namespace execd::kernels
