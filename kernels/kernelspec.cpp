#include "kernels/kernelspec.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "base/unique_fd.hpp"

namespace execd::kernels {

namespace {

constexpr std::size_t kMaxSpecBytes = 1 << 20;

std::string lower(std::string_view text) {
    std::string out(text);
    for (char& c : out)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    return out;
}

// jupyter_client.kernelspec._is_valid_kernel_name
bool valid_name(std::string_view name) {
    return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
               c == '_' || c == '-';
    });
}

bool any_arg_contains(KernelSpec const& spec, std::string_view word) {
    return std::any_of(spec.argv.begin(), spec.argv.end(),
                       [word](std::string const& arg) { return arg.find(word) != std::string::npos; });
}

std::string file_name(std::string_view path) {
    auto const slash = path.rfind('/');
    return std::string(slash == std::string_view::npos ? path : path.substr(slash + 1));
}

bool is_deno(KernelSpec const& spec) { return file_name(spec.argv.front()) == "deno"; }
bool is_xeus_python(KernelSpec const& spec) {
    return any_arg_contains(spec, "xpython") || any_arg_contains(spec, "xeus_python");
}

// Measured with the real kernels: tslab, Deno and JJava never come up on ipc, xeus-python (0.19) only where
// the endpoint fits 32 bytes; SIGINT kills xeus-python and Deno.
void apply_overrides(KernelSpec& spec) {
    bool const ipc =
        spec.is_ipykernel() || any_arg_contains(spec, "bash_kernel") || any_arg_contains(spec, "IRkernel") ||
        (spec.argv.size() > 1 && spec.argv[1] == "kernel" && file_name(spec.argv.front()) == "execd");
    spec.transport = ipc ? Transport::ipc : Transport::tcp;
    if (is_deno(spec)) spec.interrupt = Interrupt::message;
    if (is_xeus_python(spec)) spec.interrupt = Interrupt::restart;
}

Result<std::string> read_small(std::string const& path) {
    UniqueFd const fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (!fd) return fail_errno("kernelspec.open", errno, path);
    std::string out;
    std::array<char, 16384> buffer;
    for (;;) {
        auto const n = ::read(fd.get(), buffer.data(), buffer.size());
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return fail_errno("kernelspec.read", errno, path);
        if (n == 0) return out;
        out.append(buffer.data(), static_cast<std::size_t>(n));
        if (out.size() > kMaxSpecBytes) return fail(Code::too_large, "kernelspec.read", path);
    }
}

std::string value_of(Env const& env, std::string const& name) {
    auto const it = env.find(name);
    return it == env.end() ? std::string() : it->second;
}

std::vector<std::string> split_path(std::string_view text) {
    std::vector<std::string> out;
    while (!text.empty()) {
        auto const colon = text.find(':');
        if (auto part = text.substr(0, colon); !part.empty()) {
            while (part.size() > 1 && part.ends_with('/')) part.remove_suffix(1);
            out.emplace_back(part);
        }
        if (colon == std::string_view::npos) break;
        text.remove_prefix(colon + 1);
    }
    return out;
}

bool is_executable_file(std::string const& path) {
    struct stat info {};
    return ::stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode) && ::access(path.c_str(), X_OK) == 0;
}

// jupyter_core.paths.envset: unset, "no", "n", "false", "off", "0", "0.0" mean no.
bool env_says_yes(std::string const& value) {
    static constexpr std::array<std::string_view, 6> kNo{"no", "n", "false", "off", "0", "0.0"};
    return std::find(kNo.begin(), kNo.end(), lower(value)) == kNo.end();
}

bool prefer_prefix(SearchContext const& context) {
    if (auto const it = context.env.find("JUPYTER_PREFER_ENV_PATH"); it != context.env.end())
        return env_says_yes(it->second);
    if (context.prefix_is_venv) return true;
    auto const conda = value_of(context.env, "CONDA_PREFIX");
    auto const name = value_of(context.env, "CONDA_DEFAULT_ENV");
    return !conda.empty() && context.python_prefix.starts_with(conda) && !name.empty() && name != "base";
}

}  // namespace

