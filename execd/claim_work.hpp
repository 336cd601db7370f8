// What dialects do for a claim whose clients want a whole answer: commands run to their end, code run in the
// claim's own context of a language. The claim owns what is started here and goes on top of the environment.
//
// Thread: the reactor. Everything is cancelled with the coroutine that waits: the client went.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.hpp"
#include "base/task.hpp"
#include "execd/claims/claims.hpp"
#include "execd/http/route.hpp"
#include "execd/services.hpp"
#include "kernels/context.hpp"
#include "shell/execution.hpp"

namespace execd {

using Variables = std::map<std::string, std::string>;

/// Who asks, as a text that is the same for the same credential: minted tokens by their subject, others by
/// their name; where nothing is protected a client is known by the key that it brings, if it brings one.
[[nodiscard]] std::string caller_of(http::Call const& call);

/// `given` nanoseconds from a client as a Duration: at most a century, so that sums stay in range.
[[nodiscard]] Duration bounded(double given);

struct CommandEnd {
    std::shared_ptr<shell::Execution> run;
    std::string out;  // with merged output: both streams
    std::string err;
    /// Output beyond 16 MiB of a stream, and what the journal lost.
    std::uint64_t dropped = 0;
    /// False: it had not ended by `until` (its own time stands still while its claim is paused); it was told
    /// to stop, and there is no verdict yet.
    bool ended = true;
    [[nodiscard]] shell::Verdict const& verdict() const { return *run->verdict(); }
};
/// Starts it for the claim and waits for its end (spec.timeout limits it). `more` goes over the claim's
/// environment. invalid_argument: a variable's name, or a directory that cannot be entered.
[[nodiscard]] Task<Result<CommandEnd>> run_command(Services& services, claims::Claim const& claim,
                                                   shell::ExecutionSpec spec, Variables const& more,
                                                   Deadline until = Deadline::never());
/// Shell text as `spec.argv` and what belongs to it.
[[nodiscard]] Result<void> set_shell_text(Services& services, shell::ExecutionSpec& spec, std::string text);

/// The claim's context of a language, made at the first use. invalid_argument: there is no such kernel.
[[nodiscard]] Task<Result<std::shared_ptr<kernels::Context>>> claim_context(Services& services,
                                                                            claims::Claim const& claim,
                                                                            std::string language,
                                                                            std::string cwd);
/// A context's spec with what the claim gives it.
[[nodiscard]] kernels::ContextSpec claim_context_spec(claims::Claim const& claim, std::string language,
                                                      std::string cwd);
/// An unknown language is the client's mistake and no outage.
[[nodiscard]] Failure no_context(Error error);

struct CodeEnd {
    std::shared_ptr<kernels::Context> context;
    std::shared_ptr<kernels::Run> run;
    /// False: it had not ended by `until`; it was told to stop.
    bool ended = false;
};
[[nodiscard]] Task<Result<CodeEnd>> run_code(Services& services, std::shared_ptr<kernels::Context> context,
                                             kernels::RunSpec spec, Deadline until);

/// Does `work` here, or on the pool when it makes more than 128 KiB (about): nothing holds the reactor.
[[nodiscard]] Task<void> do_work(Services& services, std::size_t weight, std::function<void()> work);

}  // namespace execd
