// Config: every flag and environment variable of the daemon, from one table (config.cpp), which also makes
// --help. A flag wins over its variable. A wrong value is refused at start with the name, the value's fault
// and what is accepted; values of secrets are never shown.
#pragma once
#include <chrono>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/error.hpp"
#include "base/log.hpp"

namespace execd {

struct ListenAddress {
    std::string host;         // empty: every address, IPv4 and IPv6
    unsigned short port = 0;  // 0: any free one
    std::string unix_path;    // not empty: a unix socket instead
};

/// Whether a line of a command's event stream keeps its terminator.
enum class LineTerminators { by_client, keep, strip };

/// Chromium and the desktop: at the first use, when the daemon starts, or never.
enum class BrowserMode { on_demand, boot, off };

struct BrowserConfig {
    BrowserMode mode = BrowserMode::on_demand;
    unsigned width = 1280;  // pixels
    unsigned height = 1024;
    std::string program;             // empty: chromium on PATH
    std::string profile;             // directory; empty: below the state directory
    std::string user;                // the account of the desktop's programs; empty: chosen
    std::vector<std::string> flags;  // more of Chromium's own
    std::string recordings;          // directory; empty: below the state directory
    std::uint64_t recording_bytes = 2ULL << 30;
    Duration recording_age = std::chrono::hours(24 * 7);
};

struct Config {
    std::vector<ListenAddress> listen;
    std::string access_token;
    std::string api_key;
    std::string jwt_public_key;  // PEM
    log::Level log_level = log::Level::info;
    std::string log_file;
    std::string envs_file;
    bool envs_file_defaulted = true;
    Duration drain = std::chrono::seconds(10);
    Duration slow_request = std::chrono::seconds(5);  // 0: none is logged as slow
    Duration stream_tail = Duration::zero();          // how long a finished event stream stays open
    LineTerminators line_terminators = LineTerminators::by_client;
    std::size_t max_connections = 20'000;
    std::uint64_t max_body = 1U << 30;  // bytes of one JSON body kept in memory is much less, see the rows
    std::uint64_t upload_limit = 1ULL << 40;
    std::vector<std::string> prewarm;
    std::string cwd;        // start directory of executions; empty: the daemon's own
    std::string state_dir;  // for spill files and sockets; empty: chosen at start
    std::string python;     // interpreter to look for kernels with; empty: PATH
    std::vector<std::string> allowed_origins;
    std::size_t max_contexts = 128;
    Duration context_idle_timeout = Duration::zero();  // 0: never
    std::size_t ready_kernels = 1;
    std::vector<std::string> preload;  // modules of Python kernels
    std::size_t run_log_bytes = std::size_t{256} << 20;
    bool cgroups = true;    // use them where they may be written
    bool lifecycle = true;  // clients may create sandboxes (claims) here
    bool exit_with_last_claim = false;
    bool runtime_init = false;      // POST /internal/init is served
    bool kernels_may_come = false;  // an image of OpenSandbox's, which installs them while it starts
    BrowserConfig browser{};
};

enum class Command { serve, doctor, help, version, kernel, fs_worker };

struct CommandLine {
    Command command = Command::serve;
    Config config;
    std::vector<std::string>
        rest;  // arguments of a subcommand; ignored by serve (images append their own command)
};

using EnvLookup = std::optional<std::string> (*)(std::string_view name);

/// `args` without the program's name. Code::invalid_argument names the option; exit status 2.
[[nodiscard]] Result<CommandLine> parse_command_line(std::span<std::string const> args, EnvLookup env);
/// The text of --help.
[[nodiscard]] std::string help_text();
[[nodiscard]] std::optional<std::string> process_environment(std::string_view name);
/// One row of the table, for docs and tests.
struct OptionInfo {
    std::string_view flag;
    std::string_view env;
    std::string_view value;
    std::string_view initial;
    std::string_view doc;
};
[[nodiscard]] std::vector<OptionInfo> option_table();

}  // namespace execd
