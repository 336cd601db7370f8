#include "execd/dialects/opensandbox/parts.hpp"

#include <unistd.h>

#include <cctype>

#include "fs/path.hpp"

namespace execd::opensandbox {

namespace {
std::string current_directory() {
    char buffer[4096];
    return ::getcwd(buffer, sizeof buffer) != nullptr ? std::string(buffer) : "/";
}
}  // namespace

Result<std::string> expand(Services&, std::string_view text, shell::Environment const& environment) {
    fs::Expansion how;
    if (text.starts_with('~'))
        if (auto home = environment.get("HOME")) how.home = std::string(*home);
    how.variable = [&environment](std::string_view name) -> std::optional<std::string> {
        auto value = environment.get(name);
        return value ? std::optional<std::string>(*value) : std::nullopt;
    };
    if (!text.starts_with('/')) how.base = current_directory();
    auto path = fs::expand_path(text, how);
    if (path) return path;
    Error error = path.error();
    static constexpr std::string_view kUndefined = "undefined variable: ";
    if (error.detail.starts_with(kUndefined)) {
        std::string names = error.detail.substr(kUndefined.size());
        std::erase(names, ' ');
        error.detail = "path references undefined environment variables: " + names;
    }
    return Failure(error);
}

std::string go_errno(int err) {
    std::string text = errno_text(err);
    if (!text.empty()) text[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(text[0])));
    return text;
}

Task<Result<http::Answer>> wrap(Result<http::Answer> answer) { co_return std::move(answer); }

}  // namespace execd::opensandbox
