#include "execd/dialects/agentrun/execute.hpp"

#include "execd/http/wire/json_text.hpp"

namespace execd::agentrun {

namespace {

using kernels::RunOutcome;

std::string text_of(kernels::Json const& value) {
    if (value.is_string()) return value.get<std::string>();
    std::string out;
    wire::append_json(out, value);
    return out;
}

class Builder {
  public:
    void add(kernels::Output const& output) {
        if (auto const* stream = std::get_if<kernels::StreamText>(&output)) {
            add_stream(stream->is_stderr ? "stderr" : "stdout", stream->text);
            (stream->is_stderr ? answer_.stderr_text : answer_.stdout_text) += stream->text;
        } else if (auto const* result = std::get_if<kernels::ExecuteResult>(&output)) {
            add_result(result->data).execution_count = result->count;
        } else if (auto const* display = std::get_if<kernels::DisplayData>(&output)) {
            add_result(display->data);
        } else if (auto const* gap = std::get_if<kernels::OutputGap>(&output)) {
            add_notice(std::to_string(gap->bytes) + " bytes of output were dropped here: " + gap->why);
        } else if (auto const* notice = std::get_if<kernels::Notice>(&output)) {
            add_notice(notice->text);
        }
    }

    // No stderr item: to some clients that alone is a failure (§1.8).
    void add_notice(std::string const& text) {
        std::string const line = "[execd: " + text + "]";
        add_item("notice").text = line;
        answer_.stderr_text += line + "\n";
    }

    ExecuteAnswer finish(RunOutcome const& outcome) {
        for (auto& item : answer_.results)
            if ((item.type == "stdout" || item.type == "stderr") && item.text->ends_with('\n'))
                item.text->pop_back();
        answer_.status = "ok";
        if (outcome.kind == RunOutcome::Kind::timed_out) {
            answer_.status = "timeout";
            add_item("timeout").text = outcome.why.empty() ? "the execution timed out" : outcome.why;
        } else if (outcome.kind != RunOutcome::Kind::ok) {
            answer_.status = "error";
        }
        if (outcome.kind != RunOutcome::Kind::ok) {
            answer_.exit_code = 1;
            add_error(outcome);
        }
        add_item("endOfExecution").status = answer_.status;
        return std::move(answer_);
    }

  private:
    ResultItem& add_item(std::string type) {
        ResultItem& item = answer_.results.emplace_back();
        item.type = std::move(type);
        return item;
    }

    // Pieces of one stream are one item: clients join items by line ends (§4.3).
    void add_stream(std::string_view type, std::string const& text) {
        bool const more = !answer_.results.empty() && answer_.results.back().type == type;
        if (!more) add_item(std::string(type)).text.emplace();
        *answer_.results.back().text += text;
    }

    ResultItem& add_result(kernels::Json const& data) {
        ResultItem& item = add_item("result");
        auto& bundle = item.data.emplace();
        for (auto const& [type, value] : data.items()) {
            if (type == "text/plain") item.text = text_of(value);
            std::string& text = bundle[type].text;
            text.clear();
            wire::append_json(text, value);
        }
        return item;
    }

    void add_error(RunOutcome const& outcome) {
        kernels::ErrorOutput error;
        if (outcome.error) error = *outcome.error;
        if (outcome.kind == RunOutcome::Kind::timed_out) {
            error.name = "TimeoutError";
            error.value = outcome.why.empty() ? "the execution timed out" : outcome.why;
        } else if (!outcome.error) {
            error.name = outcome.kind == RunOutcome::Kind::kernel_died ? "KernelDied"
                         : outcome.kind == RunOutcome::Kind::cancelled ? "KeyboardInterrupt"
                                                                       : "RuntimeError";
            error.value = outcome.why;
        }
        std::string text;
        for (auto const& line : error.traceback) {
            if (!text.empty()) text += '\n';
            text += without_escapes(line);
        }
        std::string const summary = error.name + (error.value.empty() ? "" : ": ") + error.value;
        if (text.find(error.name) == std::string::npos) text += (text.empty() ? "" : "\n") + summary;
        if (!answer_.stderr_text.empty() && !answer_.stderr_text.ends_with('\n')) answer_.stderr_text += '\n';
        answer_.stderr_text += text + "\n";
        ResultItem& item = add_item("error");
        item.name = std::move(error.name);
        item.value = std::move(error.value);
        item.traceback = std::move(error.traceback);
        item.text = std::move(text);
    }

    ExecuteAnswer answer_;
};

}  // namespace

std::string without_escapes(std::string_view text) {
    std::string out;
    while (!text.empty()) {
        auto const escape = text.find('\x1b');
        out += text.substr(0, escape);
        if (escape == std::string_view::npos) break;
        text.remove_prefix(escape + 1);
        if (!text.starts_with('[')) continue;
        std::size_t end = 1;
        while (end < text.size() && (text[end] < '@' || text[end] > '~')) ++end;
        text.remove_prefix(std::min(text.size(), end + 1));
    }
    return out;
}

ExecuteAnswer execute_answer(kernels::OutputLog::Page const& page, RunOutcome const& outcome) {
    Builder builder;
    if (page.lost_events > 0)
        builder.add_notice(std::to_string(page.lost_bytes) + " bytes of output were dropped here");
    for (auto const& entry : page.entries) builder.add(*entry.output);
    return builder.finish(outcome);
}

}  // namespace execd::agentrun
