// Environments: building one, the EXECD_ENVS file, the expansion of $NAME, and the choice of a shell.
// Pure, except of_daemon() and find_shell().
#pragma once
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.hpp"

namespace execd::shell {

class Environment {
  public:
    Environment() = default;
    /// From NAME=value texts; the last of a name wins, texts without '=' are dropped.
    explicit Environment(std::vector<std::string> const& entries);
    /// This process's own, without what is private to the daemon (tokens: see kPrivateNames).
    [[nodiscard]] static Environment of_daemon();

    void set(std::string name, std::string value) { values_[std::move(name)] = std::move(value); }
    /// Keeps a value that is there.
    void set_default(std::string name, std::string value) {
        values_.try_emplace(std::move(name), std::move(value));
    }
    void unset(std::string_view name);
    [[nodiscard]] std::optional<std::string_view> get(std::string_view name) const;
    template <class Pairs>
    void overlay(Pairs const& pairs) {
        for (auto const& [name, value] : pairs) set(name, value);
    }
    [[nodiscard]] std::vector<std::string> list() const;
    [[nodiscard]] std::map<std::string, std::string, std::less<>> const& values() const { return values_; }

  private:
    std::map<std::string, std::string, std::less<>> values_;
};

/// Credentials of the daemon: no child sees them.
[[nodiscard]] bool is_private_name(std::string_view name) noexcept;

struct Expanded {
    std::string text;
    /// Names that were used and are not set (they expanded to nothing).
    std::vector<std::string> undefined;
};
/// Replaces $NAME and ${NAME}; any other '$' stays.
[[nodiscard]] Expanded expand(std::string_view text, Environment const& environment);

struct EnvFile {
    /// In the order of the file; later ones win.
    std::vector<std::pair<std::string, std::string>> entries;
    /// Lines (from 1) of entries that were skipped as malformed.
    std::vector<std::size_t> skipped;
};
/// The EXECD_ENVS file (opensandbox-1.1, section 4): KEY=value, KEY="v" with escapes, KEY='v' literal, both
/// of them over several lines; unquoted and double-quoted values expand from `daemon`.
[[nodiscard]] EnvFile parse_env_file(std::string_view text, Environment const& daemon);

/// bash when PATH (of the child) has it, otherwise sh.
struct Shell {
    std::string path;
    bool bash = false;
};
[[nodiscard]] Shell find_shell(Environment const& environment);

}  // namespace execd::shell
