// /code* (contracts/opensandbox.md §1.6, §2, §10, §13).
#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/log.hpp"
#include "execd/claims/claims.hpp"
#include "execd/dialects/opensandbox/bodies.hpp"
#include "execd/dialects/opensandbox/claims.hpp"
#include "execd/dialects/opensandbox/dialect.hpp"
#include "execd/dialects/opensandbox/events.hpp"
#include "execd/dialects/opensandbox/parts.hpp"
#include "execd/http/wire/json_text.hpp"
#include "fs/executor.hpp"
#include "fs/ops.hpp"
#include "kernels/contexts.hpp"

namespace execd::opensandbox {

using http::Answer;
using http::Call;

namespace {

constexpr auto kPingEvery = std::chrono::seconds(3);
constexpr auto kGather = std::chrono::milliseconds(1);
// For kernels that an image installs while it starts (§10).
constexpr Duration kInstallTime = std::chrono::seconds(60);
constexpr Duration kFirstPause = std::chrono::milliseconds(500);
constexpr Duration kLongestPause = std::chrono::seconds(5);

unsigned status_of(Error const& error) { return error.code == Code::unavailable ? 503 : 500; }

Answer code_failure(std::string_view before, Error const& error) {
    return refusal(status_of(error), code::kRuntime, std::string(before) + error.message());
}

// A MIME bundle with string values (the Go SDK takes nothing else), and text/plain under both of its names
// (§10).
std::string results_of(kernels::Json const& data) {
    std::string out = "{";
    auto const add = [&out](std::string_view name, std::string_view text) {
        if (out.size() > 1) out += ',';
        wire::append_json_string(out, name, wire::Escape::line_separators);
        out += ':';
        wire::append_json_string(out, text, wire::Escape::line_separators);
    };
    for (auto const& [mime, value] : data.items()) {
        std::string text;
        if (value.is_string())
            text = value.get<std::string>();
        else
            wire::append_json(text, value);
        if (mime == "text/plain") add("text", text);
        add(mime, text);
    }
    return out + "}";
}

class CodeStream final : public http::Producer {
  public:
    CodeStream(Services& services, std::shared_ptr<kernels::Context> context,
               std::shared_ptr<kernels::Run> run)
        : clock_(services.loop.clock()), context_(std::move(context)), run_(std::move(run)) {}

    Task<Result<void>> produce(http::Writer& writer) override {
        std::string& out = writer.out();
        TimePoint const begun = clock_.now();
        event::Stamp const now = event::stamp(clock_);
        event::init(out, context_->id(), now);
        event::ping(out, now);
        Deadline ping = Deadline::in(clock_, kPingEvery);
        bool greeted = false;
        std::uint64_t from = 0;
        for (;;) {
            Deadline const until = greeted ? ping : Deadline::in(clock_, kGather);
            bool const woken = co_await run_->log().wait(from, clock_, until);
            if (!woken && greeted) {
                event::ping(out, event::stamp(clock_));
                ping = Deadline::in(clock_, kPingEvery);
            }
            bool const end = woken && append_page(from, out);
            if (end) break;
            greeted = true;
            auto sent = co_await writer.flush();
            if (!sent) co_return sent;
        }
        // Outputs end before the outcome is known: the terminal event is the last.
        bool const ended = co_await run_->wait(clock_, Deadline::never());
        if (ended) append_end(out, clock_.now() - begun);
        co_return Result<void>();
    }

  private:
    bool append_page(std::uint64_t& from, std::string& out) {
        auto page = run_->log().read(from);
        event::Stamp const now = event::stamp(clock_);
        if (page.lost_events > 0)
            event::text(
                out, "stderr",
                "[execd: " + std::to_string(page.lost_bytes) + " bytes of output were dropped here]\n", now);
        for (auto const& entry : page.entries) append_output(*entry.output, now, out);
        from = page.next;
        return page.end;
    }

