#include "execd/config.hpp"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <cctype>
#include <cstdlib>

#include "execd/option_rows.hpp"
#include "execd/version.hpp"

namespace execd {

namespace {

// The original takes Go's spelling -flag as well as --flag (contracts/opensandbox.md §3.1).
std::vector<std::string> two_dashes(std::span<std::string const> args) {
    std::vector<std::string> out;
    bool options = true;
    for (auto const& arg : args) {
        options = options && arg != "--";
        bool const one = options && arg.size() > 2 && arg[0] == '-' && arg[1] != '-' &&
                         std::isalpha(static_cast<unsigned char>(arg[1])) != 0;
        out.push_back(one ? "-" + arg : arg);
    }
    return out;
}

Result<CommandLine> subcommand(std::span<std::string const> args) {
    static std::map<std::string, Command, std::less<>> const kNames = {{"doctor", Command::doctor},
                                                                       {"kernel", Command::kernel},
                                                                       {"fs-worker", Command::fs_worker},
                                                                       {"help", Command::help},
                                                                       {"version", Command::version}};
    CommandLine out;
    if (args.empty()) return out;
    if (auto const at = kNames.find(args.front()); at != kNames.end()) {
        out.command = at->second;
        out.rest.assign(args.begin() + 1, args.end());
    }
    return out;
}

}  // namespace

std::vector<OptionInfo> option_table() {
    std::vector<OptionInfo> out;
    for (auto const& option : option_rows()) out.push_back(option.info);
    return out;
}

std::string help_text() {
    std::string out =
        "execd " + std::string(version()) +
        " - one daemon inside a sandbox: commands, sessions, code, files and ports over HTTP\n\n"
        "usage: execd [options]                 serve (arguments that are no options are ignored)\n"
        "       execd [options] --init -- PROGRAM [ARGUMENT...]\n"
        "                                       the same as the first process of a container, with PROGRAM "
        "below it:\n"
        "                                       it gets TERM and INT, and its end and exit status are "
        "execd's\n"
        "       execd doctor [options]          say what works here and how to mend what does not\n"
        "       execd kernel list|install|NAME  Jupyter kernels of execd's own; execd kernel --help\n"
        "       execd --version | --help\n\n"
        "options (-name, --name; = or a space before the value) and their environment variables:\n";
    for (auto const& option : option_rows()) {
        auto const& info = option.info;
        std::string left = info.flag.empty()
                               ? "  (no flag)"
                               : "  --" + std::string(info.flag) + " " + std::string(info.value);
        left.resize(std::max<std::size_t>(left.size() + 2, 42), ' ');
        out += left + std::string(info.env) + "\n        " + std::string(info.doc);
        if (!info.initial.empty()) out += " [" + std::string(info.initial) + "]";
        out += "\n";
    }
    out +=
        "\nalso read: PATH and HOME; TMPDIR for private and temporary files; and where Jupyter looks for "
        "kernels: "
        "JUPYTER_PATH,\nJUPYTER_DATA_DIR, JUPYTER_PREFER_ENV_PATH, IPYTHONDIR, XDG_DATA_HOME, CONDA_PREFIX, "
        "CONDA_DEFAULT_ENV, PYTHONUSERBASE\n"
        "OPENSANDBOX_LIFECYCLE and EXECD_LIFECYCLE_CONFIG (hooks of a sandbox's maker) are not run, which is "
        "said, and hidden from\nwhat is started\n"
        "\nexit status: 0 after SIGTERM or SIGINT, 3 when requests were still running at the end of the "
        "drain time and had "
        "to be\ncut, 1 when it cannot start (doctor: something is broken), 2 for a wrong option or value\n";
    return out;
}

std::optional<std::string> process_environment(std::string_view name) {
    char const* value = std::getenv(std::string(name).c_str());
    return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

Result<CommandLine> parse_command_line(std::span<std::string const> args, EnvLookup env) {
    auto out = subcommand(args);
    if (!out) return out;
    if (out->command == Command::kernel || out->command == Command::fs_worker) return out;
    CLI::App app;
    app.set_help_flag();
    bool help = false;
    bool show_version = false;
    bool init = false;
    app.add_flag("-h,--help", help);
    app.add_flag("--version", show_version);
    app.add_flag("--init", init);
    app.allow_extras();
    app.prefix_command(out->command ==
                       Command::serve);  // like Go: options end at the first word that is none
    std::map<std::string_view, std::string> given;
    for (auto const& option : option_rows())
        if (!option.info.flag.empty())
            app.add_option("--" + std::string(option.info.flag), given[option.info.flag])
                ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
    auto words = two_dashes(out->command == Command::serve ? args : std::span(out->rest));
    // What follows `--` is the program of --init, else nobody's.
    auto const mark = std::find(words.begin(), words.end(), "--");
    std::vector<std::string> program(mark == words.end() ? mark : mark + 1, words.end());
    words.erase(mark, words.end());
    std::reverse(words.begin(), words.end());  // CLI11 takes them from the back
    try {
        app.parse(words);
    } catch (CLI::ParseError const& e) {
        return fail(Code::invalid_argument, e.what());
    }
    // What follows the first word that is no option is somebody else's ("-" and "--" are such words).
    if (auto const extras = app.remaining(); !extras.empty()) {
        std::string const& extra = extras.front();
        if (extra.starts_with('-') && extra != "-" && extra != "--")
            return fail(Code::invalid_argument, extra, "no such option, see --help");
    }
    if (init && out->command == Command::serve) {
        out->rest = program.empty() ? app.remaining() : std::move(program);
        if (out->rest.empty() && !help && !show_version)
            return fail(Code::invalid_argument, "--init", "needs a program: --init -- PROGRAM [ARGUMENT...]");
    }
    if (help) out->command = Command::help;
    if (show_version) out->command = Command::version;
    for (auto const& option : option_rows()) {
        bool const flagged = !option.info.flag.empty() && app.count("--" + std::string(option.info.flag)) > 0;
        std::optional<std::string> value;
        if (flagged)
            value = given[option.info.flag];
        else if (auto from_env = env(option.info.env); from_env && !from_env->empty())
            value = from_env;
        if (!value) continue;
        if (auto set = option.set(out->config, *value); !set)
            return fail(Code::invalid_argument,
                        flagged ? "--" + std::string(option.info.flag) : std::string(option.info.env),
                        set.error().detail);
    }
    // Half a key would leave the daemon open to everybody.
    auto const given_in = [env](char const* name) { return !env(name).value_or("").empty(); };
    if (given_in("EXECD_AGENTRUN_ACCESS_KEY_ID") != given_in("EXECD_AGENTRUN_ACCESS_KEY_SECRET"))
        return fail(Code::invalid_argument, "EXECD_AGENTRUN_ACCESS_KEY_ID",
                    "needs EXECD_AGENTRUN_ACCESS_KEY_SECRET, and that needs the id");
    if (out->config.listen.empty()) out->config.listen.emplace_back();
    if (out->config.listen.front().port == 0 && out->config.listen.front().unix_path.empty()) {
        bool const asked = app.count("--port") > 0 || env("EXECD_PORT").value_or("") != "";
        if (!asked) out->config.listen.front().port = 8080;
    }
    return out;
}

}  // namespace execd
