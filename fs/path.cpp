#include "fs/path.hpp"

#include <vector>

namespace execd::fs {

/// An absolute path with nothing to clean.
static bool is_clean(std::string_view path) {
    if (path.size() < 2 || path.front() != '/' || path.back() == '/') return false;
    for (std::size_t i = 0; i + 1 < path.size(); ++i)
        if (path[i] == '/' && (path[i + 1] == '/' || path[i + 1] == '.')) return false;
    return true;
}

std::string clean_path(std::string_view path) {
    if (is_clean(path)) return std::string(path);
    bool const rooted = !path.empty() && path.front() == '/';
    std::vector<std::string_view> parts;
    std::size_t at = 0;
    while (at < path.size()) {
        auto const end = std::min(path.find('/', at), path.size());
        auto const part = path.substr(at, end - at);
        at = end + 1;
        if (part.empty() || part == ".") continue;
        if (part != "..") {
            parts.push_back(part);
        } else if (!parts.empty() && parts.back() != "..") {
            parts.pop_back();
        } else if (!rooted) {
            parts.push_back(part);
        }
    }
    std::string out = rooted ? "/" : "";
    out.reserve(path.size());
    for (std::size_t i = 0; i < parts.size(); ++i) {
        if (i > 0) out += '/';
        out += parts[i];
    }
    return out.empty() ? "." : out;
}

std::string join_path(std::string_view directory, std::string_view name) {
    std::string out;
    out.reserve(directory.size() + 1 + name.size());
    out += directory;
    if (!out.empty() && out.back() != '/') out += '/';
    out += name;
    return out;
}

std::string absolute_path(std::string_view path, std::string_view base) {
    return !path.empty() && path.front() == '/' ? clean_path(path) : clean_path(join_path(base, path));
}

std::string_view base_name(std::string_view path) {
    auto const slash = path.rfind('/');
    if (slash == std::string_view::npos) return path;
    return path.size() == 1 ? path : path.substr(slash + 1);
}

std::string_view parent_of(std::string_view path) {
    auto const slash = path.rfind('/');
    if (slash == std::string_view::npos) return ".";
    return slash == 0 ? path.substr(0, 1) : path.substr(0, slash);
}

std::string_view extension_of(std::string_view path) {
    auto const name = base_name(path);
    auto const dot = name.rfind('.');
    return dot == std::string_view::npos || dot == 0 ? std::string_view() : name.substr(dot);
}

Result<void> check_path(std::string_view path) {
    if (path.empty()) return fail(Code::invalid_argument, "path", "empty path");
    if (path.find('\0') != std::string_view::npos)
        return fail(Code::invalid_argument, "path", "NUL byte in path");
    return {};
}

namespace {

bool starts_name(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool in_name(char c) { return starts_name(c) || (c >= '0' && c <= '9'); }

/// The variable name after the `$` at `at`, and how many bytes the whole reference takes; empty when it is
/// none.
std::string_view reference_at(std::string_view text, std::size_t at, std::size_t& length) {
    std::size_t from = at + 1;
    bool const braced = from < text.size() && text[from] == '{';
    if (braced) ++from;
    std::size_t end = from;
    if (end < text.size() && starts_name(text[end]))
        while (end < text.size() && in_name(text[end])) ++end;
    if (end == from || (braced && (end >= text.size() || text[end] != '}'))) return {};
    length = end - at + (braced ? 1 : 0);
    return text.substr(from, end - from);
}

Result<std::string> expand_variables(std::string_view text, Expansion const& how) {
    std::string out;
    std::string undefined;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '\\' && i + 1 < text.size() && text[i + 1] == '$') {
            out += '$';
            ++i;
            continue;
        }
        std::size_t length = 0;
        auto const name = text[i] == '$' ? reference_at(text, i, length) : std::string_view();
        if (name.empty()) {
            out += text[i];
            continue;
        }
        if (auto const value = how.variable(name)) {
            out += *value;
        } else {
            undefined += undefined.empty() ? "" : ", ";
            undefined += name;
        }
        i += length - 1;
    }
    if (!undefined.empty()) return fail(Code::invalid_argument, "path", "undefined variable: " + undefined);
    return out;
}

std::string expand_home(std::string text, Expansion const& how) {
    if (text.empty() || text.front() != '~') return text;
    auto const end = std::min(text.find('/'), text.size());
    std::optional<std::string> home;
    if (end == 1)
        home = how.home;
    else if (how.user_home)
        home = how.user_home(std::string_view(text).substr(1, end - 1));
    if (!home) return text;
    return *home + text.substr(end);
}

}  // namespace

Result<std::string> expand_path(std::string_view text, Expansion const& how) {
    if (auto ok = check_path(text); !ok) return Failure(ok.error());
    auto expanded = expand_home(std::string(text), how);
    if (how.variable && expanded.find('$') != std::string::npos) {
        auto replaced = expand_variables(expanded, how);
        if (!replaced) return replaced;
        expanded = std::move(*replaced);
        if (auto ok = check_path(expanded); !ok) return Failure(ok.error());
    }
    return absolute_path(expanded, how.base);
}

}  // namespace execd::fs
