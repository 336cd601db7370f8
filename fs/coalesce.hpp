// Turning a flood of raw changes into few events: per path and window one event that says what became of it.
// Pure.
#pragma once
#include <cstdint>
#include <list>
#include <string>
#include <unordered_map>
#include <vector>

namespace execd::fs {

enum class Change : std::uint8_t { create, write, remove, rename, chmod, overflow };
[[nodiscard]] std::string_view to_string(Change);

struct Raw {
    Change what = Change::write;
    std::string path{};
    std::string old_path{};  // of a rename
    bool directory = false;
};

class Coalescer {
  public:
    void add(Raw raw);
    /// One half of a rename; the other half has the same cookie. What stays alone is a remove or a create.
    void moved_from(std::uint32_t cookie, std::string path, bool directory);
    /// The old path when both halves are known; empty when it came from outside.
    [[nodiscard]] std::string moved_to(std::uint32_t cookie, std::string path, bool directory);
    /// Everything so far in order of first sight; lone halves included.
    [[nodiscard]] std::vector<Raw> take();
    [[nodiscard]] bool empty() const { return events_.empty() && halves_.empty(); }

  private:
    struct Half {
        std::uint32_t cookie;
        std::string path;
        bool directory;
    };
    using Events = std::list<Raw>;
    Events events_;
    std::unordered_map<std::string, Events::iterator> last_;  // of each path, while it can still be merged
    std::vector<Half> halves_;
};

}  // namespace execd::fs
