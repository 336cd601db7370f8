// Workspace: where clients work that name no directory: /workspace, made at the first use, or a directory of
// the same name in the daemon's home where that cannot be made (then paths below /workspace mean that one).
//
// Thread: the reactor. Owner: a dialect's state.
#pragma once
#include <string>

#include "base/error.hpp"
#include "base/task.hpp"
#include "execd/services.hpp"

namespace execd {

class Workspace {
  public:
    explicit Workspace(Services& services) : services_(&services) {}
    Workspace(Workspace const&) = delete;
    Workspace& operator=(Workspace const&) = delete;

    /// Errors: what making both said of the second.
    [[nodiscard]] Task<Result<std::string>> directory();
    /// Absolute and cleaned; a relative one starts in the workspace. invalid_argument: empty, or with NUL.
    [[nodiscard]] Task<Result<std::string>> path_of(std::string text);
    /// The same for a working directory, made when it is missing; empty: the workspace.
    [[nodiscard]] Task<Result<std::string>> made(std::string text);

  private:
    Services* services_;
    std::string directory_{};
};

}  // namespace execd
