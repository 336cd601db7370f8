// Bodies of the sandbox_sdk dialect (docs/sandbox-sdk.md). Its original server speaks camelCase, its Python
// client snake_case: both are read, and both are written.
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

namespace execd::sandbox_sdk {

// ---- registration and health

struct RegisterRequest {
    std::string username;
    std::string email;
};
BOOST_DESCRIBE_STRUCT(RegisterRequest, (), (username, email))
constexpr auto wire_notes(RegisterRequest const*) {
    return wire::notes({{.field = "username", .min_len = 1, .max_len = 256},
                        {.field = "email", .min_len = 1, .max_len = 256}});
}

struct RegisterAnswer {
    std::string user_id;
    std::string user_id_camel;
    std::string api_key;
    std::string api_key_camel;
    std::string message = "User registered successfully";
};
BOOST_DESCRIBE_STRUCT(RegisterAnswer, (), (user_id, user_id_camel, api_key, api_key_camel, message))
constexpr auto wire_notes(RegisterAnswer const*) {
    return wire::notes({{.field = "user_id_camel", .wire = "userId"},
                        {.field = "api_key", .doc = "Shown once; a Bearer token of this dialect"},
                        {.field = "api_key_camel", .wire = "apiKey"}});
}

struct HealthBody {
    std::string status = "ok";
    wire::Timestamp timestamp;
};
BOOST_DESCRIBE_STRUCT(HealthBody, (), (status, timestamp))

struct MessageBody {
    std::string message;
};
BOOST_DESCRIBE_STRUCT(MessageBody, (), (message))

// ---- templates

struct TemplateBody {
    std::string id;
    std::string name;
    wire::JsonText config;
    bool is_public = false;
    bool is_public_camel = false;
    std::string author_id;
    std::string author_id_camel;
    std::optional<wire::Timestamp> created_at;
    std::optional<wire::Timestamp> created_at_camel;
    std::optional<wire::Timestamp> updated_at;
    std::optional<wire::Timestamp> updated_at_camel;
};
BOOST_DESCRIBE_STRUCT(TemplateBody, (),
                      (id, name, config, is_public, is_public_camel, author_id, author_id_camel, created_at,
                       created_at_camel, updated_at, updated_at_camel))
constexpr auto wire_notes(TemplateBody const*) {
    return wire::notes({{.field = "config", .doc = "With language; the rest as it was given"},
                        {.field = "is_public_camel", .wire = "isPublic"},
                        {.field = "author_id_camel", .wire = "authorId"},
                        {.field = "created_at_camel", .wire = "createdAt"},
                        {.field = "updated_at_camel", .wire = "updatedAt"}});
}

struct TemplatesQuery {
    std::int64_t page = 1;
    std::int64_t page_size = 10;
};
BOOST_DESCRIBE_STRUCT(TemplatesQuery, (), (page, page_size))
constexpr auto wire_notes(TemplatesQuery const*) {
    return wire::notes({{.field = "page", .min = 1, .place = wire::Place::query, .defaulted = true},
                        {.field = "page_size",
                         .wire = "pageSize",
                         .aliases = "page_size",
                         .min = 1,
                         .max = 1000,
                         .place = wire::Place::query,
                         .defaulted = true}});
}

struct TemplatePage {
    std::vector<TemplateBody> templates;
    std::int64_t total = 0;
    std::int64_t page = 1;
    std::int64_t page_size = 10;
    std::int64_t page_size_camel = 10;
};
BOOST_DESCRIBE_STRUCT(TemplatePage, (), (templates, total, page, page_size, page_size_camel))
constexpr auto wire_notes(TemplatePage const*) {
    return wire::notes({{.field = "page_size_camel", .wire = "pageSize"}});
}

struct TemplateRequest {
    std::map<std::string, wire::Json> all;
};
BOOST_DESCRIBE_STRUCT(TemplateRequest, (), (all))
constexpr auto wire_notes(TemplateRequest const*) {
    return wire::notes({{.field = "all", .doc = "The configuration", .place = wire::Place::rest}});
}

// ---- sandboxes

struct CreateRequest {
    std::optional<std::string> template_id;
    std::optional<std::string> name;
    std::optional<bool> auto_start;
    std::optional<double> expiry_time;
    std::optional<std::map<std::string, std::string>> initial_env_vars;
    std::optional<wire::Json> metadata;
};
BOOST_DESCRIBE_STRUCT(CreateRequest, (),
                      (template_id, name, auto_start, expiry_time, initial_env_vars, metadata))
constexpr auto wire_notes(CreateRequest const*) {
    return wire::notes(
        {{.field = "template_id", .doc = "Of GET /api/templates", .aliases = "templateId"},
         {.field = "name", .max_len = 1024},
         {.field = "auto_start", .aliases = "autoStart"},
         {.field = "expiry_time",
          .doc = "Milliseconds until it ends by itself; absent or 0: never",
          .aliases = "expiryTime",
          .min = 0},
         {.field = "initial_env_vars", .doc = "Of all that runs in it", .aliases = "initialEnvVars"},
         {.field = "metadata", .doc = "An object, answered as it came"}});
}

struct SandboxBody {
    std::string id;
    std::string user_id;
    std::string user_id_camel;
    std::string name;
    std::string template_id;
    std::string template_id_camel;
    wire::JsonText template_config;
    wire::JsonText template_config_camel;
    std::string status;
    wire::Timestamp created_at;
    wire::Timestamp created_at_camel;
    wire::Timestamp updated_at;
    wire::Timestamp updated_at_camel;
    std::optional<wire::Timestamp> expires_at;
    std::optional<wire::Timestamp> expires_at_camel;
    wire::JsonText metadata;
};
BOOST_DESCRIBE_STRUCT(SandboxBody, (),
                      (id, user_id, user_id_camel, name, template_id, template_id_camel, template_config,
                       template_config_camel, status, created_at, created_at_camel, updated_at,
                       updated_at_camel, expires_at, expires_at_camel, metadata))
constexpr auto wire_notes(SandboxBody const*) {
    return wire::notes({{.field = "user_id_camel", .wire = "userId"},
                        {.field = "template_id_camel", .wire = "templateId"},
                        {.field = "template_config_camel", .wire = "templateConfig"},
                        {.field = "status", .doc = "ready, running, stopped (paused)"},
                        {.field = "created_at_camel", .wire = "createdAt"},
                        {.field = "updated_at_camel", .wire = "updatedAt"},
                        {.field = "expires_at_camel", .wire = "expiresAt"}});
}

struct CreateAnswer {
    SandboxBody sandbox;
};
BOOST_DESCRIBE_STRUCT(CreateAnswer, (), (sandbox))

struct SandboxesAnswer {
    std::vector<SandboxBody> sandboxes;
};
BOOST_DESCRIBE_STRUCT(SandboxesAnswer, (), (sandboxes))

struct StatusAnswer {
    std::string status;
};
BOOST_DESCRIBE_STRUCT(StatusAnswer, (), (status))

// ---- code

struct ExecuteRequest {
    std::string code;
    std::optional<std::string> language;
    std::optional<std::map<std::string, std::string>> env_vars;
    std::optional<std::string> context_id;
};
BOOST_DESCRIBE_STRUCT(ExecuteRequest, (), (code, language, env_vars, context_id))
constexpr auto wire_notes(ExecuteRequest const*) {
    return wire::notes({{.field = "language", .doc = "Absent or null: the template's"},
                        {.field = "env_vars", .doc = "For this run", .aliases = "envVars"},
                        {.field = "context_id",
                         .doc = "Of POST contexts; else the default context of the language",
                         .aliases = "contextId"}});
}

/// Exactly one member a MIME type that the client knows: it takes every other key for one more result.
struct ResultBody {
    std::optional<wire::JsonText> text;
    std::optional<wire::JsonText> html;
    std::optional<wire::JsonText> markdown;
    std::optional<wire::JsonText> svg;
    std::optional<wire::JsonText> png;
    std::optional<wire::JsonText> jpeg;
    std::optional<wire::JsonText> pdf;
    std::optional<wire::JsonText> latex;
    std::optional<wire::JsonText> json;
    std::optional<wire::JsonText> javascript;
    std::optional<wire::JsonText> data;
    std::optional<wire::JsonText> chart;
    bool is_main_result = false;
};
BOOST_DESCRIBE_STRUCT(ResultBody, (),
                      (text, html, markdown, svg, png, jpeg, pdf, latex, json, javascript, data, chart,
                       is_main_result))
constexpr auto wire_notes(ResultBody const*) {
    return wire::notes({{.field = "png", .doc = "base64, as jpeg and pdf"},
                        {.field = "is_main_result", .doc = "The value of the code's last expression"}});
}

struct LogsBody {
    std::vector<std::string> stdout_lines;
    std::vector<std::string> stderr_lines;
};
BOOST_DESCRIBE_STRUCT(LogsBody, (), (stdout_lines, stderr_lines))
constexpr auto wire_notes(LogsBody const*) {
    return wire::notes({{.field = "stdout_lines", .wire = "stdout", .doc = "Lines without their ends"},
                        {.field = "stderr_lines", .wire = "stderr"}});
}

struct ErrorBody {
    std::string name;
    std::string value;
    std::string traceback;
};
BOOST_DESCRIBE_STRUCT(ErrorBody, (), (name, value, traceback))

struct ExecuteAnswer {
    std::vector<ResultBody> results;
    LogsBody logs;
    std::optional<ErrorBody> error;
    std::optional<std::int64_t> execution_count;
    std::optional<std::int64_t> execution_count_camel;
};
BOOST_DESCRIBE_STRUCT(ExecuteAnswer, (), (results, logs, error, execution_count, execution_count_camel))
constexpr auto wire_notes(ExecuteAnswer const*) {
    return wire::notes(
        {{.field = "error", .absent = wire::Absent::null},
         {.field = "execution_count", .absent = wire::Absent::null},
         {.field = "execution_count_camel", .wire = "executionCount", .absent = wire::Absent::null}});
}

struct TerminalRequest {
    std::string command;
};
BOOST_DESCRIBE_STRUCT(TerminalRequest, (), (command))
constexpr auto wire_notes(TerminalRequest const*) {
    return wire::notes({{.field = "command", .doc = "Shell text", .min_len = 1}});
}

struct TerminalAnswer {
    std::string output;
    int exit_code = 0;
    int exit_code_camel = 0;
    std::uint64_t dropped_bytes = 0;
};
BOOST_DESCRIBE_STRUCT(TerminalAnswer, (), (output, exit_code, exit_code_camel, dropped_bytes))
constexpr auto wire_notes(TerminalAnswer const*) {
    return wire::notes({{.field = "output", .doc = "stdout and stderr in the order they were written"},
                        {.field = "exit_code", .doc = "128 + N after signal N"},
                        {.field = "exit_code_camel", .wire = "exitCode"},
                        {.field = "dropped_bytes", .doc = "Output beyond 16 MiB", .omit_empty = true}});
}

// ---- contexts

struct ContextRequest {
    std::optional<std::string> language;
    std::optional<std::string> cwd;
};
BOOST_DESCRIBE_STRUCT(ContextRequest, (), (language, cwd))
constexpr auto wire_notes(ContextRequest const*) {
    return wire::notes({{.field = "language", .doc = "Absent or null: the template's"},
                        {.field = "cwd", .doc = "Default /workspace; made when it is missing"}});
}

struct ContextBody {
    std::string id;
    std::string sandbox_id;
    std::string sandbox_id_camel;
    std::string language;
    std::string cwd;
    wire::Timestamp created_at;
    wire::Timestamp created_at_camel;
};
BOOST_DESCRIBE_STRUCT(ContextBody, (),
                      (id, sandbox_id, sandbox_id_camel, language, cwd, created_at, created_at_camel))
constexpr auto wire_notes(ContextBody const*) {
    return wire::notes({{.field = "sandbox_id_camel", .wire = "sandboxId"},
                        {.field = "created_at_camel", .wire = "createdAt"}});
}

// ---- files

struct WriteRequest {
    std::string content;
    std::optional<bool> create_parents;
};
BOOST_DESCRIBE_STRUCT(WriteRequest, (), (content, create_parents))
constexpr auto wire_notes(WriteRequest const*) {
    return wire::notes({{.field = "create_parents", .doc = "Default true", .aliases = "createParents"}});
}

struct WriteAnswer {
    std::string path;
    std::uint64_t size = 0;
};
BOOST_DESCRIBE_STRUCT(WriteAnswer, (), (path, size))

struct ReadAnswer {
    std::string content;
    std::string encoding;
    std::string path;
};
BOOST_DESCRIBE_STRUCT(ReadAnswer, (), (content, encoding, path))
constexpr auto wire_notes(ReadAnswer const*) {
    return wire::notes({{.field = "encoding", .doc = "What it was; base64 where it is no text"}});
}

struct FileRow {
    std::string path;
    std::string name;
    bool is_directory = false;
    bool is_directory_camel = false;
    std::uint64_t size = 0;
    wire::Timestamp created_at;
    wire::Timestamp created_at_camel;
    wire::Timestamp modified_at;
    wire::Timestamp modified_at_camel;
};
BOOST_DESCRIBE_STRUCT(FileRow, (),
                      (path, name, is_directory, is_directory_camel, size, created_at, created_at_camel,
                       modified_at, modified_at_camel))
constexpr auto wire_notes(FileRow const*) {
    return wire::notes({{.field = "path", .doc = "Relative when the directory was asked for so"},
                        {.field = "is_directory_camel", .wire = "isDirectory"},
                        {.field = "created_at", .doc = "The earliest time that is known of it"},
                        {.field = "created_at_camel", .wire = "createdAt"},
                        {.field = "modified_at_camel", .wire = "modifiedAt"}});
}

struct FilesAnswer {
    std::vector<FileRow> files;
    std::string directory;
    bool truncated = false;
};
BOOST_DESCRIBE_STRUCT(FilesAnswer, (), (files, directory, truncated))
constexpr auto wire_notes(FilesAnswer const*) {
    return wire::notes(
        {{.field = "directory", .doc = "As it was asked for"}, {.field = "truncated", .omit_empty = true}});
}

}  // namespace execd::sandbox_sdk

// One line a type: the tables of all of them are made in schemas.cpp.
#define EXECD_SANDBOX_SDK_TYPES(X) \
    X(RegisterRequest)             \
    X(RegisterAnswer)              \
    X(HealthBody)                  \
    X(MessageBody)                 \
    X(TemplateBody)                \
    X(TemplatesQuery)              \
    X(TemplatePage)                \
    X(TemplateRequest)             \
    X(CreateRequest)               \
    X(CreateAnswer)                \
    X(SandboxesAnswer)             \
    X(StatusAnswer)                \
    X(ExecuteRequest)              \
    X(ExecuteAnswer)               \
    X(TerminalRequest)             \
    X(TerminalAnswer)              \
    X(ContextRequest)              \
    X(ContextBody)                 \
    X(WriteRequest)                \
    X(WriteAnswer)                 \
    X(ReadAnswer)                  \
    X(FilesAnswer)

namespace execd::wire {
#define EXECD_ONE(T) extern template struct Codec<sandbox_sdk::T>;
EXECD_SANDBOX_SDK_TYPES(EXECD_ONE)
#undef EXECD_ONE
}  // namespace execd::wire