    void append_output(kernels::Output const& output, event::Stamp now, std::string& out) {
        if (auto const* stream = std::get_if<kernels::StreamText>(&output)) {
            event::text(out, stream->is_stderr ? "stderr" : "stdout", stream->text, now);
        } else if (auto const* result = std::get_if<kernels::ExecuteResult>(&output)) {
            event::execution_count(out, result->count, now);
            event::result(out, results_of(result->data), now);
        } else if (auto const* display = std::get_if<kernels::DisplayData>(&output)) {
            event::result(out, results_of(display->data), now);
        } else if (auto const* gap = std::get_if<kernels::OutputGap>(&output)) {
            event::text(out, "stderr",
                        "[execd: " + std::to_string(gap->bytes) +
                            " bytes of output were dropped here: " + gap->why + "]\n",
                        now);
        } else if (auto const* notice = std::get_if<kernels::Notice>(&output)) {
            event::text(out, "stderr", "[execd: " + notice->text + "]\n", now);
        }
    }

    void append_end(std::string& out, Duration took) const {
        event::Stamp const now = event::stamp(clock_);
        kernels::RunOutcome const& outcome = run_->outcome();
        if (outcome.kind == kernels::RunOutcome::Kind::ok)
            return event::complete(out, std::chrono::duration_cast<std::chrono::milliseconds>(took).count(),
                                   now);
        event::status(out, "error", now);
        if (outcome.error)
            return event::error(out, outcome.error->name, outcome.error->value, outcome.error->traceback,
                                now);
        std::string const name = outcome.kind == kernels::RunOutcome::Kind::kernel_died ? "KernelDied"
                                 : outcome.kind == kernels::RunOutcome::Kind::cancelled ? "KeyboardInterrupt"
                                 : outcome.kind == kernels::RunOutcome::Kind::timed_out ? "TimeoutError"
                                                                                        : "RuntimeError";
        event::error(out, name, outcome.why, std::span(&outcome.why, outcome.why.empty() ? 0 : 1), now);
    }

