#include "fs/ignore.hpp"

#include <unistd.h>

#include "fs/content.hpp"
#include "fs/path.hpp"
#include "fs/reader.hpp"

namespace execd::fs {

namespace {

/// To git any number of stars beyond one is two (wildmatch.c).
std::string with_two_stars(std::string_view pattern) {
    std::string out;
    for (char const c : pattern)
        if (c != '*' || !out.ends_with("**")) out += c;
    return out;
}

}  // namespace

IgnoreRules IgnoreRules::parse(std::string_view text) {
    IgnoreRules out;
    while (!text.empty()) {
        auto const end = std::min(text.find('\n'), text.size());
        auto line = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        if (line.ends_with('\r')) line.remove_suffix(1);
        while (line.ends_with(' ') && !line.ends_with("\\ ")) line.remove_suffix(1);
        if (line.empty() || line.front() == '#') continue;
        bool const keep = line.front() == '!';
        if (keep) line.remove_prefix(1);
        bool const directories_only = line.ends_with('/');
        if (directories_only) line.remove_suffix(1);
        bool const anchored = line.find('/') != std::string_view::npos;
        if (line.starts_with('/')) line.remove_prefix(1);
        if (line.empty()) continue;
        GlobOptions options;
        options.braces = false;
        options.inside = true;
        if (auto glob = Glob::compile(with_two_stars(line), options))
            out.rules_.push_back({std::move(*glob), anchored, directories_only, keep});
    }
    return out;
}

std::optional<bool> IgnoreRules::ignored(std::string_view path, std::string_view name, bool directory) const {
    for (auto rule = rules_.rbegin(); rule != rules_.rend(); ++rule) {  // the last that matches decides
        if (rule->directories_only && !directory) continue;
        if (rule->glob.match(rule->anchored ? path : name)) return !rule->keep;
    }
    return std::nullopt;
}

void IgnoreStack::load(std::string const& directory) {
    Level level{directory.ends_with('/') ? directory : directory + "/", {}};
    if (auto file = OpenRead(level.directory + ".gitignore").run())
        if (auto text = read_all(file->fd.get(), 1U << 20U)) level.rules = IgnoreRules::parse(*text);
    levels_.push_back(std::move(level));
}

void IgnoreStack::start(std::string const& root) {
    std::vector<std::string> above;
    std::string at(root);
    while (::access(join_path(at, ".git").c_str(), F_OK) != 0) {
        if (at == "/" || at == ".") {  // no repository: only the files below count
            above.clear();
            break;
        }
        at = parent_of(at);
        above.push_back(at);
    }
    for (auto directory = above.rbegin(); directory != above.rend(); ++directory) load(*directory);
}

void IgnoreStack::enter(std::string const& directory) { load(directory); }

bool IgnoreStack::ignored(std::string_view path, std::string_view name, bool directory) const {
    if (directory && name == ".git") return true;
    for (auto level = levels_.rbegin(); level != levels_.rend(); ++level) {
        if (level->rules.empty() || !path.starts_with(level->directory)) continue;
        if (auto const verdict = level->rules.ignored(path.substr(level->directory.size()), name, directory))
            return *verdict;
    }
    return false;
}

}  // namespace execd::fs
