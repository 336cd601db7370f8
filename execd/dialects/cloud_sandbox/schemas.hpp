// Bodies of the cloud_sandbox dialect (docs/cloud-sandbox.md). Lists are never null: its client iterates.
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

namespace execd::cloud_sandbox {

struct TokenRequest {
    std::string user_id;
    std::optional<std::string> role;
};
BOOST_DESCRIBE_STRUCT(TokenRequest, (), (user_id, role))
constexpr auto wire_notes(TokenRequest const*) {
    return wire::notes({{.field = "user_id", .doc = "Whose sessions it opens", .min_len = 1, .max_len = 256},
                        {.field = "role", .doc = "Read and not used: there is one", .max_len = 64}});
}

struct TokenAnswer {
    std::string access_token;
    std::string token_type = "Bearer";
    std::int64_t expires_in = 0;
};
BOOST_DESCRIBE_STRUCT(TokenAnswer, (), (access_token, token_type, expires_in))
constexpr auto wire_notes(TokenAnswer const*) {
    return wire::notes({{.field = "access_token", .doc = "Opaque; good for this dialect alone"},
                        {.field = "expires_in", .doc = "Seconds"}});
}

struct Success {
    bool success = true;
};
BOOST_DESCRIBE_STRUCT(Success, (), (success))

// ---- sessions

struct SessionRequest {
    std::optional<std::string> image;
    std::optional<double> cpu_count;
    std::optional<double> memory_mb;
    std::optional<double> ttl;
    std::optional<std::map<std::string, std::string>> metadata;
};
BOOST_DESCRIBE_STRUCT(SessionRequest, (), (image, cpu_count, memory_mb, ttl, metadata))
constexpr auto wire_notes(SessionRequest const*) {
    return wire::notes(
        {{.field = "image", .doc = "Remembered; there is one image, so it is not enforced", .max_len = 1024},
         {.field = "cpu_count", .doc = "Of all that runs in the session together", .min = 0},
         {.field = "memory_mb", .doc = "Of all that runs in the session together", .min = 0},
         {.field = "ttl", .doc = "Nanoseconds until it ends by itself; default 24 hours", .min = 0}});
}

struct SessionBody {
    std::string id;
    std::string user_id;
    std::string status;
    std::optional<std::string> sandbox_id;
    std::string image;
    double cpu_count = 0;
    double memory_mb = 0;
    wire::Timestamp created_at;
    wire::Timestamp updated_at;
    wire::Timestamp last_active_at;
    std::optional<wire::Timestamp> expires_at;
    std::optional<wire::Timestamp> paused_at;
    std::map<std::string, std::string> metadata;
    std::vector<std::string> not_enforced;
};
BOOST_DESCRIBE_STRUCT(SessionBody, (),
                      (id, user_id, status, sandbox_id, image, cpu_count, memory_mb, created_at, updated_at,
                       last_active_at, expires_at, paused_at, metadata, not_enforced))
constexpr auto wire_notes(SessionBody const*) {
    return wire::notes(
        {{.field = "status", .doc = "active or paused"},
         {.field = "sandbox_id", .doc = "While somebody has acquired it"},
         {.field = "cpu_count", .doc = "0: no limit was asked for"},
         {.field = "not_enforced", .doc = "image, cpu, memory: asked for and not in force here"}});
}

struct SessionsAnswer {
    std::vector<SessionBody> sessions;
};
BOOST_DESCRIBE_STRUCT(SessionsAnswer, (), (sessions))

// ---- sandboxes

struct SandboxBody {
    std::string sandbox_id;
    std::string container_id;
    std::string status = "active";
};
BOOST_DESCRIBE_STRUCT(SandboxBody, (), (sandbox_id, container_id, status))
constexpr auto wire_notes(SandboxBody const*) {
    return wire::notes({{.field = "container_id", .doc = "The id of its session"}});
}

struct ReleaseRequest {
    std::string sandbox_id;
};
BOOST_DESCRIBE_STRUCT(ReleaseRequest, (), (sandbox_id))

struct StatsBody {
    std::int64_t idle = 0;
    std::int64_t active = 0;
    std::int64_t creating = 0;
    std::int64_t max = 0;
};
BOOST_DESCRIBE_STRUCT(StatsBody, (), (idle, active, creating, max))
constexpr auto wire_notes(StatsBody const*) {
    return wire::notes({{.field = "idle", .doc = "The caller's sessions that nobody has acquired"},
                        {.field = "active", .doc = "The caller's acquired ones"},
                        {.field = "max", .doc = "Sessions that may live at once, of all callers"}});
}

// ---- execute

struct ExecuteRequest {
    std::string sandbox_id;
    std::optional<std::string> code;
    std::optional<std::string> language;
    std::optional<std::vector<std::string>> command;
    std::optional<std::string> work_dir;
    std::optional<std::map<std::string, std::string>> env;
    std::optional<double> timeout;
};
BOOST_DESCRIBE_STRUCT(ExecuteRequest, (), (sandbox_id, code, language, command, work_dir, env, timeout))
constexpr auto wire_notes(ExecuteRequest const*) {
    return wire::notes(
        {{.field = "code", .doc = "Runs where the session's earlier code of this language ran"},
         {.field = "language", .doc = "Default python"},
         {.field = "command", .doc = "Program and arguments, without a shell; wins over code"},
         {.field = "work_dir", .doc = "For this run; default /workspace; made when it is missing"},
         {.field = "env", .doc = "For this run"},
         {.field = "timeout", .doc = "Seconds; default 300. The answer comes a little earlier", .min = 0}});
}

struct ExecuteAnswer {
    int exit_code = 0;
    std::string stdout_text;
    std::string stderr_text;
    std::int64_t duration_ms = 0;
    bool timed_out = false;
    std::optional<std::string> error;
    std::uint64_t dropped_bytes = 0;
};
BOOST_DESCRIBE_STRUCT(ExecuteAnswer, (),
                      (exit_code, stdout_text, stderr_text, duration_ms, timed_out, error, dropped_bytes))
constexpr auto wire_notes(ExecuteAnswer const*) {
    return wire::notes(
        {{.field = "exit_code",
          .doc = "Of the program, or what the code would have exited with; 128 + N after signal N; -1: there "
                 "is none"},
         {.field = "stdout_text", .wire = "stdout"},
         {.field = "stderr_text", .wire = "stderr", .doc = "With the traceback of an error"},
         {.field = "error", .doc = "Why it did not end by itself"},
         {.field = "dropped_bytes", .doc = "Output beyond 16 MiB of a stream", .omit_empty = true}});
}

// ---- files

struct FilesQuery {
    std::string sandbox_id;
    std::optional<std::string> path;
};
BOOST_DESCRIBE_STRUCT(FilesQuery, (), (sandbox_id, path))
constexpr auto wire_notes(FilesQuery const*) {
    return wire::notes({{.field = "sandbox_id", .place = wire::Place::query},
                        {.field = "path", .doc = "Default /workspace", .place = wire::Place::query}});
}

struct PathQuery {
    std::string sandbox_id;
    std::string path;
};
BOOST_DESCRIBE_STRUCT(PathQuery, (), (sandbox_id, path))
constexpr auto wire_notes(PathQuery const*) {
    return wire::notes({{.field = "sandbox_id", .place = wire::Place::query},
                        {.field = "path", .min_len = 1, .place = wire::Place::query}});
}

struct WriteRequest {
    std::string sandbox_id;
    std::string path;
    std::string content;
};
BOOST_DESCRIBE_STRUCT(WriteRequest, (), (sandbox_id, path, content))
constexpr auto wire_notes(WriteRequest const*) {
    return wire::notes({{.field = "path", .min_len = 1}, {.field = "content", .doc = "Text"}});
}

struct FileRow {
    std::string name;
    std::string path;
    std::uint64_t size = 0;
    bool is_dir = false;
    wire::Timestamp mod_time;
};
BOOST_DESCRIBE_STRUCT(FileRow, (), (name, path, size, is_dir, mod_time))

struct FilesAnswer {
    std::vector<FileRow> files;
    bool truncated = false;
};
BOOST_DESCRIBE_STRUCT(FilesAnswer, (), (files, truncated))
constexpr auto wire_notes(FilesAnswer const*) {
    return wire::notes({{.field = "truncated", .omit_empty = true}});
}

}  // namespace execd::cloud_sandbox

// One line a type: the tables of all of them are made in schemas.cpp.
#define EXECD_CLOUD_SANDBOX_TYPES(X) \
    X(TokenRequest)                  \
    X(TokenAnswer)                   \
    X(Success)                       \
    X(SessionRequest)                \
    X(SessionBody)                   \
    X(SessionsAnswer)                \
    X(SandboxBody)                   \
    X(ReleaseRequest)                \
    X(StatsBody)                     \
    X(ExecuteRequest)                \
    X(ExecuteAnswer)                 \
    X(FilesQuery)                    \
    X(PathQuery)                     \
    X(WriteRequest)                  \
    X(FilesAnswer)

namespace execd::wire {
#define EXECD_ONE(T) extern template struct Codec<cloud_sandbox::T>;
EXECD_CLOUD_SANDBOX_TYPES(EXECD_ONE)
#undef EXECD_ONE
}  // namespace execd::wire
