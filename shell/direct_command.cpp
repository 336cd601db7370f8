#include "shell/direct_command.hpp"

#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <charconv>

namespace execd::shell {

namespace {

// Keywords and builtins of bash 3 to 5 (`compgen -k`, `compgen -b`), without true and false; sorted.
constexpr auto kShellWords = std::to_array<std::string_view>({
    ".",        ":",      "[",       "alias",   "bg",       "bind",    "break",    "builtin", "caller",
    "case",     "cd",     "command", "compgen", "complete", "compopt", "continue", "coproc",  "declare",
    "dirs",     "disown", "do",      "done",    "echo",     "elif",    "else",     "enable",  "esac",
    "eval",     "exec",   "exit",    "export",  "fc",       "fg",      "fi",       "for",     "function",
    "getopts",  "hash",   "help",    "history", "if",       "in",      "jobs",     "kill",    "let",
    "local",    "logout", "mapfile", "popd",    "printf",   "pushd",   "pwd",      "read",    "readarray",
    "readonly", "return", "select",  "set",     "shift",    "shopt",   "source",   "suspend", "test",
    "then",     "time",   "times",   "trap",    "type",     "typeset", "ulimit",   "umask",   "unalias",
    "unset",    "until",  "wait",    "while",
});
static_assert(std::is_sorted(kShellWords.begin(), kShellWords.end()));

bool plain(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("_./:=,@%+-").find(c) != std::string_view::npos;
}

bool blank(char c) { return c == ' ' || c == '\t'; }

/// The text between two quotes; `at` is behind the opening one and ends behind the closing one.
bool quoted(std::string_view text, std::size_t& at, char quote, std::string& word) {
    auto const end = text.find(quote, at);
    if (end == std::string_view::npos) return false;
    auto const inside = text.substr(at, end - at);
    if (quote == '"' && inside.find_first_of("$`\\!") != std::string_view::npos) return false;
    word += inside;
    at = end + 1;
    return true;
}

bool starts_program(std::string const& name) {
    return !name.empty() && name.find('=') == std::string::npos && name.front() != '%' &&
           !std::binary_search(kShellWords.begin(), kShellWords.end(), std::string_view(name));
}

/// Names with which bash behaves differently, or which it changes in ways not repeated here.
bool stirs_bash(std::string_view entry) {
    for (std::string_view const prefix : {"BASH_", "BASHOPTS=", "SHELLOPTS=", "POSIXLY_CORRECT=", "ENV="})
        if (entry.starts_with(prefix)) return true;
    return false;
}

bool same_directory(std::string const& a, std::string const& b) {
    struct stat left {};
    struct stat right {};
    return ::stat(a.c_str(), &left) == 0 && ::stat(b.c_str(), &right) == 0 && left.st_ino == right.st_ino &&
           left.st_dev == right.st_dev;
}

bool is_directory(std::string const& path) {
    struct stat st {};
    return ::stat(path.c_str(), &st) == 0 && S_ISDIR(st.st_mode);
}

/// PWD as bash finds it: the inherited one while it is true, else the real path.
std::optional<std::string> working_directory(std::string const& inherited, std::string const& cwd) {
    std::string const here = cwd.empty() ? "." : cwd;
    if (inherited.starts_with('/') &&
        (inherited == cwd ? is_directory(cwd) : same_directory(inherited, here)))
        return inherited;
    char real[PATH_MAX];
    if (::realpath(here.c_str(), real) == nullptr) return std::nullopt;
    return std::string(real);
}

/// One level up for bash, one down for the program that replaces it.
std::optional<std::string> shell_level(std::string_view inherited) {
    int level = 0;
    if (inherited.empty()) return "0";
    auto const [end, error] = std::from_chars(inherited.data(), inherited.data() + inherited.size(), level);
    if (error != std::errc() || end != inherited.data() + inherited.size() || level < 0 || level > 900)
        return std::nullopt;  // bash has its own ideas about those
    return std::to_string(level);
}

}  // namespace

std::optional<std::vector<std::string>> simple_command(std::string_view text) {
    if (text.find('\0') != std::string_view::npos) return std::nullopt;  // no word of a program can hold it
    while (!text.empty() && (blank(text.back()) || text.back() == '\n')) text.remove_suffix(1);
    std::vector<std::string> words;
    std::size_t at = 0;
    while (at < text.size()) {
        if (blank(text[at])) {
            ++at;
            continue;
        }
        std::string word;
        while (at < text.size() && !blank(text[at])) {
            char const c = text[at++];
            if (c == '\'' || c == '"') {
                if (!quoted(text, at, c, word)) return std::nullopt;
            } else if (plain(c)) {
                word += c;
            } else {
                return std::nullopt;
            }
        }
        words.push_back(std::move(word));
    }
    if (words.empty() || !starts_program(words.front())) return std::nullopt;
    return words;
}

std::optional<std::vector<std::string>> direct_environment(std::vector<std::string> const& env,
                                                           std::string const& cwd) {
    std::vector<std::string> out;
    out.reserve(env.size() + 3);
    std::string directory;
    std::string level;
    bool path = false;
    for (auto const& entry : env) {
        std::string_view const view = entry;
        if (stirs_bash(view)) return std::nullopt;
        if (view.starts_with("PWD=")) {
            directory = view.substr(4);
        } else if (view.starts_with("SHLVL=")) {
            level = view.substr(6);
        } else if (view.starts_with("OLDPWD=")) {
            if (is_directory(entry.substr(7))) out.push_back(entry);
        } else if (!view.starts_with("_=")) {
            path = path || view.starts_with("PATH=");
            out.push_back(entry);
        }
    }
    auto const here = working_directory(directory, cwd);
    auto const depth = shell_level(level);
    if (!path || !here || !depth) return std::nullopt;  // without PATH bash has one of its own
    out.push_back("PWD=" + *here);
    out.push_back("SHLVL=" + *depth);
    return out;
}

}  // namespace execd::shell
