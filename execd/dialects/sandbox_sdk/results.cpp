#include "execd/dialects/sandbox_sdk/results.hpp"

#include <nlohmann/json.hpp>

#include "execd/http/wire/json_text.hpp"
#include "execd/plain_text.hpp"

namespace execd::sandbox_sdk {

namespace {

using kernels::RunOutcome;

class Builder {
  public:
    void add(kernels::Output const& output) {
        if (auto const* stream = std::get_if<kernels::StreamText>(&output)) {
            (stream->is_stderr ? err_ : out_) += stream->text;
        } else if (auto const* result = std::get_if<kernels::ExecuteResult>(&output)) {
            add_result(result->data, {}).is_main_result = true;
            answer_.execution_count = result->count;
        } else if (auto const* display = std::get_if<kernels::DisplayData>(&output)) {
            if (display->update)
                update(*display);
            else
                add_result(display->data, display->display_id);
        } else if (auto const* gap = std::get_if<kernels::OutputGap>(&output)) {
            add_notice(std::to_string(gap->bytes) + " bytes of output were dropped here: " + gap->why);
        } else if (auto const* notice = std::get_if<kernels::Notice>(&output)) {
            add_notice(notice->text);
        }
    }

    void add_notice(std::string const& text) {
        if (!err_.empty() && !err_.ends_with('\n')) err_ += '\n';
        err_ += "[execd: " + text + "]\n";
    }

    ExecuteAnswer finish(RunOutcome const& outcome) {
        answer_.logs.stdout_lines = lines_of(out_);
        answer_.logs.stderr_lines = lines_of(err_);
        if (outcome.kind != RunOutcome::Kind::ok) answer_.error = error_of(outcome);
        if (outcome.execution_count > 0) answer_.execution_count = outcome.execution_count;
        answer_.execution_count_camel = answer_.execution_count;
        return std::move(answer_);
    }

  private:
    static void fill(ResultBody& result, kernels::Json const& data) {
        for (auto const& [mime, value] : data.items()) {
            auto* const place = place_of(result, mime);
            if (place == nullptr || *place) continue;
            std::string& text = place->emplace().text;
            text.clear();
            wire::append_json(text, value);
        }
    }

    ResultBody& add_result(kernels::Json const& data, std::string const& display_id) {
        if (!display_id.empty()) displays_[display_id] = answer_.results.size();
        ResultBody& result = answer_.results.emplace_back();
        fill(result, data);
        return result;
    }

    // Of a display of an earlier run nothing is here that could be changed: then it is a result of its own.
    void update(kernels::DisplayData const& display) {
        auto const known = displays_.find(display.display_id);
        if (known == displays_.end()) {
            add_result(display.data, display.display_id);
            return;
        }
        ResultBody fresh;
        fill(fresh, display.data);
        answer_.results[known->second] = std::move(fresh);
    }

    static ErrorBody error_of(RunOutcome const& outcome) {
        ErrorBody out;
        if (outcome.error) {
            out.name = outcome.error->name;
            out.value = outcome.error->value;
            for (auto const& line : outcome.error->traceback)
                out.traceback += (out.traceback.empty() ? "" : "\n") + without_escapes(line);
        } else {
            out.name = outcome.kind == RunOutcome::Kind::kernel_died ? "KernelDied"
                       : outcome.kind == RunOutcome::Kind::cancelled ? "KeyboardInterrupt"
                       : outcome.kind == RunOutcome::Kind::timed_out ? "TimeoutError"
                                                                     : "RuntimeError";
            out.value = outcome.why;
        }
        if (out.traceback.empty()) out.traceback = out.name + (out.value.empty() ? "" : ": ") + out.value;
        return out;
    }

    ExecuteAnswer answer_;
    std::string out_;
    std::string err_;
    std::map<std::string, std::size_t> displays_;
};

struct Known {
    std::string_view mime;
    std::optional<wire::JsonText> ResultBody::*place;
};

constexpr Known kKnown[] = {
    {"text/plain", &ResultBody::text},
    {"text/html", &ResultBody::html},
    {"text/markdown", &ResultBody::markdown},
    {"image/svg+xml", &ResultBody::svg},
    {"image/png", &ResultBody::png},
    {"image/jpeg", &ResultBody::jpeg},
    {"application/pdf", &ResultBody::pdf},
    {"text/latex", &ResultBody::latex},
    {"application/json", &ResultBody::json},
    {"application/javascript", &ResultBody::javascript},
    {"text/javascript", &ResultBody::javascript},
    // Tables and charts have no MIME type of everybody's: those that pandas, Plotly, Altair and the code
    // interpreters give them.
    {"application/vnd.dataresource+json", &ResultBody::data},
    {"e2b/data", &ResultBody::data},
    {"application/vnd.plotly.v1+json", &ResultBody::chart},
    {"e2b/chart", &ResultBody::chart},
};

}  // namespace

std::optional<wire::JsonText>* place_of(ResultBody& result, std::string_view mime) {
    for (auto const& known : kKnown)
        if (known.mime == mime) return &(result.*known.place);
    // application/vnd.vegalite.v5+json, application/vnd.vega.v5+json: any version.
    for (std::string_view const family : {"application/vnd.vegalite.v", "application/vnd.vega.v"})
        if (mime.starts_with(family) && mime.ends_with("+json")) return &result.chart;
    return nullptr;
}

ExecuteAnswer execute_answer(kernels::OutputLog::Page const& page, RunOutcome const& outcome) {
    Builder builder;
    if (page.lost_events > 0)
        builder.add_notice(std::to_string(page.lost_bytes) + " bytes of output were dropped here");
    for (auto const& entry : page.entries) builder.add(*entry.output);
    return builder.finish(outcome);
}

}  // namespace execd::sandbox_sdk
