// The supervisor of this image, as the configuration wants it.
#pragma once
#include <memory>

#include "base/loop.hpp"
#include "browser_proxy/supervisor.hpp"
#include "execd/config.hpp"
#include "shell/environment.hpp"
#include "shell/executions.hpp"

namespace execd::browser {

/// Null when it is switched off. `home` is where its files are kept unless the configuration says so.
[[nodiscard]] std::unique_ptr<browser_proxy::Supervisor> make_supervisor(Loop& loop,
                                                                         shell::Executions& executions,
                                                                         BrowserConfig const& config,
                                                                         shell::Environment const& base,
                                                                         std::string home);

}  // namespace execd::browser
