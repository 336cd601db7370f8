// Bodies of /execd/v1/contexts and /execd/v1/runs (docs/own-api-contexts.md). Times are RFC 3339, durations
// whole milliseconds.
#pragma once
#include <boost/describe/class.hpp>
#include <boost/describe/enum.hpp>

#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "execd/http/wire/describe.hpp"

namespace execd::own {

// ---- requests

struct KernelLimits {
    std::optional<std::uint64_t> memory;
    std::optional<std::uint64_t> pids;
    std::optional<double> cpu;
};
BOOST_DESCRIBE_STRUCT(KernelLimits, (), (memory, pids, cpu))
constexpr auto wire_notes(KernelLimits const*) {
    return wire::notes({{.field = "memory", .doc = "Bytes", .min = 4096},
                        {.field = "pids", .doc = "Processes and threads", .min = 1},
                        {.field = "cpu", .doc = "Cores", .min = 0, .exclusive_min = true}});
}

struct ContextRequest {
    std::optional<std::string> id;
    std::string language = "python";
    std::string cwd;
    std::map<std::string, std::string> env;
    std::optional<std::uint32_t> uid;
    std::optional<std::uint32_t> gid;
    KernelLimits limits;
    std::optional<std::int64_t> idle_timeout_ms;
    std::int64_t heartbeat_timeout_ms = 0;
    bool revive = true;
};
BOOST_DESCRIBE_STRUCT(ContextRequest, (),
                      (id, language, cwd, env, uid, gid, limits, idle_timeout_ms, heartbeat_timeout_ms,
                       revive))
constexpr auto wire_notes(ContextRequest const*) {
    return wire::notes(
        {{.field = "id",
          .doc = "Chosen by the caller; made here when absent",
          .pattern = "^[\\w.:-]{1,128}$"},
         {.field = "language",
          .doc = "A language, its alias, or a kernelspec",
          .min_len = 1,
          .defaulted = true},
         {.field = "cwd", .doc = "Absolute directory of the kernel; must exist", .defaulted = true},
         {.field = "env", .doc = "Over the environment of every kernel", .defaulted = true},
         {.field = "uid", .doc = "Account of the kernel"},
         {.field = "gid", .doc = "Group of the kernel; needs uid"},
         {.field = "limits", .doc = "Of the kernel and all that it starts (cgroup)", .defaulted = true},
         {.field = "idle_timeout_ms", .doc = "Ended after so long without use; 0 is never", .min = 0},
         {.field = "heartbeat_timeout_ms",
          .doc = "A kernel that leaves heartbeats unanswered for so long during a run is killed; 0 is never",
          .min = 0,
          .defaulted = true},
         {.field = "revive", .doc = "After a death the next run gets a fresh kernel", .defaulted = true}});
}

enum class Leave { keep, interrupt };
BOOST_DESCRIBE_ENUM(Leave, keep, interrupt)

struct RunRequest {
    std::optional<std::string> id;
    std::optional<std::string> context;
    std::optional<std::string> language;
    std::string code;
    std::optional<std::string> cwd;
    std::map<std::string, std::string> env;
    std::int64_t timeout_ms = 0;
    bool allow_stdin = false;
    bool store_history = true;
    bool silent = false;
    std::map<std::string, std::string> user_expressions;
    Leave on_disconnect = Leave::keep;
    std::int64_t wait_ms = 0;
};
BOOST_DESCRIBE_STRUCT(RunRequest, (),
                      (id, context, language, code, cwd, env, timeout_ms, allow_stdin, store_history, silent,
                       user_expressions, on_disconnect, wait_ms))
constexpr auto wire_notes(RunRequest const*) {
    return wire::notes(
        {{.field = "id",
          .doc = "Chosen by the caller; made here when absent",
          .pattern = "^[\\w.:-]{1,128}$"},
         {.field = "context", .doc = "Id of a context; absent: the default one of the language"},
         {.field = "language", .doc = "Of the default context; python when absent"},
         {.field = "cwd", .doc = "Directory of this run only"},
         {.field = "env", .doc = "Environment of this run only", .defaulted = true},
         {.field = "timeout_ms",
          .doc = "From its start: then it is interrupted, 5 s later its kernel is killed; 0 is never",
          .min = 0,
          .defaulted = true},
         {.field = "allow_stdin", .doc = "Whether input() asks the client", .defaulted = true},
         {.field = "store_history", .defaulted = true},
         {.field = "silent", .doc = "Neither counted nor displayed", .defaulted = true},
         {.field = "user_expressions", .doc = "Evaluated after the code, by name", .defaulted = true},
         {.field = "on_disconnect",
          .doc = "What becomes of the run when this client goes away",
          .defaulted = true},
         {.field = "wait_ms",
          .doc = "Answer when it has finished, or after so long",
          .min = 0,
          .max = 3'600'000,
          .defaulted = true}});
}

struct ListQuery {
    std::string language;
    std::string context;
    std::string state;
};
BOOST_DESCRIBE_STRUCT(ListQuery, (), (language, context, state))
constexpr auto wire_notes(ListQuery const*) {
    return wire::notes({{.field = "language", .place = wire::Place::query, .defaulted = true},
                        {.field = "context", .place = wire::Place::query, .defaulted = true},
                        {.field = "state",
                         .doc = "queued, running or finished",
                         .place = wire::Place::query,
                         .defaulted = true}});
}

struct OutputsQuery {
    std::optional<std::uint64_t> from;
    std::uint32_t limit = 256;
    std::int64_t wait_ms = 0;
    Leave on_disconnect = Leave::keep;
    std::optional<std::string> last_event_id;
};
BOOST_DESCRIBE_STRUCT(OutputsQuery, (), (from, limit, wait_ms, on_disconnect, last_event_id))
constexpr auto wire_notes(OutputsQuery const*) {
    return wire::notes({{.field = "from", .doc = "Number of the first output", .place = wire::Place::query},
                        {.field = "limit",
                         .doc = "Outputs in one page",
                         .min = 1,
                         .max = 10'000,
                         .place = wire::Place::query,
                         .defaulted = true},
                        {.field = "wait_ms",
                         .doc = "How long an empty page may wait for outputs",
                         .min = 0,
                         .max = 3'600'000,
                         .place = wire::Place::query,
                         .defaulted = true},
                        {.field = "on_disconnect",
                         .doc = "Event streams: what becomes of the run when this client goes away",
                         .place = wire::Place::query,
                         .defaulted = true},
                        {.field = "last_event_id",
                         .wire = "Last-Event-ID",
                         .doc = "Event streams: go on after this event",
                         .place = wire::Place::header}});
}

struct InputAnswer {
    std::string text;
};
BOOST_DESCRIBE_STRUCT(InputAnswer, (), (text))

struct CodeRequest {
    std::string code;
    std::optional<std::uint64_t> cursor;
    int detail = 0;
    std::int64_t timeout_ms = 30'000;
};
BOOST_DESCRIBE_STRUCT(CodeRequest, (), (code, cursor, detail, timeout_ms))
constexpr auto wire_notes(CodeRequest const*) {
    return wire::notes({{.field = "cursor", .doc = "In code points; absent: the end of the code"},
                        {.field = "detail", .doc = "inspect only", .min = 0, .max = 1, .defaulted = true},
                        {.field = "timeout_ms",
                         .doc = "How long a busy kernel may let us wait",
                         .min = 1,
                         .max = 3'600'000,
                         .defaulted = true}});
}

struct InterruptQuery {
    std::int64_t wait_ms = 2'000;
};
BOOST_DESCRIBE_STRUCT(InterruptQuery, (), (wait_ms))
constexpr auto wire_notes(InterruptQuery const*) {
    return wire::notes({{.field = "wait_ms",
                         .doc = "How long the end of the run is waited for",
                         .min = 0,
                         .max = 3'600'000,
                         .place = wire::Place::query,
                         .defaulted = true}});
}

struct HistoryQuery {
    std::uint32_t last = 20;
    std::int64_t timeout_ms = 30'000;
};
BOOST_DESCRIBE_STRUCT(HistoryQuery, (), (last, timeout_ms))
constexpr auto wire_notes(HistoryQuery const*) {
    return wire::notes({{.field = "last", .max = 10'000, .place = wire::Place::query, .defaulted = true},
                        {.field = "timeout_ms",
                         .min = 1,
                         .max = 3'600'000,
                         .place = wire::Place::query,
                         .defaulted = true}});
}

enum class CommType { comm_open, comm_msg, comm_close };
BOOST_DESCRIBE_ENUM(CommType, comm_open, comm_msg, comm_close)

struct CommRequest {
    CommType type = CommType::comm_msg;
    std::string comm_id;
    std::string target_name;
    wire::Json data = wire::Json::object();
    wire::Json metadata = wire::Json::object();
    std::vector<wire::Bytes> buffers;
};
BOOST_DESCRIBE_STRUCT(CommRequest, (), (type, comm_id, target_name, data, metadata, buffers))
constexpr auto wire_notes(CommRequest const*) {
    return wire::notes({{.field = "comm_id", .min_len = 1},
                        {.field = "target_name", .doc = "comm_open only", .defaulted = true},
                        {.field = "data", .defaulted = true},
                        {.field = "metadata", .defaulted = true},
                        {.field = "buffers", .defaulted = true}});
}

// ---- answers

struct KernelspecInfo {
    std::string name;
    std::string language;
    std::string display_name;
    std::string directory;
    std::string transport;
    std::string interrupt;
};
BOOST_DESCRIBE_STRUCT(KernelspecInfo, (), (name, language, display_name, directory, transport, interrupt))
struct KernelspecProblem {
    std::string path;
    std::string what;
};
BOOST_DESCRIBE_STRUCT(KernelspecProblem, (), (path, what))
struct KernelspecList {
    std::vector<KernelspecInfo> kernelspecs;
    std::vector<KernelspecProblem> problems;
};
BOOST_DESCRIBE_STRUCT(KernelspecList, (), (kernelspecs, problems))

struct MessageCounts {
    std::uint64_t received = 0;
    std::uint64_t dropped = 0;
    std::uint64_t malformed = 0;
    std::uint64_t unmatched = 0;
};
BOOST_DESCRIBE_STRUCT(MessageCounts, (), (received, dropped, malformed, unmatched))

struct ContextInfo {
    std::string id;
    std::string language;
    std::string kernel;
    std::string state;
    std::string cwd;
    wire::Timestamp created_at;
    std::int64_t idle_ms = 0;
    std::int64_t idle_timeout_ms = 0;
    int generation = 0;
    std::optional<std::string> start;
    std::optional<std::string> why_cold;
    std::optional<std::int64_t> pid;
    std::optional<std::string> implementation;
    std::vector<std::string> not_enforced;
    std::optional<std::string> death;
    std::optional<std::string> death_cause;
    std::optional<std::string> run;
    std::uint64_t queued = 0;
    std::int64_t silence_ms = 0;
    std::optional<MessageCounts> messages;
};
BOOST_DESCRIBE_STRUCT(ContextInfo, (),
                      (id, language, kernel, state, cwd, created_at, idle_ms, idle_timeout_ms, generation,
                       start, why_cold, pid, implementation, not_enforced, death, death_cause, run, queued,
                       silence_ms, messages))
constexpr auto wire_notes(ContextInfo const*) {
    return wire::notes(
        {{.field = "state", .doc = "starting, idle, busy, dead or closed"},
         {.field = "generation", .doc = "How many kernels it has had"},
         {.field = "start", .doc = "How the kernel came up: cold, zygote or pooled"},
         {.field = "why_cold", .doc = "Why it did not come from the zygote, when that failed"},
         {.field = "not_enforced", .doc = "Limits that were asked for and are not in force here"},
         {.field = "death", .doc = "Why the last kernel ended by itself"},
         {.field = "death_cause", .doc = "exited, signaled, oom_killed or killed (it was silent)"},
         {.field = "run", .doc = "Id of the run at hand"},
         {.field = "silence_ms", .doc = "How long heartbeats have been unanswered"}});
}
struct ContextList {
    std::vector<ContextInfo> contexts;
};
BOOST_DESCRIBE_STRUCT(ContextList, (), (contexts))

struct ErrorInfo {
    std::string name;
    std::string value;
    std::vector<std::string> traceback;
};
BOOST_DESCRIBE_STRUCT(ErrorInfo, (), (name, value, traceback))
struct PromptInfo {
    std::string prompt;
    bool password = false;
};
BOOST_DESCRIBE_STRUCT(PromptInfo, (), (prompt, password))
struct OutcomeInfo {
    std::string kind;
    std::string why;
    std::optional<std::string> cause;
    std::optional<std::string> code;
    std::optional<ErrorInfo> error;
    wire::Json payload = wire::Json::array();
    wire::Json user_expressions = wire::Json::object();
    bool incomplete = false;
};
BOOST_DESCRIBE_STRUCT(OutcomeInfo, (), (kind, why, cause, code, error, payload, user_expressions, incomplete))
constexpr auto wire_notes(OutcomeInfo const*) {
    return wire::notes(
        {{.field = "kind", .doc = "ok, error, cancelled, timed_out, kernel_died or failed"},
         {.field = "why", .doc = "For people", .omit_empty = true},
         {.field = "cause", .doc = "Of a kernel's death: exited, signaled, oom_killed or killed"},
         {.field = "code", .doc = "Of a failed one"},
         {.field = "incomplete", .doc = "The kernel never said that it was done"}});
}
struct RunInfo {
    std::string id;
    std::string context;
    std::string state;
    std::optional<std::uint64_t> position;
    wire::Timestamp created_at;
    std::optional<wire::Timestamp> started_at;
    std::optional<wire::Timestamp> finished_at;
    int execution_count = 0;
    std::uint64_t outputs = 0;
    std::optional<PromptInfo> input;
    std::optional<OutcomeInfo> outcome;
};
BOOST_DESCRIBE_STRUCT(RunInfo, (),
                      (id, context, state, position, created_at, started_at, finished_at, execution_count,
                       outputs, input, outcome))
constexpr auto wire_notes(RunInfo const*) {
    return wire::notes({{.field = "state", .doc = "queued, running or finished"},
                        {.field = "position", .doc = "0 is running, 1 is next"},
                        {.field = "outputs", .doc = "How many there have been so far"},
                        {.field = "input", .doc = "The prompt that waits for an answer"}});
}
struct RunList {
    std::vector<RunInfo> runs;
};
BOOST_DESCRIBE_STRUCT(RunList, (), (runs))

// ---- outputs: one struct a kind; `number` is also the id of the event

struct Numbered {
    std::uint64_t number = 0;
    wire::Timestamp at;
};
BOOST_DESCRIBE_STRUCT(Numbered, (), (number, at))
struct StreamOut : Numbered {
    wire::Literal<"stream"> type;
    std::string name;
    std::string text;
};
BOOST_DESCRIBE_STRUCT(StreamOut, (Numbered), (type, name, text))
struct ResultOut : Numbered {
    wire::Literal<"result"> type;
    int execution_count = 0;
    wire::Json data;
    wire::Json metadata;
};
BOOST_DESCRIBE_STRUCT(ResultOut, (Numbered), (type, execution_count, data, metadata))
struct DisplayOut : Numbered {
    wire::Literal<"display"> type;
    std::string display_id;
    bool update = false;
    wire::Json data;
    wire::Json metadata;
};
BOOST_DESCRIBE_STRUCT(DisplayOut, (Numbered), (type, display_id, update, data, metadata))
struct ClearOut : Numbered {
    wire::Literal<"clear"> type;
    bool wait = false;
};
BOOST_DESCRIBE_STRUCT(ClearOut, (Numbered), (type, wait))
struct ErrorOut : Numbered {
    wire::Literal<"error"> type;
    std::string name;
    std::string value;
    std::vector<std::string> traceback;
};
BOOST_DESCRIBE_STRUCT(ErrorOut, (Numbered), (type, name, value, traceback))
struct StatusOut : Numbered {
    wire::Literal<"status"> type;
    std::string state;
};
BOOST_DESCRIBE_STRUCT(StatusOut, (Numbered), (type, state))
struct CountOut : Numbered {
    wire::Literal<"count"> type;
    int execution_count = 0;
};
BOOST_DESCRIBE_STRUCT(CountOut, (Numbered), (type, execution_count))
struct PromptOut : Numbered {
    wire::Literal<"input_request"> type;
    std::string prompt;
    bool password = false;
};
BOOST_DESCRIBE_STRUCT(PromptOut, (Numbered), (type, prompt, password))
struct CommOut : Numbered {
    wire::Literal<"comm"> type;
    std::string message;
    std::string comm_id;
    std::string target_name;
    wire::Json data;
    wire::Json metadata;
    std::vector<wire::Bytes> buffers;
};
BOOST_DESCRIBE_STRUCT(CommOut, (Numbered), (type, message, comm_id, target_name, data, metadata, buffers))
struct GapOut : Numbered {
    wire::Literal<"gap"> type;
    std::uint64_t outputs = 0;
    std::uint64_t bytes = 0;
    std::string why;
};
BOOST_DESCRIBE_STRUCT(GapOut, (Numbered), (type, outputs, bytes, why))
struct NoticeOut : Numbered {
    wire::Literal<"notice"> type;
    std::string text;
};
BOOST_DESCRIBE_STRUCT(NoticeOut, (Numbered), (type, text))

using OutputItem = std::variant<StreamOut, ResultOut, DisplayOut, ClearOut, ErrorOut, StatusOut, CountOut,
                                PromptOut, CommOut, GapOut, NoticeOut>;
constexpr auto wire_union(OutputItem const*) { return wire::tagged_by("type"); }

struct OutputPage {
    std::vector<OutputItem> outputs;
    std::uint64_t next = 0;
    bool end = false;
};
BOOST_DESCRIBE_STRUCT(OutputPage, (), (outputs, next, end))
constexpr auto wire_notes(OutputPage const*) {
    return wire::notes({{.field = "next", .doc = "What to ask `from` with next"},
                        {.field = "end", .doc = "Nothing will follow"}});
}

}  // namespace execd::own

namespace execd::wire {
extern template struct Codec<own::ContextRequest>;
extern template struct Codec<own::RunRequest>;
extern template struct Codec<own::ListQuery>;
extern template struct Codec<own::OutputsQuery>;
extern template struct Codec<own::InputAnswer>;
extern template struct Codec<own::CodeRequest>;
extern template struct Codec<own::HistoryQuery>;
extern template struct Codec<own::InterruptQuery>;
extern template struct Codec<own::CommRequest>;
extern template struct Codec<own::KernelspecList>;
extern template struct Codec<own::ContextInfo>;
extern template struct Codec<own::ContextList>;
extern template struct Codec<own::RunInfo>;
extern template struct Codec<own::RunList>;
extern template struct Codec<own::OutputItem>;
extern template struct Codec<own::OutputPage>;
}  // namespace execd::wire