bool KernelSpec::is_ipykernel() const {
    return any_arg_contains(*this, "ipykernel_launcher") || any_arg_contains(*this, "ipykernel");
}

std::vector<std::string> kernel_dirs(SearchContext const& context) {
    std::vector<std::string> roots = split_path(value_of(context.env, "JUPYTER_PATH"));
    std::vector<std::string> user;
    auto const local = context.home.empty() ? std::string() : context.home + "/.local";
    auto const data_dir = value_of(context.env, "JUPYTER_DATA_DIR");
    auto const xdg = value_of(context.env, "XDG_DATA_HOME");
    if (!data_dir.empty())
        user.push_back(data_dir);
    else if (!xdg.empty())
        user.push_back(xdg + "/jupyter");
    else if (!local.empty())
        user.push_back(local + "/share/jupyter");
    if (!context.prefix_is_venv) {  // a venv has no user site
        auto const base = value_of(context.env, "PYTHONUSERBASE");
        if (!base.empty() || !local.empty()) user.push_back((base.empty() ? local : base) + "/share/jupyter");
    }
    std::vector<std::string> prefix;
    if (!context.python_prefix.empty()) prefix.push_back(context.python_prefix + "/share/jupyter");
    auto const& first = prefer_prefix(context) ? prefix : user;
    auto const& second = prefer_prefix(context) ? user : prefix;
    roots.insert(roots.end(), first.begin(), first.end());
    roots.insert(roots.end(), second.begin(), second.end());
    roots.insert(roots.end(), {"/usr/local/share/jupyter", "/usr/share/jupyter"});
    std::vector<std::string> out;
    auto add = [&out](std::string dir) {
        if (std::find(out.begin(), out.end(), dir) == out.end()) out.push_back(std::move(dir));
    };
    for (auto const& root : roots) add(root + "/kernels");
    auto const ipython = value_of(context.env, "IPYTHONDIR");
    if (!ipython.empty())
        add(ipython + "/kernels");
    else if (!context.home.empty())
        add(context.home + "/.ipython/kernels");
    return out;
}

std::string find_executable(std::string_view name, Env const& env) {
    if (name.find('/') != std::string_view::npos)
        return is_executable_file(std::string(name)) ? std::string(name) : std::string();
    auto const it = env.find("PATH");
    for (auto const& dir : split_path(it == env.end() ? "/usr/local/bin:/usr/bin:/bin" : it->second)) {
        std::string path = dir + "/" + std::string(name);
        if (is_executable_file(path)) return path;
    }
    return {};
}

std::optional<PythonPlace> python_on_path(Env const& env) {
    for (char const* name : {"python3", "python"}) {
        std::string const path = find_executable(name, env);
        if (path.empty()) continue;
        PythonPlace place{path, path, false};
        for (int up = 0; up < 2; ++up)
            place.prefix.erase(std::min(place.prefix.size(), place.prefix.rfind('/')));
        place.is_venv = ::access((place.prefix + "/pyvenv.cfg").c_str(), F_OK) == 0;
        return place;
    }
    return std::nullopt;
}

Result<KernelSpec> parse_kernelspec(std::string_view name, std::string_view dir, std::string_view json_text) {
    auto const broken = [&](char const* what) { return fail(Code::decode, "kernelspec", what); };
    if (!valid_name(name)) return broken("the folder's name has characters that Jupyter refuses");
    auto json = parse_json(json_text);
    if (!json) return tl::unexpected(json.error());
    auto const argv = json->find("argv");
    if (!json->is_object() || argv == json->end() || !argv->is_array() || argv->empty())
        return broken("no argv");
    KernelSpec out;
    out.name = lower(name);
    out.dir = std::string(dir);
    for (auto const& arg : *argv) {
        if (!arg.is_string()) return broken("argv holds something else than texts");
        out.argv.push_back(arg.get<std::string>());
    }
    if (out.argv.front().empty()) return broken("argv[0] is empty");
    out.display_name = text_of(*json, "display_name", name);
    out.language = text_of(*json, "language");
    auto const mode = text_of(*json, "interrupt_mode", "signal");
    if (mode != "signal" && mode != "message") return broken("interrupt_mode is neither signal nor message");
    out.interrupt = mode == "message" ? Interrupt::message : Interrupt::signal;
    if (auto const env = json->find("env"); env != json->end() && env->is_object())
        for (auto const& [key, value] : env->items())
            if (value.is_string()) out.env[key] = value.get<std::string>();
    static constexpr std::string_view kTail = "/share/jupyter/kernels/";
    if (auto const at = dir.rfind(kTail); at != std::string_view::npos)
        out.prefix = std::string(dir.substr(0, at));
    apply_overrides(out);
    return out;
}

