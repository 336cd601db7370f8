#include "shell/environment.hpp"

#include <unistd.h>

#include <algorithm>

#include "shell/spawn_spec.hpp"

namespace execd::shell {

namespace {
bool is_name_start(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_name_char(char c) { return is_name_start(c) || (c >= '0' && c <= '9'); }
bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

std::string_view trimmed(std::string_view text) {
    while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
    while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
    return text;
}
}  // namespace

bool is_private_name(std::string_view name) noexcept {
    constexpr std::string_view kNames[] = {"EXECD_ACCESS_TOKEN", "SANDBOX_API_KEY", "JWT_PUBLIC_KEY",
                                           "EXECD_AGENTRUN_ACCESS_KEY_ID",
                                           "EXECD_AGENTRUN_ACCESS_KEY_SECRET"};
    return std::find(std::begin(kNames), std::end(kNames), name) != std::end(kNames);
}

Environment::Environment(std::vector<std::string> const& entries) {
    for (auto const& entry : entries) {
        auto const equals = entry.find('=');
        if (equals != std::string::npos && equals > 0) set(entry.substr(0, equals), entry.substr(equals + 1));
    }
}

Environment Environment::of_daemon() {
    Environment out;
    for (char** entry = ::environ; entry != nullptr && *entry != nullptr; ++entry) {
        std::string_view const text(*entry);
        auto const equals = text.find('=');
        if (equals == std::string_view::npos || equals == 0 || is_private_name(text.substr(0, equals)))
            continue;
        out.set(std::string(text.substr(0, equals)), std::string(text.substr(equals + 1)));
    }
    return out;
}

void Environment::unset(std::string_view name) {
    auto const found = values_.find(name);
    if (found != values_.end()) values_.erase(found);
}

std::optional<std::string_view> Environment::get(std::string_view name) const {
    auto const found = values_.find(name);
    if (found == values_.end()) return std::nullopt;
    return found->second;
}

std::vector<std::string> Environment::list() const {
    std::vector<std::string> out;
    out.reserve(values_.size() + 1);
    for (auto const& [name, value] : values_) out.push_back(name + "=" + value);
    return out;
}

Expanded expand(std::string_view text, Environment const& environment) {
    Expanded out;
    auto const put = [&](std::string_view name) {
        if (auto const value = environment.get(name))
            out.text += *value;
        else
            out.undefined.emplace_back(name);
    };
    while (!text.empty()) {
        auto const dollar = text.find('$');
        out.text += text.substr(0, dollar);
        if (dollar == std::string_view::npos) break;
        text.remove_prefix(dollar + 1);
        bool const braced = !text.empty() && text.front() == '{';
        std::string_view const rest = braced ? text.substr(1) : text;
        std::size_t size = 0;
        if (!rest.empty() && is_name_start(rest.front()))
            while (size < rest.size() && is_name_char(rest[size])) ++size;
        bool const closed = !braced || (size < rest.size() && rest[size] == '}');
        if (size == 0 || !closed) {
            out.text += '$';  // not a name: a plain dollar
            continue;
        }
        put(rest.substr(0, size));
        text = rest.substr(size + (braced ? 1 : 0));
    }
    return out;
}

namespace {

struct FileReader {
    std::string_view text;
    std::size_t at = 0;
    std::size_t line = 1;

    /// The rest of the line at `from`, and the start of the next one.
    [[nodiscard]] std::string_view rest_of_line(std::size_t from) const {
        auto const end = text.find('\n', from);
        return text.substr(from, end == std::string_view::npos ? end : end - from);
    }
    void next_line(std::size_t from) {
        auto const end = text.find('\n', from);
        std::size_t const next = end == std::string_view::npos ? text.size() : end + 1;
        line += static_cast<std::size_t>(std::count(text.begin() + static_cast<std::ptrdiff_t>(at),
                                                    text.begin() + static_cast<std::ptrdiff_t>(next), '\n'));
        at = next;
    }
};

/// Where the closing quote of a value that starts behind `from` is; npos: nowhere.
std::size_t closing_quote(std::string_view text, std::size_t from, char quote) {
    for (std::size_t i = from; i < text.size(); ++i) {
        if (text[i] == quote) return i;
        if (quote == '"' && text[i] == '\\') ++i;
    }
    return std::string_view::npos;
}

std::string unescaped(std::string_view text) {
    std::string out;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '\\' || i + 1 == text.size()) {
            out += text[i];
            continue;
        }
        switch (char const next = text[++i]) {
            case 'n': out += '\n'; break;
            case 'r': out += '\r'; break;
            case 't': out += '\t'; break;
            case '\\':
            case '"': out += next; break;
            default: out += '\\'; out += next;
        }
    }
    return out;
}

/// One entry at the reader's place; false: malformed. Moves the reader behind it.
bool read_entry(FileReader& in, EnvFile& out, Environment const& daemon) {
    std::size_t const start = in.at;
    std::string_view const line = in.rest_of_line(start);
    auto const equals = line.find('=');
    std::string_view const key = trimmed(line.substr(0, std::min(equals, line.size())));
    std::size_t value_at = start + equals + 1;
    if (equals == std::string_view::npos || key.empty() || key.find('\0') != std::string_view::npos) {
        in.next_line(start);
        return false;
    }
    while (value_at < start + line.size() && is_space(in.text[value_at])) ++value_at;
    char const quote = value_at < start + line.size() ? in.text[value_at] : '\0';
    if (quote != '"' && quote != '\'') {
        std::string_view const raw = trimmed(line.substr(equals + 1));
        in.next_line(start);
        if (raw.find('\0') != std::string_view::npos) return false;
        out.entries.emplace_back(key, expand(raw, daemon).text);
        return true;
    }
    std::size_t const close = closing_quote(in.text, value_at + 1, quote);
    if (close == std::string_view::npos) {
        in.next_line(start);
        return false;
    }
    std::string_view const raw = in.text.substr(value_at + 1, close - value_at - 1);
    bool const clean =
        trimmed(in.rest_of_line(close + 1)).empty() && raw.find('\0') == std::string_view::npos;
    in.next_line(close);
    if (!clean) return false;
    out.entries.emplace_back(key, quote == '\'' ? std::string(raw) : expand(unescaped(raw), daemon).text);
    return true;
}

}  // namespace

EnvFile parse_env_file(std::string_view text, Environment const& daemon) {
    EnvFile out;
    FileReader in{text};
    while (in.at < text.size()) {
        std::string_view const line = trimmed(in.rest_of_line(in.at));
        if (line.empty() || line.front() == '#') {
            in.next_line(in.at);
            continue;
        }
        std::size_t const number = in.line;
        if (!read_entry(in, out, daemon)) out.skipped.push_back(number);
    }
    return out;
}

Shell find_shell(Environment const& environment) {
    std::vector<std::string> env;
    if (auto const path = environment.get("PATH")) env.push_back("PATH=" + std::string(*path));
    for (bool const bash : {true, false})
        for (auto& candidate : exec_candidates(bash ? "bash" : "sh", env))
            if (::access(candidate.c_str(), X_OK) == 0) return {std::move(candidate), bash};
    return {"/bin/sh", false};
}

}  // namespace execd::shell
