#include <charconv>

#include "execd/dialects/own/contexts.hpp"

namespace execd::own {

namespace {

wire::Policy const& policy() {
    static wire::Policy const kPolicy = [] {
        wire::Policy p;
        p.reject_unknown = true;
        p.null_is_absent = true;
        p.empty_body_is_object = true;
        return p;
    }();
    return kPolicy;
}

struct ItemOf {
    template <class Out>
    static Out begun(kernels::OutputLog::Entry const& entry) {
        Out out;
        out.number = entry.number;
        out.at = stamp_of(entry.at);
        return out;
    }
    kernels::OutputLog::Entry const& entry;

    OutputItem operator()(kernels::StreamText const& o) const {
        auto out = begun<StreamOut>(entry);
        out.name = o.is_stderr ? "stderr" : "stdout";
        out.text = o.text;
        return out;
    }
    OutputItem operator()(kernels::ExecuteResult const& o) const {
        auto out = begun<ResultOut>(entry);
        out.execution_count = o.count;
        out.data = o.data;
        out.metadata = o.metadata;
        return out;
    }
    OutputItem operator()(kernels::DisplayData const& o) const {
        auto out = begun<DisplayOut>(entry);
        out.display_id = o.display_id;
        out.update = o.update;
        out.data = o.data;
        out.metadata = o.metadata;
        return out;
    }
    OutputItem operator()(kernels::ClearOutput const& o) const {
        auto out = begun<ClearOut>(entry);
        out.wait = o.wait;
        return out;
    }
    OutputItem operator()(kernels::ErrorOutput const& o) const {
        auto out = begun<ErrorOut>(entry);
        out.name = o.name;
        out.value = o.value;
        out.traceback = o.traceback;
        return out;
    }
    OutputItem operator()(kernels::StatusChange const& o) const {
        auto out = begun<StatusOut>(entry);
        out.state = o.state;
        return out;
    }
    OutputItem operator()(kernels::ExecuteInput const& o) const {
        auto out = begun<CountOut>(entry);
        out.execution_count = o.count;
        return out;
    }
    OutputItem operator()(kernels::InputRequest const& o) const {
        auto out = begun<PromptOut>(entry);
        out.prompt = o.prompt;
        out.password = o.password;
        return out;
    }
    OutputItem operator()(kernels::CommOutput const& o) const {
        auto out = begun<CommOut>(entry);
        out.message = o.type;
        out.comm_id = o.comm_id;
        out.target_name = o.target;
        out.data = o.data;
        out.metadata = o.metadata;
        for (auto const& buffer : o.buffers) out.buffers.push_back({buffer});
        return out;
    }
    OutputItem operator()(kernels::OutputGap const& o) const {
        auto out = begun<GapOut>(entry);
        out.outputs = o.events;
        out.bytes = o.bytes;
        out.why = o.why;
        return out;
    }
    OutputItem operator()(kernels::Notice const& o) const {
        auto out = begun<NoticeOut>(entry);
        out.text = o.text;
        return out;
    }
};

OutcomeInfo described(kernels::RunOutcome const& outcome) {
    OutcomeInfo out;
    out.kind = to_string(outcome.kind);
    out.why = outcome.why;
    if (!outcome.cause.empty()) out.cause = outcome.cause;
    if (outcome.kind == kernels::RunOutcome::Kind::failed) out.code = std::string(to_string(outcome.code));
    if (outcome.error)
        out.error = ErrorInfo{outcome.error->name, outcome.error->value, outcome.error->traceback};
    out.payload = outcome.payload;
    out.user_expressions = outcome.user_expressions;
    out.incomplete = outcome.incomplete;
    return out;
}

}  // namespace

wire::Timestamp stamp_of(WallTime at) { return {std::chrono::time_point_cast<std::chrono::nanoseconds>(at)}; }

Task<Result<void>> read_request(http::Call& call, wire::Ops const& ops, void* out) {
    std::string body;
    if (wire::wants_body(ops)) {
        auto read = co_await call.body->read_all(call.row->body_limit);
        if (!read) co_return tl::unexpected(read.error());
        body = *std::move(read);
    }
    std::vector<wire::TextPair> path;
    std::vector<wire::TextPair> query;
    std::vector<wire::TextPair> headers;
    for (auto const& [name, value] : call.params) path.push_back({name, value});
    for (auto const& [name, value] : call.query()) query.push_back({name, value});
    if (auto const last = call.header("Last-Event-ID")) headers.push_back({"Last-Event-ID", *last});
    wire::Sources from;
    from.body_text = body;
    from.path = path;
    from.query = query;
    from.headers = headers;
    wire::Faults faults;
    if (wire::decode(ops, out, from, policy(), faults)) co_return Result<void>();
    std::string text;
    for (auto const& fault : faults) {
        if (!text.empty()) text += "; ";
        text += wire::dotted(fault.loc) + ": " + fault.message;
    }
    co_return fail(Code::invalid_argument, "", text);
}

Result<std::shared_ptr<kernels::Context>> context_of(Services& services, http::Call& call) {
    auto context = services.contexts->find(call.param("id"));
    if (!context) return fail(Code::not_found, "", "no context " + call.param("id"));
    return context;
}

RunInfo described(kernels::Context const& context, kernels::Run& run) {
    RunInfo out;
    out.id = run.id();
    out.context = run.context_id();
    out.state = to_string(run.state());
    if (auto const position = context.position(run.id())) out.position = *position;
    out.created_at = stamp_of(run.created());
    if (auto const at = run.started()) out.started_at = stamp_of(*at);
    if (auto const at = run.finished()) out.finished_at = stamp_of(*at);
    out.execution_count = run.execution_count();
    out.outputs = run.log().size();
    if (auto const& input = run.input()) out.input = PromptInfo{input->prompt, input->password};
    if (run.state() == kernels::RunState::finished) out.outcome = described(run.outcome());
    return out;
}

OutputItem item_of(kernels::OutputLog::Entry const& entry) {
    return std::visit(ItemOf{entry}, *entry.output);
}

OutputItem gap_of(kernels::OutputLog::Page const& page, Clock const& clock) {
    GapOut out;
    out.number = page.entries.empty() ? page.next : page.entries.front().number;
    if (out.number > 0) --out.number;
    out.at = stamp_of(page.entries.empty() ? clock.wall() : page.entries.front().at);
    out.outputs = page.lost_events;
    out.bytes = page.lost_bytes;
    out.why = "more was output than is kept";
    return out;
}

namespace {
OutputPage page_of(kernels::OutputLog::Page const& page, Clock const& clock) {
    OutputPage out;
    if (page.lost_events > 0) out.outputs.push_back(gap_of(page, clock));
    for (auto const& entry : page.entries) out.outputs.push_back(item_of(entry));
    out.next = page.next;
    out.end = page.end;
    return out;
}

}  // namespace

http::Row& RowTable::add(std::string method, std::string path, std::string id, std::string doc,
                         std::vector<http::Row::Status> statuses) {
    http::Row& row = rows_.emplace_back();
    row.tag = tag_;
    row.method = std::move(method);
    row.path = "/execd/v1/" + prefix_ + path;
    row.operation_id = std::move(id);
    row.doc = std::move(doc);
    row.statuses = std::move(statuses);
    return row;
}

http::Row& RowTable::add_with_body(wire::Ops const& body, std::string method, std::string path,
                                   std::string id, std::string doc, std::vector<http::Row::Status> statuses) {
    auto& row = add(std::move(method), std::move(path), std::move(id), std::move(doc), std::move(statuses));
    row.body = http::BodyPolicy::json;
    row.request = &body;
    return row;
}

Task<http::Answer> page_answer(Services& services, std::shared_ptr<kernels::OutputLog> log,
                               std::uint64_t from, OutputsQuery query) {
    auto& clock = services.loop.clock();
    auto const until = Deadline::in(clock, std::chrono::milliseconds(query.wait_ms));
    if (query.wait_ms > 0) co_await log->wait(from, clock, until);
    co_return json_answer(page_of(log->read(from, query.limit), clock));
}

bool wants_events(http::Call const& call) {
    return call.header("Accept").value_or("").find("text/event-stream") != std::string_view::npos;
}

Result<std::uint64_t> start_of(OutputsQuery const& query) {
    if (!query.last_event_id || query.last_event_id->empty()) return query.from.value_or(0);
    std::string const& text = *query.last_event_id;
    std::uint64_t number = 0;
    auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || end != text.data() + text.size() || number == UINT64_MAX)
        return fail(Code::invalid_argument, "", "Last-Event-ID is not the number of an output");
    return number + 1;
}

}  // namespace execd::own
