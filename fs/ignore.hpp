// .gitignore rules (gitignore(5)): the rules of one file, and the stack of them along a walk. Pure but for
// loading.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "fs/glob.hpp"

namespace execd::fs {

class IgnoreRules {
  public:
    /// Lines that are no valid pattern are skipped, as git does.
    [[nodiscard]] static IgnoreRules parse(std::string_view text);
    /// `path` is relative to the directory of the file. Nothing: no rule speaks of it.
    [[nodiscard]] std::optional<bool> ignored(std::string_view path, std::string_view name,
                                              bool directory) const;
    [[nodiscard]] bool empty() const { return rules_.empty(); }

  private:
    struct Rule {
        Glob glob;
        bool anchored = false;
        bool directories_only = false;
        bool keep = false;  // "!pattern"
    };
    std::vector<Rule> rules_;
};

class IgnoreStack {
  public:
    /// Also loads the files above `root` up to the top of its repository.
    void start(std::string const& root);
    /// Enters a directory (loads its .gitignore if there is one); leave() undoes it.
    void enter(std::string const& directory);
    void leave() { levels_.pop_back(); }
    /// Absolute path of something in the innermost directory.
    [[nodiscard]] bool ignored(std::string_view path, std::string_view name, bool directory) const;

  private:
    struct Level {
        std::string directory;  // with a slash at the end
        IgnoreRules rules;
    };
    void load(std::string const& directory);
    std::vector<Level> levels_;
};

}  // namespace execd::fs