    Clock& clock_;
    std::shared_ptr<kernels::Context> context_;
    std::shared_ptr<kernels::Run> run_;
};

bool is_kernel_language(std::string_view language) {
    for (std::string_view known : {"bash", "python", "java", "javascript", "typescript", "go"})
        if (language == known) return true;
    return false;
}

void put_claim(Services& services, Call const& call, kernels::ContextSpec& spec) {
    spec.owner = claim_id(call);
    if (auto const claim = services.claims->find(spec.owner))
        for (auto const& [name, value] : claim->env()) spec.env[name] = value;
}

/// A claim's default context has the claim's environment; its id makes it one for all that ask.
Task<Result<std::shared_ptr<kernels::Context>>> default_context(Services& services, Call const& call,
                                                                std::string language) {
    kernels::ContextSpec spec;
    put_claim(services, call, spec);
    if (spec.owner.empty()) co_return co_await services.contexts->default_for(std::move(language));
    spec.id = spec.owner + "." + language;
    spec.language = std::move(language);
    auto attached = co_await services.contexts->create_or_attach(std::move(spec));
    if (!attached) co_return Failure(attached.error());
    co_return std::move(attached->context);
}

std::shared_ptr<kernels::Context> find_context(Services& services, Call const& call, std::string const& id) {
    auto context = services.contexts->find(id);
    if (context && !sees(call, context->spec().owner)) return nullptr;
    return context;
}

Task<Result<Answer>> run_code(Services& services, Call& call) {
    RunCodeRequest request;
    if (auto refused = co_await read_body(call, request)) co_return std::move(*refused);
    std::string const language = request.context.language;
    // §0.11: no language means a shell command, even with a context id.
    if (language.empty() || language == "command" || language == "background-command") {
        RunCommandRequest command;
        command.command = std::move(request.code);
        command.background = language == "background-command";
        co_return co_await start_command(services, call, std::move(command));
    }
    if (language == "sql")
        co_return refusal(501, code::kNotSupported,
                          "error running codes sql is not supported here: use a client inside a command");
    if (!is_kernel_language(language))
        co_return refusal(500, code::kRuntime,
                          "error running codes unknown language: " + language +
                              " (known: bash, python, java, javascript, typescript, go)");
    std::shared_ptr<kernels::Context> context;
    if (!request.context.id.empty()) {
        context = find_context(services, call, request.context.id);
        if (!context) co_return refusal(500, code::kRuntime, "error running codes context not found");
    } else {
        auto made = co_await default_context(services, call, language);
        if (!made) co_return code_failure("error running codes ", made.error());
        context = std::move(*made);
    }
    kernels::RunSpec spec;
    spec.code = std::move(request.code);
    auto run = context->submit(std::move(spec));
    if (!run) co_return code_failure("error running codes ", run.error());
    auto answer = Answer::stream("text/event-stream",
                                 std::make_unique<CodeStream>(services, std::move(context), std::move(*run)));
    answer.headers.set("Cache-Control", "no-cache");
    answer.headers.set("X-Accel-Buffering", "no");
    co_return answer;
}

/// The images that name a Jupyter Server install their kernels in the background while they start (§4):
/// there a language without one is asked for again until it has one, at most kInstallTime. Elsewhere, and for
/// every other error, the answer is known at once.
Task<Result<std::shared_ptr<kernels::Context>>> create_when_installed(Services& services,
                                                                      kernels::ContextSpec spec) {
    bool const may_come = services.config.kernels_may_come;
    Clock& clock = services.loop.clock();
    Deadline const end = Deadline::in(clock, kInstallTime);
    for (Duration pause = kFirstPause;; pause = std::min(pause * 3 / 2, kLongestPause)) {
        kernels::ContextSpec wanted = spec;
        auto made = co_await services.contexts->create(std::move(wanted));
        bool const missing =
            !made && made.error().code == Code::unavailable && made.error().where == "kernel.find";
        if (!missing || !may_come || end.passed(clock) || services.readiness.stopping) co_return made;
        if (pause == kFirstPause) log::info("context.waits_for_kernel", {{"language", spec.language}});
        (void)co_await clock.sleep_until(earliest(Deadline::in(clock, pause), end));
    }
}

Task<Result<Answer>> create_context(Services& services, Call& call) {
    CodeContextRequest request;
    if (auto refused = co_await read_body(call, request)) co_return std::move(*refused);
    static constexpr std::string_view kBefore = "error creating code context. ";
    if (request.language == "sql")
        co_return refusal(501, code::kNotSupported,
                          std::string(kBefore) + "sql is not supported here: use a client inside a command");
    if (!is_kernel_language(request.language))
        co_return refusal(500, code::kRuntime,
                          std::string(kBefore) + "unknown language: " + request.language +
                              " (known: bash, python, java, javascript, typescript, go)");
    kernels::ContextSpec spec;
    put_claim(services, call, spec);
    spec.language = request.language;
    if (!request.cwd.empty()) {
        auto path = expand(services, request.cwd);
        if (!path) co_return refusal(500, code::kRuntime, std::string(kBefore) + path.error().detail);
        fs::MakeDirectory make(*path);
        auto made = co_await services.files->run(std::move(make));
        if (!made) co_return code_failure(kBefore, made.error());
        spec.cwd = *path;
    }
    auto context = co_await create_when_installed(services, std::move(spec));
    if (!context) co_return code_failure(kBefore, context.error());
    CodeContext body;
    body.id = (*context)->id();
    body.language = kernels::canonical_language(request.language);
    body.cwd = request.cwd;
    co_return json(to_json(body));
}

CodeContext described(kernels::Context const& context) {
    CodeContext out;
    out.id = context.id();
    out.language = kernels::canonical_language(context.kernelspec().language);
    return out;
}

Result<Answer> list_contexts(Services& services, Call& call) {
    std::string_view const language = call.query_value("language").value_or("");
    if (language == "sql" || language == "command" || language == "background-command")
        return refusal(500, code::kRuntime,
                       "unsupported language context operation: " + std::string(language));
    CodeContexts list;
    for (auto const& context : services.contexts->list(language, claim_id(call)))
        list.push_back(described(*context));
    return json(to_json(list));
}

Result<Answer> get_context(Services& services, Call& call) {
    auto const context = find_context(services, call, call.param("id"));
    if (!context) return refusal(404, code::kContextNotFound, "context " + call.param("id") + " not found");
    return json(to_json(described(*context)));
}

Task<Result<Answer>> delete_context(Services& services, Call& call) {
    bool const visible = find_context(services, call, call.param("id")) != nullptr;
    Result<void> done = fail(Code::not_found, "context");
    if (visible) done = co_await services.contexts->remove(call.param("id"));
    if (done) co_return Answer::empty();
    if (done.error().code == Code::not_found)
        co_return refusal(404, code::kContextNotFound, "context " + call.param("id") + " not found");
    co_return refusal(500, code::kRuntime,
                      "error deleting code context " + call.param("id") + ". " + done.error().message());
}

Task<Result<Answer>> delete_contexts(Services& services, Call& call) {
    auto const language = call.query_value("language");
    if (!language || language->empty())
        co_return refusal(400, code::kQuery, "missing query parameter 'language'");
    std::vector<std::string> ids;
    // Without a claim: what belongs to none.
    std::string const claim = claim_id(call);
    for (auto const& context : services.contexts->list(*language, claim))
        if (!claim.empty() || !services.claims->find(context->spec().owner)) ids.push_back(context->id());
    for (auto const& id : ids) {
        auto done = co_await services.contexts->remove(id);
        if (!done && done.error().code != Code::not_found)
            co_return refusal(500, code::kRuntime,
                              "error deleting code context " + id + ". " + done.error().message());
    }
    co_return Answer::empty();
}

}  // namespace

void add_code(Services& services, std::vector<http::Row>& out) {
    Services* s = &services;
    auto const add = [&out](std::string method, std::string path, std::string id,
                            std::string doc) -> http::Row& {
        http::Row& row = out.emplace_back();
        row.tag = "CodeInterpreting";
        row.method = std::move(method);
        row.path = std::move(path);
        row.operation_id = std::move(id);
        row.doc = std::move(doc);
        row.on_disconnect = http::OnDisconnect::keep;
        return row;
    };
    {
        auto& row =
            add("POST", "/code", "runCode", "Runs code in a context; outputs and end as an event stream.");
        row.body = http::BodyPolicy::json;
        row.body_limit = 64U << 20;
        row.request = &wire::Codec<RunCodeRequest>::ops;
        row.statuses = {{200, nullptr, "text/event-stream", "Events"}};
        row.invoke = [s](Call& call) { return run_code(*s, call); };
    }
    {
        auto& row = add("POST", "/code/context", "createContext", "Creates a code context.");
        row.body = http::BodyPolicy::json;
        row.request = &wire::Codec<CodeContextRequest>::ops;
        row.statuses = {{200, &wire::Codec<CodeContext>::ops, "application/json", "The context"}};
        // Nobody else would learn the id.
        row.on_disconnect = http::OnDisconnect::cancel;
        row.invoke = [s](Call& call) { return create_context(*s, call); };
    }
    {
        auto& row = add("GET", "/code/contexts", "listContexts", "Contexts, of one language or all.");
        row.statuses = {{200, &wire::Codec<CodeContexts>::ops, "application/json", "Contexts"}};
        row.sync = [s](Call& call) { return list_contexts(*s, call); };
    }
    add("DELETE", "/code/contexts", "deleteContextsByLanguage", "Ends all contexts of a language.").invoke =
        [s](Call& call) { return delete_contexts(*s, call); };
    {
        auto& row = add("GET", "/code/contexts/{id}", "getContext", "One context.");
        row.statuses = {{200, &wire::Codec<CodeContext>::ops, "application/json", "The context"}};
        row.sync = [s](Call& call) { return get_context(*s, call); };
    }
    add("DELETE", "/code/contexts/{id}", "deleteContext", "Ends a context.").invoke = [s](Call& call) {
        return delete_context(*s, call);
    };
}

}  // namespace execd::opensandbox
