#include "execd/claim_work.hpp"

#include <algorithm>
#include <cmath>

#include "base/digest.hpp"
#include "execd/child_environment.hpp"
#include "execd/http/fields.hpp"
#include "kernels/contexts.hpp"
#include "shell/executions.hpp"
#include "shell/shell_text.hpp"

namespace execd {

namespace {

constexpr std::size_t kMostOutput = 16U << 20;  // of one stream, in one answer
constexpr auto kGrace = std::chrono::seconds(2);

/// A client that went has no use for its command: what it prints reaches nobody.
struct StopCommand {
    std::shared_ptr<shell::Execution> run;
    ~StopCommand() {
        if (run && run->running()) run->request_stop(kGrace);
    }
};

struct StopCode {
    std::shared_ptr<kernels::Context> context;
    std::shared_ptr<kernels::Run> run;
    ~StopCode() {
        if (run->state() != kernels::RunState::finished) (void)context->cancel(run->id());
    }
};

void collect(shell::Batch const& batch, CommandEnd& into) {
    for (auto const& slice : batch.slices) {
        std::string& to = slice.stream == shell::Stream::err ? into.err : into.out;
        std::size_t const room = kMostOutput - std::min(kMostOutput, to.size());
        to += slice.bytes.substr(0, room);
        into.dropped += slice.lost + slice.bytes.size() - std::min(room, slice.bytes.size());
    }
}

Result<void> check_variables(Variables const& variables) {
    for (auto const& [name, value] : variables)
        if (name.empty() || name.find_first_of(std::string_view("=\0", 2)) != std::string::npos ||
            value.find('\0') != std::string::npos)
            return fail(Code::invalid_argument, "", "no environment variable: " + name);
    return {};
}

}  // namespace

std::string caller_of(http::Call const& call) {
    auto const& who = call.principal;
    if (!who.dialect.empty()) return "user:" + who.name;
    if (who.name != http::Principal().name) return "credential:" + who.name;
    for (std::string_view const name : {"Authorization", "X-API-KEY", "X-EXECD-ACCESS-TOKEN"})
        if (auto const value = call.header(name); value && !value->empty())
            return "key:" + hex(sha256(*value)).substr(0, 32);
    return "anonymous";
}

Duration bounded(double given) {
    constexpr double kLongest = 3e18;  // nanoseconds, about a century
    if (!(given > 0)) return Duration::zero();
    return Duration(static_cast<std::int64_t>(std::ceil(std::min(given, kLongest))));
}

Result<void> set_shell_text(Services& services, shell::ExecutionSpec& spec, std::string text) {
    auto const shell = shell::find_shell(services.environment->make());
    spec.text = text;
    auto command = shell::shell_command(shell, std::move(text));
    if (!command) return Failure(command.error());
    spec.argv = std::move(command->argv);
    spec.direct = std::move(command->direct);
    spec.fds = std::move(command->fds);
    spec.owned = std::move(command->owned);
    return {};
}

Task<Result<CommandEnd>> run_command(Services& services, claims::Claim const& claim,
                                     shell::ExecutionSpec spec, Variables const& more, Deadline until) {
    if (auto good = check_variables(more); !good) co_return Failure(good.error());
    shell::Environment environment = services.environment->make();
    environment.overlay(claim.env());
    environment.overlay(more);
    environment.set("PWD", spec.cwd);
    spec.env = environment.list();
    spec.owner = claim.id();
    spec.label = "command";
    std::string const cwd = spec.cwd;
    auto started = co_await services.executions->start(std::move(spec));
    if (!started) co_return Failure(started.error());
    CommandEnd end;
    end.run = *started;
    StopCommand const stop{*started};
    {
        shell::Cursor cursor = end.run->journal().reader({.until = shell::Until::verdict});
        shell::Batch batch;
        for (;;) {
            auto const next = co_await cursor.next(batch, until);
            end.ended = next != shell::Next::timed_out;
            if (next != shell::Next::data) break;
            collect(batch, end);
        }
    }
    if (!end.ended && until.passed(services.loop.clock())) co_return end;
    end.ended = co_await end.run->ended(Deadline::never());
    if (!end.ended) co_return fail(Code::cancelled, "command");
    auto const* failed = std::get_if<shell::FailedToStart>(&end.verdict().ending);
    if (failed != nullptr && failed->step == shell::Step::cwd)
        co_return fail(Code::invalid_argument, "", cwd + ": " + errno_text(failed->error));
    co_return end;
}

kernels::ContextSpec claim_context_spec(claims::Claim const& claim, std::string language, std::string cwd) {
    kernels::ContextSpec spec;
    spec.language = std::move(language);
    spec.cwd = std::move(cwd);
    spec.owner = claim.id();
    for (auto const& [name, value] : claim.env()) spec.env[name] = value;
    return spec;
}

Failure no_context(Error error) {
    if (error.where == "kernel.find") error.code = Code::invalid_argument;
    return Failure(std::move(error));
}

Task<Result<std::shared_ptr<kernels::Context>>> claim_context(Services& services, claims::Claim const& claim,
                                                              std::string language, std::string cwd) {
    language = kernels::canonical_language(language);
    std::string const id = claim.id() + "-" + language;
    if (auto known = services.contexts->find(id); known && known->generation() > 0) co_return known;
    auto spec = claim_context_spec(claim, std::move(language), std::move(cwd));
    spec.id = id;
    auto made = co_await services.contexts->create_or_attach(std::move(spec));
    if (!made) co_return no_context(made.error());
    co_return std::move(made->context);
}

Task<Result<CodeEnd>> run_code(Services& services, std::shared_ptr<kernels::Context> context,
                               kernels::RunSpec spec, Deadline until) {
    if (auto good = check_variables(spec.env); !good) co_return Failure(good.error());
    auto run = context->submit(std::move(spec));
    if (!run) co_return Failure(run.error());
    CodeEnd end{context, *run};
    StopCode const stop{context, *run};
    end.ended = co_await end.run->wait(services.loop.clock(), until);
    if (!end.ended && !until.passed(services.loop.clock())) co_return fail(Code::cancelled, "execute");
    co_return end;
}

Task<void> do_work(Services& services, std::size_t weight, std::function<void()> work) {
    constexpr std::size_t kInline = 128U << 10;
    if (weight <= kInline) {
        work();
        co_return;
    }
    auto done = [&work] {
        work();
        return true;
    };
    (void)co_await services.loop.pool().run(Lane::bulk, done);
}

}  // namespace execd