KernelSpecs::KernelSpecs(std::vector<KernelSpec> specs, std::vector<std::string> dirs)
    : specs_(std::move(specs)), dirs_(std::move(dirs)) {}

KernelSpecs KernelSpecs::scan(std::vector<std::string> const& dirs, std::vector<KernelSpec> built_in) {
    KernelSpecs out;
    for (auto const& dir : dirs) {
        out.dirs_.push_back(dir);
        DIR* const listing = ::opendir(dir.c_str());
        if (listing == nullptr) continue;
        std::vector<std::string> names;
        while (dirent const* entry = ::readdir(listing))
            if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
        ::closedir(listing);
        std::sort(names.begin(), names.end());
        for (auto const& name : names) {
            std::string const folder = dir + "/" + name;
            auto text = read_small(folder + "/kernel.json");
            if (!text && (text.error().sys == ENOENT || text.error().sys == ENOTDIR)) continue;
            if (out.by_name(lower(name)) != nullptr) continue;  // an earlier directory wins
            auto spec = text ? parse_kernelspec(name, folder, *text)
                             : Result<KernelSpec>(tl::unexpected(text.error()));
            if (spec)
                out.specs_.push_back(*std::move(spec));
            else
                out.problems_.push_back({folder + "/kernel.json", spec.error().message()});
        }
    }
    auto const installed = out.specs_.size();
    for (auto& ours : built_in) {
        auto const language = canonical_language(ours.language);
        bool const known = std::any_of(
            out.specs_.begin(), out.specs_.begin() + static_cast<std::ptrdiff_t>(installed),
            [&](KernelSpec const& spec) { return canonical_language(spec.language) == language; });
        if (!known) out.specs_.push_back(std::move(ours));
    }
    return out;
}

KernelSpecs KernelSpecs::without(std::vector<std::string> const& unwanted) const {
    KernelSpecs out = *this;
    std::erase_if(out.specs_, [&](KernelSpec const& spec) {
        return std::find(unwanted.begin(), unwanted.end(), spec.name) != unwanted.end();
    });
    return out;
}

KernelSpec const* KernelSpecs::by_name(std::string_view name) const {
    for (auto const& spec : specs_)
        if (spec.name == name) return &spec;
    return nullptr;
}

std::string canonical_language(std::string_view word) {
    static std::map<std::string, std::string, std::less<>> const kAliases{
        {"py", "python"},       {"python3", "python"}, {"ipython", "python"}, {"js", "javascript"},
        {"node", "javascript"}, {"ts", "typescript"},  {"sh", "bash"},        {"shell", "bash"},
        {"golang", "go"},       {"rust", "rust"},      {"c++", "cpp"},
    };
    std::string const plain = lower(word);
    auto const it = kAliases.find(plain);
    return it == kAliases.end() ? plain : it->second;
}

namespace {

int rank(KernelSpec const& spec, std::string_view language) {
    if (is_xeus_python(spec)) return 3;
    if (spec.name == language) return 0;
    return spec.name == "python3" ? 2 : 1;
}

std::string mending(std::string_view language) {
    static std::map<std::string, std::string, std::less<>> const kRecipes{
        {"python", "install python3 (3.8 or newer), or pip install ipykernel"},
        {"bash", "install bash"},
        {"javascript", "install Node.js (18 or newer)"},
        {"typescript", "install Node.js (22.13 or newer)"},
        {"java", "pip install jjava"},
        {"r", "apt-get install r-cran-irkernel"},
        {"go", "install GoNB (github.com/janpfeifer/gonb) and run `gonb --install`"},
    };
    auto const it = kRecipes.find(language);
    return it == kRecipes.end() ? std::string() : it->second;
}

}  // namespace

