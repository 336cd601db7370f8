// Templates: what a sandbox is made from. There is one image, so a template says a language and carries what
// its author wrote. Three are built in; created ones are their author's and live as long as the daemon.
//
// Thread: the reactor.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/error.hpp"

namespace execd::sandbox_sdk {

struct Template {
    std::string id{};
    std::string name{};
    std::string config = "{}";  // JSON text of an object
    std::string language = "python";
    std::string author{};  // empty: built in, everybody's
    std::optional<WallTime> created{};
};

class Templates {
  public:
    Templates();
    /// The id is made here. exhausted: there are too many.
    [[nodiscard]] Result<Template const*> add(Template made);
    /// Null: unknown, or somebody else's.
    [[nodiscard]] Template const* find(std::string_view id, std::string_view user) const;
    /// The built-in ones first.
    [[nodiscard]] std::vector<Template const*> list(std::string_view user) const;

  private:
    static constexpr std::size_t kMost = 1000;
    std::vector<Template> all_;
};

}  // namespace execd::sandbox_sdk
