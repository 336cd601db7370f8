// Working directories of requests (contracts/opensandbox.md §1.0 "Path expansion", §1.2, §1.7, §1.9).
#pragma once
#include <string>

#include "base/task.hpp"
#include "execd/services.hpp"
#include "shell/environment.hpp"

namespace execd::opensandbox {

struct WorkingDirectory {
    std::string path;     // absolute
    std::string refused;  // why not, in the contract's words; empty: it is fine
};

/// Expands `text` with the names in `environment`; it must be there and be a directory.
[[nodiscard]] Task<WorkingDirectory> existing_directory(Services& services, std::string text,
                                                        shell::Environment const& environment);
/// Expands `text`, and makes what is missing of it.
[[nodiscard]] Task<WorkingDirectory> made_directory(Services& services, std::string text,
                                                    shell::Environment const& environment);

}  // namespace execd::opensandbox
