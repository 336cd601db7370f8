#include "execd/option_rows.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/ip/address.hpp>
#include <cctype>
#include <charconv>
#include <cstdlib>
#include <sstream>

#include "execd/auth/jwt.hpp"
#include "execd/clone3_compat.hpp"

namespace execd {

namespace {

Failure wrong(std::string_view why) { return fail(Code::invalid_argument, "", std::string(why)); }

Result<std::uint64_t> whole_number(std::string const& text, std::uint64_t lo, std::uint64_t hi) {
    std::uint64_t n = 0;
    auto const [end, ec] = std::from_chars(text.data(), text.data() + text.size(), n);
    if (ec != std::errc() || end != text.data() + text.size() || n < lo || n > hi)
        return wrong("expected a whole number from " + std::to_string(lo) + " to " + std::to_string(hi));
    return n;
}

// "300ms", "2s", "1m30s" as Go writes durations; a bare number is seconds.
Result<Duration> duration(std::string const& text) {
    static constexpr std::pair<std::string_view, std::int64_t> kUnits[] = {{"ns", 1},
                                                                           {"us", 1'000},
                                                                           {"ms", 1'000'000},
                                                                           {"h", 3'600'000'000'000},
                                                                           {"m", 60'000'000'000},
                                                                           {"s", 1'000'000'000}};
    std::string_view rest = text;
    double total = 0;
    bool any = false;
    while (!rest.empty()) {
        std::size_t used = 0;
        while (used < rest.size() &&
               (std::isdigit(static_cast<unsigned char>(rest[used])) != 0 || rest[used] == '.'))
            ++used;
        double number = 0;
        auto const [end, ec] = std::from_chars(rest.data(), rest.data() + used, number);
        if (used == 0 || ec != std::errc() || end != rest.data() + used)
            return wrong("expected a duration such as 500ms, 10s or 1m30s");
        rest.remove_prefix(used);
        std::int64_t unit = rest.empty() ? 1'000'000'000 : 0;
        for (auto const& [name, ns] : kUnits) {
            if (!rest.starts_with(name) || (name == "m" && rest.starts_with("ms"))) continue;
            unit = ns;
            rest.remove_prefix(name.size());
            break;
        }
        if (unit == 0) return wrong("expected a duration such as 500ms, 10s or 1m30s");
        total += number * static_cast<double>(unit);
        any = true;
    }
    if (!any || total > 1e18) return wrong("expected a duration such as 500ms, 10s or 1m30s");
    return Duration(static_cast<std::int64_t>(total));
}

template <class T, T Config::*Member>
Result<void> set_number(Config& c, std::string const& v, std::uint64_t lo, std::uint64_t hi) {
    auto n = whole_number(v, lo, hi);
    if (!n) return Failure(n.error());
    c.*Member = static_cast<T>(*n);
    return {};
}

template <Duration Config::*Member>
Result<void> set_duration(Config& c, std::string const& v) {
    auto d = duration(v);
    if (!d) return Failure(d.error());
    c.*Member = *d;
    return {};
}

/// A secret as no request could carry it, or one that is trimmed to another (or to nothing, which would leave
/// the daemon open), is a mistake of whoever wrote it. Never shown.
Result<void> check_secret(Config&, std::string const& v) {
    bool const blank = !v.empty() && (v.front() == ' ' || v.back() == ' ');
    bool const control =
        std::any_of(v.begin(), v.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; });
    if (blank || control) return wrong("a secret has no line ends, control bytes or blanks at its ends");
    return {};
}

template <std::string Config::*Member>
Result<void> set_secret(Config& c, std::string const& v) {
    if (auto ok = check_secret(c, v); !ok) return ok;
    c.*Member = v;
    return {};
}

std::vector<std::string> comma_list(std::string_view text) {
    std::vector<std::string> out;
    while (!text.empty()) {
        auto const comma = text.find(',');
        std::string_view part = text.substr(0, comma);
        while (part.starts_with(' ')) part.remove_prefix(1);
        while (part.ends_with(' ')) part.remove_suffix(1);
        if (!part.empty()) out.emplace_back(part);
        text = comma == std::string_view::npos ? std::string_view() : text.substr(comma + 1);
    }
    return out;
}

Result<void> check_address(std::string const& host) {
    boost::system::error_code bad;
    if (!host.empty()) static_cast<void>(boost::asio::ip::make_address(host, bad));
    if (bad) return wrong("'" + host + "' is no numeric IPv4 or IPv6 address");
    return {};
}

Result<ListenAddress> listen_address(std::string const& text) {
    ListenAddress out;
    if (text.starts_with("unix:")) {
        out.unix_path = text.substr(5);
        if (out.unix_path.empty() || out.unix_path.size() > 107)
            return wrong("unix:PATH needs a path of 1 to 107 bytes");
        return out;
    }
    auto const colon = text.rfind(':');
    if (colon != std::string::npos) {
        out.host = text.substr(0, colon);
        if (out.host.starts_with('[') && out.host.ends_with(']'))
            out.host = out.host.substr(1, out.host.size() - 2);
        if (out.host == "*") out.host.clear();
    }
    if (auto ok = check_address(out.host); !ok) return Failure(ok.error());
    auto port = whole_number(colon == std::string::npos ? text : text.substr(colon + 1), 0, 65535);
    if (!port) return wrong("expected PORT, ADDRESS:PORT (numeric) or unix:PATH");
    out.port = static_cast<unsigned short>(*port);
    return out;
}

Result<void> set_port(Config& c, std::string const& v) {
    auto n = whole_number(v, 0, 65535);
    if (!n) return Failure(n.error());
    if (c.listen.empty()) c.listen.emplace_back();
    c.listen.front().port = static_cast<unsigned short>(*n);
    return {};
}

Result<void> set_host(Config& c, std::string const& v) {
    std::string const host = v == "*" ? "" : v;
    if (auto ok = check_address(host); !ok) return ok;
    if (c.listen.empty()) c.listen.emplace_back();
    c.listen.front().host = host;
    return {};
}

Result<void> add_listen(Config& c, std::string const& v) {
    for (auto const& part : comma_list(v)) {
        auto address = listen_address(part);
        if (!address) return Failure(address.error());
        if (c.listen.empty()) c.listen.emplace_back(ListenAddress{"", 8080, ""});
        c.listen.push_back(*address);
    }
    return {};
}

Result<void> set_level(Config& c, std::string const& v) {
    // Numbers as the original OpenSandbox daemon takes them (contracts/opensandbox.md §3.1).
    static std::map<std::string, log::Level> const kLevels = {
        {"debug", log::Level::debug}, {"info", log::Level::info}, {"warn", log::Level::warn},
        {"error", log::Level::error}, {"off", log::Level::off},   {"0", log::Level::error},
        {"1", log::Level::error},     {"2", log::Level::error},   {"3", log::Level::error},
        {"4", log::Level::warn},      {"5", log::Level::info},    {"6", log::Level::info},
        {"7", log::Level::debug}};
    auto at = kLevels.find(v);
    // Any whole number is one of its levels.
    int number = 0;
    auto const [end, ec] = std::from_chars(v.data(), v.data() + v.size(), number);
    if (ec == std::errc() && end == v.data() + v.size())
        at = kLevels.find(std::to_string(std::clamp(number, 0, 7)));
    if (at == kLevels.end())
        return wrong("expected debug, info, warn, error, off, or a whole number such as 6");
    c.log_level = at->second;
    return {};
}

// Every command would fail in it: better not to start.
Result<void> set_cwd(Config& c, std::string const& v) {
    struct stat st {};
    if (::stat(v.c_str(), &st) != 0) return wrong("cannot use " + v + ": " + errno_text(errno));
    if (!S_ISDIR(st.st_mode)) return wrong(v + " is not a directory");
    if (::access(v.c_str(), X_OK) != 0) return wrong("cannot enter " + v + ": " + errno_text(errno));
    c.cwd = v;
    return {};
}

// Made when the daemon starts, if only its last name is missing: a look at the command line makes nothing.
Result<void> set_state_dir(Config& c, std::string const& v) {
    struct stat st {};
    bool const there = ::stat(v.c_str(), &st) == 0;
    if (!there && errno != ENOENT) return wrong("cannot use " + v + ": " + errno_text(errno));
    if (there && !S_ISDIR(st.st_mode)) return wrong(v + " is not a directory");
    auto const slash = v.find_last_of('/');
    std::string const parent = slash == std::string::npos ? "." : v.substr(0, slash + 1);
    if (::access(there ? v.c_str() : parent.c_str(), W_OK | X_OK) != 0)
        return wrong("cannot " + std::string(there ? "write to " : "make ") + v + ": " + errno_text(errno));
    c.state_dir = v;
    return {};
}

// Only its last name may be missing; whether it can be written is seen when the daemon opens it.
Result<void> set_log_file(Config& c, std::string const& v) {
    struct stat st {};
    bool const there = ::stat(v.c_str(), &st) == 0;
    if (!there && errno != ENOENT) return wrong("cannot use " + v + ": " + errno_text(errno));
    if (there && S_ISDIR(st.st_mode)) return wrong(v + " is a directory");
    auto const slash = v.find_last_of('/');
    std::string const parent = slash == std::string::npos ? "." : v.substr(0, slash + 1);
    if (!there && ::access(parent.c_str(), F_OK) != 0)
        return wrong("cannot make " + v + ": " + errno_text(errno));
    c.log_file = v;
    return {};
}

Result<void> set_python(Config& c, std::string const& v) {
    struct stat st {};
    if (::stat(v.c_str(), &st) != 0) return wrong("cannot use " + v + ": " + errno_text(errno));
    if (!S_ISREG(st.st_mode) || ::access(v.c_str(), X_OK) != 0) return wrong(v + " is no program");
    c.python = v;
    return {};
}

Result<void> set_jwt_key(Config& c, std::string const& v) {
    if (auto key = auth::JwtVerifier::from_public_key(v); !key) return wrong(key.error().detail);
    c.jwt_public_key = v;
    return {};
}

Result<void> set_envs(Config& c, std::string const& v) {
    struct stat st {};
    if (::stat(v.c_str(), &st) == 0 && S_ISDIR(st.st_mode)) return wrong(v + " is a directory");
    c.envs_file = v;
    c.envs_file_defaulted = false;
    return {};
}

Result<void> set_prewarm(Config& c, std::string const& v) {
    c.prewarm = comma_list(v);
    for (auto const& language : c.prewarm)
        if (language != "python") return wrong("only python can be made ready, not '" + language + "'");
    return {};
}

Result<void> set_preload(Config& c, std::string const& v) {
    c.preload = comma_list(v);
    for (auto const& name : c.preload) {
        bool begins = true;  // a part of the dotted name
        for (unsigned char const letter : name) {
            bool const good = letter >= 0x80 || letter == '_' || std::isalpha(letter) != 0 ||
                              (!begins && (letter == '.' || std::isdigit(letter) != 0));
            if (!good) return wrong("'" + name + "' is no name of a Python module");
            begins = letter == '.';
        }
        if (begins) return wrong("'" + name + "' is no name of a Python module");
    }
    return {};
}

Result<void> set_origins(Config& c, std::string const& v) {
    c.allowed_origins = comma_list(v);
    for (std::string_view const origin : c.allowed_origins) {
        auto const mark = origin.find("://");
        bool const whole = mark != std::string_view::npos && mark > 0 && mark + 3 < origin.size() &&
                           origin.find_first_of("/?#@ ", mark + 3) == std::string_view::npos;
        if (!whole && origin != "*" && origin != "null")
            return wrong("'" + std::string(origin) +
                         "' is no origin such as https://console.example:8443, or *");
    }
    return {};
}

Result<void> set_cgroups(Config& c, std::string const& v) {
    if (v != "auto" && v != "off") return wrong("expected auto or off");
    c.cgroups = v == "auto";
    return {};
}

template <bool Config::*Member>
Result<void> set_switch(Config& c, std::string const& v) {
    bool const on = v == "on" || v == "1" || v == "true";
    if (!on && v != "off" && v != "0" && v != "false") return wrong("expected on or off");
    c.*Member = on;
    return {};
}

Result<void> set_jupyter_host(Config& c, std::string const& v) {
    if (!v.empty() && !v.starts_with("http://") && !v.starts_with("https://"))
        return wrong("expected a URL that begins with http:// or https://");
    c.kernels_may_come = !v.empty();
    return {};
}

Result<void> check_duration(Config&, std::string const& v) {
    auto d =
        duration(v.starts_with('-') ? v.substr(1) : v);  // the original takes what is below 0 for its default
    if (!d) return Failure(d.error());
    return {};
}

Result<void> set_terminators(Config& c, std::string const& v) {
    if (v == "auto")
        c.line_terminators = LineTerminators::by_client;
    else if (v == "keep")
        c.line_terminators = LineTerminators::keep;
    else if (v == "strip")
        c.line_terminators = LineTerminators::strip;
    else
        return wrong("expected auto, keep or strip");
    return {};
}

Result<void> set_browser(Config& c, std::string const& v) {
    if (v == "on-demand")
        c.browser.mode = BrowserMode::on_demand;
    else if (v == "boot")
        c.browser.mode = BrowserMode::boot;
    else if (v == "off")
        c.browser.mode = BrowserMode::off;
    else
        return wrong("expected on-demand, boot or off");
    return {};
}

Result<void> set_browser_size(Config& c, std::string const& v) {
    auto const cross = v.find('x');
    if (cross == std::string::npos) return wrong("expected WIDTHxHEIGHT, for instance 1280x1024");
    auto const width = whole_number(v.substr(0, cross), 320, 7680);
    auto const height = whole_number(v.substr(cross + 1), 240, 4320);
    if (!width || !height) return wrong("expected WIDTHxHEIGHT, 320x240 to 7680x4320");
    c.browser.width = static_cast<unsigned>(*width);
    c.browser.height = static_cast<unsigned>(*height);
    return {};
}

template <std::string BrowserConfig::*Member>
Result<void> set_browser_path(Config& c, std::string const& v) {
    if (!v.starts_with('/')) return wrong("expected an absolute path");
    c.browser.*Member = v;
    return {};
}

Result<void> set_browser_user(Config& c, std::string const& v) {
    c.browser.user = v;
    return {};
}

Result<void> set_browser_flags(Config& c, std::string const& v) {
    std::istringstream words(v);
    for (std::string word; words >> word;) {
        if (!word.starts_with("--")) return wrong("'" + word + "' does not begin with --");
        c.browser.flags.push_back(word);
    }
    return {};
}

Result<void> ignore(Config&, std::string const&) { return {}; }

// main acts on it, before there is a thread.
Result<void> check_clone3_compat(Config&, std::string const& v) {
    if (auto wanted = wants_clone3_compat(v); !wanted) return Failure(wanted.error());
    return {};
}

constexpr OptionRow kOptions[] = {
    {{"port", "EXECD_PORT", "N", "8080", "port of the main listener; 0 takes a free one"}, set_port},
    {{"host", "EXECD_HOST", "ADDRESS", "",
      "numeric address of the main listener; empty is every address, IPv4 and IPv6"},
     set_host},
    {{"listen", "EXECD_LISTEN", "LIST", "",
      "more listeners, comma separated: PORT, ADDRESS:PORT or unix:PATH"},
     add_listen},
    {{"access-token", "EXECD_ACCESS_TOKEN", "TEXT", "",
      "secret that every request must carry (X-EXECD-ACCESS-TOKEN and the other dialects' headers)"},
     set_secret<&Config::access_token>},
    {{"", "SANDBOX_API_KEY", "TEXT", "", "a second accepted secret, as an API key"},
     set_secret<&Config::api_key>},
    {{"", "JWT_PUBLIC_KEY", "PEM", "", "RSA public key whose RS256 tokens are accepted"}, set_jwt_key},
    {{"", "EXECD_AGENTRUN_ACCESS_KEY_ID", "TEXT", "",
      "with EXECD_AGENTRUN_ACCESS_KEY_SECRET: requests of AgentRun clients signed by this key are accepted"},
     check_secret},
    {{"", "EXECD_AGENTRUN_ACCESS_KEY_SECRET", "TEXT", "", "the secret of that key"}, check_secret},
    {{"allowed-origins", "EXECD_ALLOWED_ORIGINS", "LIST", "",
      "web origins besides our own that browsers may call from"},
     set_origins},
    {{"log-level", "EXECD_LOG_LEVEL", "LEVEL", "info",
      "debug, info, warn, error, off; or a number: 3 and less are error, 4 warn, 5 and 6 info, 7 and more "
      "debug"},
     set_level},
    {{"log-file", "EXECD_LOG_FILE", "PATH", "", "write the log there instead of to standard output"},
     set_log_file},
    {{"envs-file", "EXECD_ENVS", "PATH", "",
      "KEY=VALUE file read for every command; default is a file in the state directory"},
     set_envs},
    {{"cwd", "EXECD_CWD", "PATH", "", "directory in which commands start; default is the daemon's own"},
     set_cwd},
    {{"state-dir", "EXECD_STATE_DIR", "PATH", "",
      "private directory for spill files and sockets, made when it is missing; default below TMPDIR"},
     set_state_dir},
    {{"python", "EXECD_PYTHON", "PATH", "",
      "Python whose kernels are found first; default is python3 on PATH"},
     set_python},
    {{"prewarm", "EXECD_PREWARM", "LIST", "",
      "languages whose kernels are made ready at start, comma separated (python)"},
     set_prewarm},
    {{"ready-kernels", "EXECD_READY_KERNELS", "N", "1",
      "Python kernels that wait ready for the next context"},
     [](Config& c, std::string const& v) {
         return set_number<std::size_t, &Config::ready_kernels>(c, v, 0, 64);
     }},
    {{"preload", "EXECD_PRELOAD", "LIST", "",
      "modules that Python kernels find imported already, comma separated (numpy,pandas)"},
     set_preload},
    {{"max-contexts", "EXECD_MAX_CONTEXTS", "N", "128", "code contexts at once; more are refused"},
     [](Config& c, std::string const& v) {
         return set_number<std::size_t, &Config::max_contexts>(c, v, 1, 10'000);
     }},
    {{"context-idle-timeout", "EXECD_CONTEXT_IDLE_TIMEOUT", "DURATION", "0s",
      "end a code context that was not used for so long; 0 is never"},
     set_duration<&Config::context_idle_timeout>},
    {{"run-log-limit", "EXECD_RUN_LOG_LIMIT", "BYTES", "268435456",
      "memory for the outputs of all code runs together; the oldest are forgotten"},
     [](Config& c, std::string const& v) {
         return set_number<std::size_t, &Config::run_log_bytes>(c, v, 1 << 20, 1ULL << 40);
     }},
    {{"browser", "EXECD_BROWSER", "WHEN", "on-demand",
      "when Chromium and its desktop start: on-demand (at the first use), boot, or off"},
     set_browser},
    {{"browser-size", "EXECD_BROWSER_SIZE", "WxH", "1280x1024", "size of the desktop in pixels"},
     set_browser_size},
    {{"browser-program", "EXECD_BROWSER_PROGRAM", "PATH", "", "Chromium; default is chromium on PATH"},
     set_browser_path<&BrowserConfig::program>},
    {{"browser-profile", "EXECD_BROWSER_PROFILE", "PATH", "",
      "Chromium's profile directory; default below the state directory"},
     set_browser_path<&BrowserConfig::profile>},
    {{"browser-flags", "EXECD_BROWSER_FLAGS", "TEXT", "", "more flags of Chromium, separated by spaces"},
     set_browser_flags},
    {{"browser-user", "EXECD_BROWSER_USER", "NAME", "",
      "account of the desktop's programs under root; default is that of uid 1000, else nobody"},
     set_browser_user},
    {{"recordings", "EXECD_RECORDINGS", "PATH", "",
      "directory of the desktop's recordings; default below the state directory"},
     set_browser_path<&BrowserConfig::recordings>},
    {{"recording-limit", "EXECD_RECORDING_LIMIT", "BYTES", "2147483648",
      "bytes of all recordings together; the oldest are removed"},
     [](Config& c, std::string const& v) {
         auto n = whole_number(v, 1 << 20, 1ULL << 50);
         if (!n) return Result<void>(Failure(n.error()));
         c.browser.recording_bytes = *n;
         return Result<void>();
     }},
    {{"recording-age", "EXECD_RECORDING_AGE", "DURATION", "168h", "recordings older than that are removed"},
     [](Config& c, std::string const& v) {
         auto d = duration(v);
         if (!d) return Result<void>(Failure(d.error()));
         c.browser.recording_age = *d;
         return Result<void>();
     }},
    {{"cgroups", "EXECD_CGROUPS", "MODE", "auto",
      "auto: limits, out-of-memory verdicts and complete kills by cgroups where they may be written; off"},
     set_cgroups},
    {{"lifecycle", "EXECD_LIFECYCLE", "SWITCH", "on",
      "on: clients may create sandboxes (claims) here; off: somebody else made this one"},
     set_switch<&Config::lifecycle>},
    {{"exit-with-last-claim", "EXECD_EXIT_WITH_LAST_CLAIM", "SWITCH", "off",
      "on: the daemon ends, as at SIGTERM, when the last claim has ended"},
     set_switch<&Config::exit_with_last_claim>},
    {{"runtime-init", "EXECD_RUNTIME_INIT", "SWITCH", "off",
      "on: POST /internal/init is served (environment and start directory for what runs from then on)"},
     set_switch<&Config::runtime_init>},
    {{"max-connections", "EXECD_MAX_CONNECTIONS", "N", "20000", "connections at once; more are answered 503"},
     [](Config& c, std::string const& v) {
         return set_number<std::size_t, &Config::max_connections>(c, v, 1, 1'000'000);
     }},
    {{"upload-limit", "EXECD_UPLOAD_LIMIT", "BYTES", "1099511627776", "largest accepted upload"},
     [](Config& c, std::string const& v) {
         return set_number<std::uint64_t, &Config::upload_limit>(c, v, 1, 1ULL << 62);
     }},
    {{"slow-request", "EXECD_SLOW_REQUEST", "DURATION", "5s",
      "log requests whose answer took longer to begin; 0: none"},
     set_duration<&Config::slow_request>},
    {{"drain-timeout", "EXECD_DRAIN_TIMEOUT", "DURATION", "10s",
      "how long SIGTERM waits for running requests"},
     set_duration<&Config::drain>},
    {{"graceful-shutdown-timeout", "EXECD_API_GRACE_SHUTDOWN", "DURATION", "0s",
      "keep a finished command's event stream open that long (the original's tail; not needed by any "
      "client)"},
     set_duration<&Config::stream_tail>},
    {{"line-terminators", "EXECD_LINE_TERMINATORS", "WHAT", "auto",
      "line ends in the events of a command: keep them (contract 1.1), strip them (before), auto: as the "
      "client's SDK expects"},
     set_terminators},
    {{"", "EXECD_CLONE3_COMPAT", "SWITCH", "off",
      "on, or reexec: clone3 is unknown (ENOSYS) to execd and all it starts, for programs that take its "
      "refusal for a failure; no new privileges then, so no sudo"},
     check_clone3_compat},
    {{"jupyter-host", "JUPYTER_HOST", "URL", "",
      "that server is not used (kernels are driven directly), but where one is named POST /code/context "
      "waits for kernels that are still being installed"},
     set_jupyter_host},
    {{"jupyter-token", "JUPYTER_TOKEN", "TEXT", "", "accepted for compatibility, see --jupyter-host"},
     ignore},
    {{"jupyter-idle-poll-interval", "EXECD_JUPYTER_IDLE_POLL_INTERVAL", "DURATION", "100ms",
      "accepted for compatibility: nothing is polled"},
     check_duration},
};

}  // namespace

std::span<OptionRow const> option_rows() { return kOptions; }

}  // namespace execd
