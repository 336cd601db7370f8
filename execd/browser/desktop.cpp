#include "execd/browser/desktop.hpp"

namespace execd::browser {

std::unique_ptr<browser_proxy::Supervisor> make_supervisor(Loop& loop, shell::Executions& executions,
                                                           BrowserConfig const& config,
                                                           shell::Environment const& base, std::string home) {
    if (config.mode == BrowserMode::off) return nullptr;
    browser_proxy::Options options;
    options.width = config.width;
    options.height = config.height;
    if (!config.program.empty()) options.program = config.program;
    options.home = home;
    options.profile = config.profile.empty() ? home + "/profile" : config.profile;
    options.flags = config.flags;
    options.recording.directory = config.recordings.empty() ? home + "/recordings" : config.recordings;
    options.recording.bytes = config.recording_bytes;
    options.recording.age = config.recording_age;
    auto launcher = std::make_unique<browser_proxy::ExecutionLauncher>(
        executions, base, browser_proxy::choose_account(config.user), std::move(home));
    return std::make_unique<browser_proxy::Supervisor>(loop, std::move(launcher), std::move(options));
}

}  // namespace execd::browser