Result<KernelSpec> KernelSpecs::find(std::string_view wanted) const {
    if (auto const* named = by_name(lower(wanted)); named != nullptr && lower(wanted) != "python3")
        return *named;
    std::string const language = canonical_language(wanted);
    KernelSpec const* best = nullptr;
    for (auto const& spec : specs_) {
        if (canonical_language(spec.language) != language) continue;
        if (best == nullptr || rank(spec, language) < rank(*best, language)) best = &spec;
    }
    if (auto const* named = by_name(lower(wanted)); named != nullptr) best = named;
    if (best != nullptr) return *best;

    std::string text = "no kernel for '" + std::string(wanted) + "'; installed: ";
    for (auto const& spec : specs_) text += spec.name + " (" + spec.language + "), ";
    if (specs_.empty()) text += "none, ";
    text.resize(text.size() - 2);
    for (auto const& problem : problems_) text += "; ignored " + problem.path + ": " + problem.what;
    std::string const recipe = mending(language);
    if (recipe.empty()) return fail(Code::not_found, "kernel.find", text);
    text += "; to mend: " + recipe + ", or set JUPYTER_PATH to a folder that has kernels/; looked in";
    for (auto const& dir : dirs_) text += " " + dir;
    return fail(Code::unavailable, "kernel.find", text);
}

std::vector<std::string> render_argv(KernelSpec const& spec, std::string_view connection_file) {
    std::vector<std::string> out;
    for (auto const& arg : spec.argv) {
        std::string text;
        for (std::size_t i = 0; i < arg.size();) {
            auto const close = arg[i] == '{' ? arg.find('}', i) : std::string::npos;
            auto const key = close == std::string::npos ? std::string() : arg.substr(i + 1, close - i - 1);
            if (key == "connection_file")
                text += connection_file;
            else if (key == "resource_dir")
                text += spec.dir;
            else if (key == "prefix")
                text += spec.prefix;
            else {
                text += arg[i++];
                continue;
            }
            i = close + 1;
        }
        out.push_back(std::move(text));
    }
    auto& program = out.front();
    if (!spec.prefix.empty() && program.find('/') == std::string::npos && program.starts_with("python")) {
        std::string const own = spec.prefix + "/bin/" + program;
        if (is_executable_file(own)) program = own;
    }
    return out;
}

Env render_env(KernelSpec const& spec, Env const& base) {
    Env out = base;
    auto const name_end = [](std::string const& text, std::size_t from) {
        auto at = from;
        while (at < text.size() &&
               (text[at] == '_' || (text[at] >= '0' && text[at] <= '9' && at > from) ||
                (text[at] >= 'a' && text[at] <= 'z') || (text[at] >= 'A' && text[at] <= 'Z')))
            ++at;
        return at;
    };
    for (auto const& [key, value] : spec.env) {
        std::string text;
        for (std::size_t i = 0; i < value.size(); ++i) {
            if (value[i] != '$' || i + 1 == value.size()) {
                text += value[i];
                continue;
            }
            if (value[i + 1] == '$') {
                text += '$';
                ++i;
                continue;
            }
            bool const braces = value[i + 1] == '{';
            auto const from = i + (braces ? 2 : 1);
            auto const end = name_end(value, from);
            auto const known = end > from ? base.find(value.substr(from, end - from)) : base.end();
            if (known == base.end() || (braces && (end == value.size() || value[end] != '}'))) {
                text += '$';  // safe_substitute leaves what it does not know
                continue;
            }
            text += known->second;
            i = braces ? end : end - 1;
        }
        out[key] = text;
    }
    return out;
}

}  // namespace execd::kernels
