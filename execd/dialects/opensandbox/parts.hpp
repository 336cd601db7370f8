// What the files of this dialect share: the groups of routes, path expansion, Go's words for errors.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "base/error.hpp"
#include "execd/dialects/opensandbox/schemas.hpp"
#include "execd/http/route.hpp"
#include "execd/services.hpp"
#include "shell/environment.hpp"

namespace execd::opensandbox {

void add_commands(Services& services, std::vector<http::Row>& out);
void add_sessions(Services& services, std::vector<http::Row>& out);
void add_terminals(Services& services, std::vector<http::Row>& out);
void add_code(Services& services, std::vector<http::Row>& out);
void add_files(Services& services, std::vector<http::Row>& out);
void add_metrics(Services& services, std::vector<http::Row>& out);

/// Starts a command and answers its event stream (POST /command, and /code without a language).
[[nodiscard]] Task<Result<http::Answer>> start_command(Services& services, http::Call& call,
                                                       RunCommandRequest request);

/// Ends a session and forgets it. False: there is none of this id.
[[nodiscard]] Task<bool> end_session(Services& services, std::string id);

/// An absolute path: `~`, $NAME and ${NAME} expanded, relative to the daemon's directory (§1.0 "Path
/// expansion"). invalid_argument: "path references undefined environment variables: A,B" in `detail`.
[[nodiscard]] Result<std::string> expand(Services& services, std::string_view text,
                                         shell::Environment const& environment);
[[nodiscard]] inline Result<std::string> expand(Services& services, std::string_view text) {
    return expand(services, text, services.environment->daemon());
}

/// "no such file or directory": errno texts as Go prints them.
[[nodiscard]] std::string go_errno(int err);

/// A ready answer where a coroutine is asked for.
[[nodiscard]] Task<Result<http::Answer>> wrap(Result<http::Answer> answer);

}  // namespace execd::opensandbox
