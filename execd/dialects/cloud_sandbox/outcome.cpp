#include "execd/dialects/cloud_sandbox/outcome.hpp"

#include <algorithm>
#include <charconv>

#include "execd/plain_text.hpp"

namespace execd::cloud_sandbox {

namespace {

using kernels::RunOutcome;

std::optional<std::int64_t> number_at(std::string_view text) {
    std::int64_t number = 0;
    auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || end == text.data()) return std::nullopt;
    return number;
}

int low_byte(std::int64_t number) { return static_cast<int>(number & 0xFF); }

// Python's rule for sys.exit(value): nothing is 0, a number is itself, anything else is printed.
int exit_of_python(std::string const& value, std::string& err) {
    if (value.empty() || value == "None" || value == "False") return 0;
    if (value == "True") return 1;
    if (auto const number = number_at(value);
        number && value.find_first_not_of("-0123456789") == std::string::npos)
        return low_byte(*number);
    err += value + "\n";
    return 1;
}

// IPython takes sys.exit() for a mistake of its user and says so on stderr; a program would not.
void drop_exit_hint(std::string& err) {
    auto const hint = err.find("UserWarning: To exit: use ");
    if (hint == std::string::npos) return;
    auto const newline = err.rfind('\n', hint);
    std::size_t const begin = newline == std::string::npos ? 0 : newline + 1;
    std::size_t end = err.find('\n', hint);
    end = end == std::string::npos ? err.size() : end + 1;
    if (err.compare(end, 7, "  warn(") == 0) {
        auto const next = err.find('\n', end);
        end = next == std::string::npos ? err.size() : next + 1;
    }
    err.erase(begin, end - begin);
}

void add_line(std::string& text, std::string_view line) {
    if (!text.empty() && !text.ends_with('\n')) text += '\n';
    text += line;
    text += '\n';
}

void add_traceback(std::string& err, kernels::ErrorOutput const& error) {
    std::string text;
    for (auto const& line : error.traceback) text += (text.empty() ? "" : "\n") + without_escapes(line);
    if (text.find(error.name) == std::string::npos)
        text += (text.empty() ? "" : "\n") + error.name + (error.value.empty() ? "" : ": ") + error.value;
    add_line(err, text);
}

// What the code raised; the native kernels' own names say how their interpreter ended.
int exit_of(kernels::ErrorOutput const& error, std::string& err) {
    if (error.name == "SystemExit") {
        drop_exit_hint(err);
        return exit_of_python(error.value, err);
    }
    if (error.name == "ExitStatus") return low_byte(number_at(error.value).value_or(1));
    if (error.name == "ShellExit") {
        for (auto const& line : error.traceback) add_line(err, "[execd: " + line + "]");
        return low_byte(number_at(error.value).value_or(1));
    }
    if (error.name == "InterpreterExit") {
        constexpr std::string_view kStatus = "exit status ";
        add_line(err, "[execd: " + error.value + "]");
        auto const at = error.value.find(kStatus);
        auto const number = at == std::string::npos
                                ? std::nullopt
                                : number_at(std::string_view(error.value).substr(at + kStatus.size()));
        return number ? low_byte(*number) : 1;
    }
    add_traceback(err, error);
    return 1;
}

void add_output(kernels::Output const& output, ExecuteAnswer& answer) {
    if (auto const* stream = std::get_if<kernels::StreamText>(&output)) {
        (stream->is_stderr ? answer.stderr_text : answer.stdout_text) += stream->text;
    } else if (auto const* gap = std::get_if<kernels::OutputGap>(&output)) {
        answer.dropped_bytes += gap->bytes;
    } else if (auto const* notice = std::get_if<kernels::Notice>(&output)) {
        add_line(answer.stderr_text, "[execd: " + notice->text + "]");
    }
}

}  // namespace

ExecuteAnswer code_answer(kernels::OutputLog::Page const& page, std::optional<RunOutcome> const& outcome) {
    ExecuteAnswer out;
    out.dropped_bytes = page.lost_bytes;
    for (auto const& entry : page.entries) add_output(*entry.output, out);
    if (!outcome || outcome->kind == RunOutcome::Kind::timed_out) {
        out.timed_out = true;
        out.exit_code = -1;
    } else if (outcome->kind == RunOutcome::Kind::error && outcome->error) {
        out.exit_code = exit_of(*outcome->error, out.stderr_text);
    } else if (outcome->kind != RunOutcome::Kind::ok) {
        out.exit_code = -1;
        out.error = outcome->why.empty() ? std::string(to_string(outcome->kind)) : outcome->why;
    }
    return out;
}

Times times_of(Duration limit) {
    using std::chrono::milliseconds;
    Duration const margin = std::min<Duration>(
        std::clamp<Duration>(limit / 10, milliseconds(250), std::chrono::seconds(2)), limit / 2);
    return {limit - margin, limit - margin / 2};
}

}  // namespace execd::cloud_sandbox
