#include "shell/login_environment.hpp"

#include <unistd.h>

#include "shell/shell_text.hpp"

namespace execd::shell {

namespace {
Environment parse_null_separated(std::string_view text) {
    std::vector<std::string> entries;
    while (!text.empty()) {
        auto const end = text.find('\0');
        entries.emplace_back(text.substr(0, end));
        text.remove_prefix(std::min(text.size(), entries.back().size() + 1));
    }
    Environment out(entries);
    for (auto const* name : {"_", "SHLVL", "PWD", "OLDPWD", "EXECD_EXECUTION"}) out.unset(name);
    return out;
}
}  // namespace

Task<Result<Environment>> login_environment(Executions& executions, Environment base,
                                            std::optional<Identity> identity, Deadline deadline) {
    auto answer = anonymous_file({});
    if (!answer) co_return tl::unexpected(answer.error());
    ExecutionSpec spec;
    spec.argv = {find_shell(base).path, "-l", "-c", "env -0 >&9"};
    spec.env = base.list();
    spec.identity = std::move(identity);
    spec.fds = {{answer->get(), 9}};
    spec.label = "login";
    auto started = co_await executions.start(std::move(spec));
    if (!started) co_return tl::unexpected(started.error());
    auto const run = *started;
    bool const ended = co_await run->ended(deadline);
    if (!ended) {
        run->request_stop({});
        co_return fail(Code::timed_out, "login", "the profile did not end");
    }
    std::string text;
    char buffer[16384];
    for (ssize_t n = 0;
         (n = ::pread(answer->get(), buffer, sizeof buffer, static_cast<off_t>(text.size()))) > 0;)
        text.append(buffer, static_cast<std::size_t>(n));
    (void)executions.remove(run->id());
    if (text.empty()) co_return fail(Code::unavailable, "login", run->verdict()->text());
    co_return parse_null_separated(text);
}

}  // namespace execd::shell
