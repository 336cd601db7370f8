// Which kernels the binary has, `execd kernel list` and `execd kernel install`.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>

#include "base/unique_fd.hpp"
#include "kernels/native/native.hpp"

namespace execd::kernels::native {

namespace {

constexpr std::array<std::string_view, 1> kBash{"bash"};
constexpr std::array<std::string_view, 2> kPython{"python3", "python"};
constexpr std::array<std::string_view, 2> kNode{"node", "nodejs"};
constexpr std::array<Language, 4> kLanguages{{{"bash", "bash", "Bash", kBash},
                                              {"python3", "python", "Python 3", kPython},
                                              {"node", "javascript", "JavaScript (Node.js)", kNode},
                                              {"typescript", "typescript", "TypeScript (Node.js)", kNode}}};

constexpr std::string_view kPrefix = "execd-";  // of the kernelspecs' names

constexpr char kUsage[] =
    "usage: execd kernel list                         the kernels inside this binary, and their "
    "interpreters\n"
    "       execd kernel check NAME...                whether they work here: status 0, or 1 and why not\n"
    "       execd kernel install [NAME...] [--prefix DIR | --user]\n"
    "                                                 kernelspecs execd-NAME for Jupyter, below\n"
    "                                                 DIR/share/jupyter/kernels [/usr/local]\n"
    "       execd kernel NAME -f CONNECTION_FILE      run one: bash, python3, node, typescript\n";

int say(FILE* to, std::string const& text, int status) {
    std::fputs(text.c_str(), to);
    return status;
}

std::string environment(char const* name) {
    char const* const value = std::getenv(name);
    return value == nullptr ? "" : value;
}

std::string own_path() {
    std::string out(4096, '\0');
    ssize_t const n = ::readlink("/proc/self/exe", out.data(), out.size());
    out.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
    return out;
}

int list() {
    std::string text;
    auto const env = process_env();
    for (auto const& each : kLanguages) {
        auto const why = why_not(each, env);
        std::string line(each.name);
        line.resize(12, ' ');
        line += each.language;
        line.resize(26, ' ');
        text += line + (why.empty() ? interpreter_of(each, env) : "(" + why + ")") + "\n";
    }
    return say(stdout, text, 0);
}

/// 0 when all that were asked for work; what does not says why.
int check(std::span<std::string const> names) {
    if (names.empty()) return say(stderr, kUsage, 2);
    int status = 0;
    for (auto const& name : names) {
        auto const* language = language_by_name(name);
        if (language == nullptr)
            return say(stderr, "execd kernel: no kernel is called '" + name + "'\n" + kUsage, 2);
        auto const why = why_not(*language, process_env());
        if (!why.empty()) status = say(stderr, "execd kernel " + name + ": " + why + "\n", 1);
    }
    return status;
}

bool make_folders(std::string const& path) {
    for (std::size_t at = 1; at != std::string::npos;) {
        at = path.find('/', at + 1);
        if (::mkdir(path.substr(0, at).c_str(), 0755) != 0 && errno != EEXIST) return false;
    }
    return true;
}

int install_one(Language const& language, std::string const& folder, std::string const& program) {
    Json const spec = {{"argv", {program, "kernel", language.name, "-f", "{connection_file}"}},
                       {"display_name", std::string(language.display_name) + " (execd)"},
                       {"language", language.language},
                       {"interrupt_mode", "signal"},
                       {"metadata", Json::object()}};
    std::string const dir = folder + "/" + std::string(kPrefix) + std::string(language.name);
    std::string const text = spec.dump(1) + "\n";
    std::string const path = dir + "/kernel.json";
    if (!make_folders(dir)) return say(stderr, "execd kernel: " + dir + ": " + errno_text(errno) + "\n", 1);
    UniqueFd const fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    if (!fd || ::write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size()))
        return say(stderr, "execd kernel: " + path + ": " + errno_text(errno) + "\n", 1);
    return say(stdout, path + "\n", 0);
}

int install(std::span<std::string const> args) {
    std::string prefix = "/usr/local";
    std::vector<Language const*> wanted;
    bool user = false;
    for (std::size_t i = 0; i < args.size(); ++i) {
        if (args[i] == "--user") {
            user = true;
        } else if (args[i] == "--prefix" && i + 1 < args.size()) {
            prefix = args[++i];
        } else if (auto const* known = language_by_name(args[i])) {
            wanted.push_back(known);
        } else {
            return say(stderr, "execd kernel: what is '" + args[i] + "'?\n" + kUsage, 2);
        }
    }
    std::string folder = prefix + "/share/jupyter/kernels";
    if (user) {
        auto const data = environment("JUPYTER_DATA_DIR");
        if (data.empty() && environment("HOME").empty())
            return say(stderr, "execd kernel: --user needs HOME\n", 2);
        folder = (data.empty() ? environment("HOME") + "/.local/share/jupyter" : data) + "/kernels";
    }
    auto const program = own_path();
    if (program.empty())
        return say(stderr, "execd kernel: where this program lies is told by /proc only\n", 1);
    bool const all = wanted.empty();
    int status = 0;
    for (auto const& each : kLanguages)
        if (all && why_not(each, process_env()).empty()) wanted.push_back(&each);
    if (wanted.empty()) return say(stderr, "execd kernel: no interpreter on PATH that works\n", 1);
    for (auto const* each : wanted) status = std::max(status, install_one(*each, folder, program));
    return status;
}

}  // namespace

std::span<Language const> languages() { return kLanguages; }

Language const* language_by_name(std::string_view name) {
    for (auto const& each : kLanguages)
        if (each.name == name) return &each;
    return nullptr;
}

std::string interpreter_of(Language const& language, Env const& env) {
    for (auto const name : language.interpreters)
        if (auto path = find_executable(name, env); !path.empty()) return path;
    return {};
}

std::vector<KernelSpec> kernelspecs(Env const& env) {
    std::vector<KernelSpec> out;
    for (auto const& each : kLanguages) {
        if (interpreter_of(each, env).empty()) continue;
        KernelSpec spec;
        spec.name = std::string(kPrefix) + std::string(each.name);
        spec.dir = "(in execd)";
        spec.program = "/proc/self/exe";
        spec.argv = {"execd", "kernel", std::string(each.name), "-f", "{connection_file}"};
        spec.check = {"execd", "kernel", "check", std::string(each.name)};
        spec.display_name = each.display_name;
        spec.language = each.language;
        spec.transport = Transport::ipc;
        out.push_back(std::move(spec));
    }
    return out;
}

std::string why_not(KernelSpec const& ours, Env const& env) {
    auto const* language = language_by_name(std::string_view(ours.name).substr(kPrefix.size()));
    return language == nullptr ? "it is none of execd's own" : why_not(*language, env);
}

int main(std::span<std::string const> args, std::string_view version) {
    if (args.empty()) return say(stderr, kUsage, 2);
    if (args[0] == "-h" || args[0] == "--help") return say(stdout, kUsage, 0);
    if (args[0] == "list" && args.size() == 1) return list();
    if (args[0] == "check") return check(args.subspan(1));
    if (args[0] == "install") return install(args.subspan(1));
    auto const* language = language_by_name(args[0]);
    if (language == nullptr)
        return say(stderr, "execd kernel: no kernel is called '" + args[0] + "'\n" + kUsage, 2);
    if (args.size() != 3 || (args[1] != "-f" && args[1] != "--connection-file"))
        return say(stderr, kUsage, 2);
    return run_kernel(*language, args[2], version);
}

}  // namespace execd::kernels::native
