// Bodies of the AgentRun dialect (contracts/agentrun.md). Answers are supersets of what the official
// documents and the README of the SDK show (§5.5).
#pragma once
#include <boost/describe/class.hpp>

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "execd/http/wire/describe.hpp"
#include "execd/http/wire/types.hpp"

namespace execd::agentrun {

struct HealthBody {
    std::string status;
    std::string code;
    std::string message;
    std::string service = "execd";
    std::string version;
    bool healthy = true;
    wire::Timestamp timestamp;
    std::int64_t uptime = 0;
};
BOOST_DESCRIBE_STRUCT(HealthBody, (), (status, code, message, service, version, healthy, timestamp, uptime))
constexpr auto wire_notes(HealthBody const*) {
    return wire::notes({{.field = "status", .doc = "starting, then ok"},
                        {.field = "healthy", .doc = "The process lives"},
                        {.field = "uptime", .doc = "Nanoseconds"}});
}

// ---- contexts (§4)

struct ContextRequest {
    std::optional<std::string> language;
    std::optional<std::string> cwd;
};
BOOST_DESCRIBE_STRUCT(ContextRequest, (), (language, cwd))
constexpr auto wire_notes(ContextRequest const*) {
    return wire::notes({{.field = "language", .doc = "python (default), javascript, or another kernel's"},
                        {.field = "cwd", .doc = "Default /home/user; made when it is missing"}});
}

struct ContextBody {
    std::string id;
    std::string language;
    std::string cwd;
};
BOOST_DESCRIBE_STRUCT(ContextBody, (), (id, language, cwd))
using ContextBodies = std::vector<ContextBody>;

struct ExecuteRequest {
    std::string code;
    std::optional<double> timeout;
    std::optional<std::string> language;
    std::optional<std::string> context_id;
};
BOOST_DESCRIBE_STRUCT(ExecuteRequest, (), (code, timeout, language, context_id))
constexpr auto wire_notes(ExecuteRequest const*) {
    return wire::notes(
        {{.field = "timeout", .doc = "Seconds; absent or 0: none", .min = 0},
         {.field = "language", .doc = "Of the default context; default python"},
         {.field = "context_id", .wire = "contextId", .doc = "Wins over language", .aliases = "context_id"}});
}

struct ResultItem {
    std::string type;
    std::optional<std::string> text;
    std::optional<std::map<std::string, wire::JsonText>> data;
    std::optional<std::int64_t> execution_count;
    std::optional<std::string> name;
    std::optional<std::string> value;
    std::optional<std::vector<std::string>> traceback;
    std::optional<std::string> status;
};
BOOST_DESCRIBE_STRUCT(ResultItem, (), (type, text, data, execution_count, name, value, traceback, status))
constexpr auto wire_notes(ResultItem const*) {
    return wire::notes(
        {{.field = "type", .doc = "stdout, stderr, result, error, timeout, notice, endOfExecution"},
         {.field = "data", .doc = "Of a result, by media type"},
         {.field = "execution_count", .wire = "executionCount"},
         {.field = "status", .doc = "Of endOfExecution: ok, error, timeout"}});
}

struct ExecuteAnswer {
    std::vector<ResultItem> results;
    std::string context_id;
    std::string stdout_text;
    std::string stderr_text;
    int exit_code = 0;
    std::string status;
};
BOOST_DESCRIBE_STRUCT(ExecuteAnswer, (), (results, context_id, stdout_text, stderr_text, exit_code, status))
constexpr auto wire_notes(ExecuteAnswer const*) {
    return wire::notes(
        {{.field = "context_id", .wire = "contextId"},
         {.field = "stdout_text", .wire = "stdout"},
         {.field = "stderr_text",
          .wire = "stderr",
          .doc = "With the traceback of an error, as a program would print it"},
         {.field = "exit_code", .wire = "exitCode", .doc = "0, or 1 for an error or a timeout"},
         {.field = "status", .doc = "ok, error or timeout"}});
}

// ---- files (§5.1 to §5.3)

struct EntryBody {
    std::string name;
    std::string type;
    std::string path;
    std::uint64_t size = 0;
    std::uint32_t mode = 0;
    std::string permissions;
    std::string owner;
    std::string group;
    std::optional<wire::Timestamp> modified_time;
    std::optional<std::int64_t> mtime;
};
BOOST_DESCRIBE_STRUCT(EntryBody, (),
                      (name, type, path, size, mode, permissions, owner, group, modified_time, mtime))
constexpr auto wire_notes(EntryBody const*) {
    return wire::notes({{.field = "type", .doc = "file, directory, symlink (to nothing), other"},
                        {.field = "mode", .doc = "The bits as a decimal number: 420 is 0644"},
                        {.field = "modified_time", .wire = "modifiedTime"},
                        {.field = "mtime", .doc = "Seconds since 1970"}});
}
using EntryBodies = std::vector<EntryBody>;

struct EntryAnswer : EntryBody {
    EntryBody entry;
};
BOOST_DESCRIBE_STRUCT(EntryAnswer, (EntryBody), (entry))

struct ReadAnswer : EntryBody {
    EntryBody entry;
    std::string content;
    std::string encoding;
};
BOOST_DESCRIBE_STRUCT(ReadAnswer, (EntryBody), (entry, content, encoding))

/// Clients in the wild send the path of a GET in a JSON body (§1.8).
struct PathQuery {
    std::optional<std::string> path;
    std::optional<std::string> body_path;
};
BOOST_DESCRIBE_STRUCT(PathQuery, (), (path, body_path))
constexpr auto wire_notes(PathQuery const*) {
    return wire::notes({{.field = "path", .place = wire::Place::query},
                        {.field = "body_path", .wire = "path", .hidden = true}});
}

struct ListQuery {
    std::optional<std::string> path;
    std::optional<std::uint32_t> depth;
    std::optional<std::string> format;
    std::optional<std::string> body_path;
};
BOOST_DESCRIBE_STRUCT(ListQuery, (), (path, depth, format, body_path))
constexpr auto wire_notes(ListQuery const*) {
    return wire::notes({{.field = "path", .doc = "Default /home/user", .place = wire::Place::query},
                        {.field = "depth", .doc = "Levels; default 1", .min = 1, .place = wire::Place::query},
                        {.field = "format",
                         .doc = "array: the entries alone",
                         .pattern = "^(array|official)$",
                         .place = wire::Place::query},
                        {.field = "body_path", .wire = "path", .hidden = true}});
}

struct ListAnswer {
    std::string path;
    EntryBodies entries;
    bool truncated = false;
};
BOOST_DESCRIBE_STRUCT(ListAnswer, (), (path, entries, truncated))

struct WriteRequest {
    std::string path;
    std::string content;
    std::optional<wire::Json> mode;
    std::string encoding = "utf-8";
    bool create_dir = true;
};
BOOST_DESCRIBE_STRUCT(WriteRequest, (), (path, content, mode, encoding, create_dir))
constexpr auto wire_notes(WriteRequest const*) {
    return wire::notes({{.field = "path", .min_len = 1},
                        {.field = "mode", .doc = "Octal digits, \"644\" or \"0644\""},
                        {.field = "encoding", .doc = "utf-8, base64, latin-1, ...", .defaulted = true},
                        {.field = "create_dir", .wire = "createDir", .defaulted = true}});
}

struct WrittenAnswer {
    std::string path;
    std::uint64_t size = 0;
};
BOOST_DESCRIBE_STRUCT(WrittenAnswer, (), (path, size))

struct MkdirRequest {
    std::string path;
    bool parents = true;
    std::optional<wire::Json> mode;
};
BOOST_DESCRIBE_STRUCT(MkdirRequest, (), (path, parents, mode))
constexpr auto wire_notes(MkdirRequest const*) {
    return wire::notes({{.field = "path", .min_len = 1}, {.field = "parents", .defaulted = true}});
}

struct MoveRequest {
    std::string source;
    std::string destination;
};
BOOST_DESCRIBE_STRUCT(MoveRequest, (), (source, destination))
constexpr auto wire_notes(MoveRequest const*) {
    return wire::notes({{.field = "source", .min_len = 1}, {.field = "destination", .min_len = 1}});
}

struct RemoveRequest {
    std::string path;
};
BOOST_DESCRIBE_STRUCT(RemoveRequest, (), (path))
constexpr auto wire_notes(RemoveRequest const*) { return wire::notes({{.field = "path", .min_len = 1}}); }

// ---- processes (§5.4)

struct CommandRequest {
    std::string command;
    std::optional<std::string> cwd;
    std::optional<double> timeout;
};
BOOST_DESCRIBE_STRUCT(CommandRequest, (), (command, cwd, timeout))
constexpr auto wire_notes(CommandRequest const*) {
    return wire::notes({{.field = "command", .doc = "Shell text", .min_len = 1},
                        {.field = "cwd", .doc = "Default /home/user"},
                        {.field = "timeout", .doc = "Seconds; absent or 0: none", .min = 0}});
}

struct CommandResult {
    int exit_code = 0;
    std::string stdout_text;
    std::string stderr_text;
    std::string cwd;
    std::int64_t execution_time_ms = 0;
};
BOOST_DESCRIBE_STRUCT(CommandResult, (), (exit_code, stdout_text, stderr_text, cwd, execution_time_ms))
constexpr auto wire_notes(CommandResult const*) {
    return wire::notes({{.field = "exit_code", .wire = "exitCode", .doc = "128 + N after signal N"},
                        {.field = "stdout_text", .wire = "stdout"},
                        {.field = "stderr_text", .wire = "stderr"},
                        {.field = "execution_time_ms", .wire = "executionTimeMs"}});
}

struct CommandAnswer : CommandResult {
    std::string execution_id;
    std::string status;
    CommandResult result;
    bool timed_out = false;
    std::uint64_t dropped_bytes = 0;
    std::optional<std::string> error;
};
BOOST_DESCRIBE_STRUCT(CommandAnswer, (CommandResult),
                      (execution_id, status, result, timed_out, dropped_bytes, error))
constexpr auto wire_notes(CommandAnswer const*) {
    return wire::notes({{.field = "exit_code", .wire = "exitCode"},
                        {.field = "stdout_text", .wire = "stdout"},
                        {.field = "stderr_text", .wire = "stderr"},
                        {.field = "execution_time_ms", .wire = "executionTimeMs"},
                        {.field = "execution_id", .wire = "executionId"},
                        {.field = "status", .doc = "completed (exit code 0) or failed"},
                        {.field = "timed_out", .wire = "timedOut", .omit_empty = true},
                        {.field = "dropped_bytes",
                         .wire = "droppedBytes",
                         .doc = "Output beyond 16 MiB of a stream",
                         .omit_empty = true},
                        {.field = "error", .doc = "Why it did not end by itself"}});
}

struct ResourceUsage {
    double cpu_percent = 0;
    double memory_mb = 0;
};
BOOST_DESCRIBE_STRUCT(ResourceUsage, (), (cpu_percent, memory_mb))
constexpr auto wire_notes(ResourceUsage const*) {
    return wire::notes({{.field = "cpu_percent", .wire = "cpuPercent", .doc = "Of one CPU, over its life"},
                        {.field = "memory_mb", .wire = "memoryMb"}});
}

struct ProcessBody {
    int pid = 0;
    int process_id = 0;
    int ppid = 0;
    std::string name;
    std::string command;
    std::string status;
    std::string tag;
    std::optional<wire::Timestamp> created_at;
    std::optional<std::string> working_dir;
    std::optional<std::map<std::string, std::string>> environment;
    ResourceUsage resource_usage;
};
BOOST_DESCRIBE_STRUCT(ProcessBody, (),
                      (pid, process_id, ppid, name, command, status, tag, created_at, working_dir,
                       environment, resource_usage))
constexpr auto wire_notes(ProcessBody const*) {
    return wire::notes(
        {{.field = "process_id", .wire = "processId"},
         {.field = "status", .doc = "running, stopped or zombie"},
         {.field = "tag", .doc = "What execd started it as (command, terminal, kernel), or empty"},
         {.field = "created_at", .wire = "createdAt"},
         {.field = "resource_usage", .wire = "resourceUsage"}});
}
using ProcessBodies = std::vector<ProcessBody>;

struct ProcessPage {
    ProcessBodies items;
    std::uint64_t total = 0;
};
BOOST_DESCRIBE_STRUCT(ProcessPage, (), (items, total))

struct KillAnswer {
    int pid = 0;
    bool stopped = true;
    wire::Timestamp stopped_at;
    std::string message;
};
BOOST_DESCRIBE_STRUCT(KillAnswer, (), (pid, stopped, stopped_at, message))

// ---- the terminal's frames (§2.5)

struct TtyFrame {
    std::string type;
    std::string data;
    std::int64_t rows = 0;
    std::int64_t cols = 0;
};
BOOST_DESCRIBE_STRUCT(TtyFrame, (), (type, data, rows, cols))
constexpr auto wire_notes(TtyFrame const*) {
    return wire::notes({{.field = "data", .defaulted = true},
                        {.field = "rows", .defaulted = true},
                        {.field = "cols", .defaulted = true}});
}

// ---- lifecycle (§1.4)

struct CreateRequest {
    std::string template_name;
    std::optional<std::string> sandbox_id;
    std::optional<std::int64_t> idle_timeout_seconds;
};
BOOST_DESCRIBE_STRUCT(CreateRequest, (), (template_name, sandbox_id, idle_timeout_seconds))
constexpr auto wire_notes(CreateRequest const*) {
    return wire::notes(
        {{.field = "template_name", .wire = "templateName", .defaulted = true},
         {.field = "sandbox_id", .wire = "sandboxId", .pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"},
         {.field = "idle_timeout_seconds",
          .wire = "sandboxIdleTimeoutSeconds",
          .aliases = "sandboxIdleTimeoutInSeconds",
          .min = 0}});
}

struct SandboxBody {
    std::string sandbox_id;
    std::string template_id;
    std::string template_name;
    std::string status;
    wire::Timestamp created_at;
    wire::Timestamp last_updated_at;
    std::optional<wire::Timestamp> ended_at;
    std::optional<std::int64_t> idle_timeout_seconds;
    std::optional<std::int64_t> idle_timeout_in_seconds;
    std::map<std::string, std::string> metadata;
};
BOOST_DESCRIBE_STRUCT(SandboxBody, (),
                      (sandbox_id, template_id, template_name, status, created_at, last_updated_at, ended_at,
                       idle_timeout_seconds, idle_timeout_in_seconds, metadata))
constexpr auto wire_notes(SandboxBody const*) {
    return wire::notes({{.field = "sandbox_id", .wire = "sandboxId"},
                        {.field = "template_id", .wire = "templateId", .doc = "The template's name"},
                        {.field = "template_name", .wire = "templateName"},
                        {.field = "status", .doc = "READY or TERMINATED"},
                        {.field = "created_at", .wire = "createdAt"},
                        {.field = "last_updated_at", .wire = "lastUpdatedAt"},
                        {.field = "ended_at", .wire = "endedAt"},
                        {.field = "idle_timeout_seconds", .wire = "sandboxIdleTimeoutSeconds"},
                        {.field = "idle_timeout_in_seconds", .wire = "sandboxIdleTimeoutInSeconds"}});
}

struct Envelope {
    std::string code = "SUCCESS";
    std::string request_id;
    SandboxBody data;
};
BOOST_DESCRIBE_STRUCT(Envelope, (), (code, request_id, data))
constexpr auto wire_notes(Envelope const*) {
    return wire::notes({{.field = "request_id", .wire = "requestId"}});
}

}  // namespace execd::agentrun

// One line a type: the tables of all of them are made in schemas.cpp.
#define EXECD_AGENTRUN_TYPES(X) \
    X(HealthBody)               \
    X(ContextRequest)           \
    X(ContextBody)              \
    X(ContextBodies)            \
    X(ExecuteRequest)           \
    X(ExecuteAnswer)            \
    X(EntryBodies)              \
    X(EntryAnswer)              \
    X(ReadAnswer)               \
    X(PathQuery)                \
    X(ListQuery)                \
    X(ListAnswer)               \
    X(WriteRequest)             \
    X(WrittenAnswer)            \
    X(MkdirRequest)             \
    X(MoveRequest)              \
    X(RemoveRequest)            \
    X(CommandRequest)           \
    X(CommandAnswer)            \
    X(ProcessBody)              \
    X(ProcessBodies)            \
    X(ProcessPage)              \
    X(KillAnswer)               \
    X(TtyFrame)                 \
    X(CreateRequest)            \
    X(Envelope)

namespace execd::wire {
#define EXECD_ONE(T) extern template struct Codec<agentrun::T>;
EXECD_AGENTRUN_TYPES(EXECD_ONE)
#undef EXECD_ONE
}  // namespace execd::wire
