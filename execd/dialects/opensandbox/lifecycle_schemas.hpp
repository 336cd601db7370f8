// Bodies of /v1/sandboxes* (the lifecycle specification's names; opensandbox-1.1.md §8).
#pragma once
#include <boost/describe/class.hpp>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "execd/http/wire/describe.hpp"
#include "execd/http/wire/types.hpp"

namespace execd::opensandbox {

struct SandboxImage {
    std::string uri;
};
BOOST_DESCRIBE_STRUCT(SandboxImage, (), (uri))

struct SandboxPlatform {
    std::string os;
    std::string arch;
};
BOOST_DESCRIBE_STRUCT(SandboxPlatform, (), (os, arch))

struct CreateSandboxRequest {
    std::optional<SandboxImage> image;
    std::optional<std::string> snapshot_id;
    std::optional<SandboxPlatform> platform;
    std::optional<std::int64_t> timeout;
    std::map<std::string, std::string> resource_limits;
    std::map<std::string, std::string> env;
    std::map<std::string, std::string> metadata;
    std::vector<std::string> entrypoint;
    std::map<std::string, std::string> extensions;
    std::optional<wire::JsonText> network_policy;
    std::optional<wire::JsonText> credential_proxy;
    std::optional<wire::JsonText> volumes;
    bool secure_access = false;
};
BOOST_DESCRIBE_STRUCT(CreateSandboxRequest, (),
                      (image, snapshot_id, platform, timeout, resource_limits, env, metadata, entrypoint,
                       extensions, network_policy, credential_proxy, volumes, secure_access))
constexpr auto wire_notes(CreateSandboxRequest const*) {
    return wire::notes(
        {{.field = "image", .doc = "Remembered; the container is what it is"},
         {.field = "snapshot_id", .wire = "snapshotId", .doc = "501: there are no snapshots"},
         {.field = "timeout", .doc = "Seconds until it ends; absent: never"},
         {.field = "resource_limits", .wire = "resourceLimits", .doc = "cpu, memory, pids"},
         {.field = "network_policy", .wire = "networkPolicy", .doc = "400: nothing here enforces it"},
         {.field = "credential_proxy", .wire = "credentialProxy", .doc = "400 when enabled"},
         {.field = "volumes", .doc = "400 unless empty"},
         {.field = "secure_access", .wire = "secureAccess", .doc = "400 when true"}});
}

struct SandboxStatus {
    std::string state;
    std::optional<std::string> reason;
    std::optional<std::string> message;
    std::optional<wire::Timestamp> last_transition_at;
};
BOOST_DESCRIBE_STRUCT(SandboxStatus, (), (state, reason, message, last_transition_at))
constexpr auto wire_notes(SandboxStatus const*) {
    return wire::notes({{.field = "state", .doc = "Pending, Running, Pausing, Paused"},
                        {.field = "last_transition_at", .wire = "lastTransitionAt"}});
}

struct SandboxBody {
    std::string id;
    std::optional<SandboxImage> image;
    std::optional<SandboxPlatform> platform;
    SandboxStatus status;
    std::optional<std::map<std::string, std::string>> metadata;
    std::vector<std::string> entrypoint;
    std::optional<wire::Timestamp> expires_at;
    wire::Timestamp created_at;
};
BOOST_DESCRIBE_STRUCT(SandboxBody, (),
                      (id, image, platform, status, metadata, entrypoint, expires_at, created_at))
constexpr auto wire_notes(SandboxBody const*) {
    return wire::notes({{.field = "platform", .doc = "Where one was asked for"},
                        {.field = "expires_at", .wire = "expiresAt", .doc = "Absent: never"},
                        {.field = "created_at", .wire = "createdAt"}});
}

struct SandboxPages {
    std::int64_t page = 1;
    std::int64_t page_size = 20;
    std::int64_t total_items = 0;
    std::int64_t total_pages = 0;
    bool has_next_page = false;
};
BOOST_DESCRIBE_STRUCT(SandboxPages, (), (page, page_size, total_items, total_pages, has_next_page))
constexpr auto wire_notes(SandboxPages const*) {
    return wire::notes({{.field = "page_size", .wire = "pageSize"},
                        {.field = "total_items", .wire = "totalItems"},
                        {.field = "total_pages", .wire = "totalPages"},
                        {.field = "has_next_page", .wire = "hasNextPage"}});
}

struct SandboxList {
    std::vector<SandboxBody> items;
    SandboxPages pagination;
};
BOOST_DESCRIBE_STRUCT(SandboxList, (), (items, pagination))

struct RenewRequest {
    wire::Timestamp expires_at;
};
BOOST_DESCRIBE_STRUCT(RenewRequest, (), (expires_at))
constexpr auto wire_notes(RenewRequest const*) {
    return wire::notes({{.field = "expires_at", .wire = "expiresAt", .required = true}});
}

struct SandboxEndpoint {
    std::string endpoint;
    std::optional<std::map<std::string, std::string>> headers;
};
BOOST_DESCRIBE_STRUCT(SandboxEndpoint, (), (endpoint, headers))
constexpr auto wire_notes(SandboxEndpoint const*) {
    return wire::notes({{.field = "endpoint", .doc = "host:port/path, without a scheme"},
                        {.field = "headers", .doc = "To be sent with each request there"}});
}

struct DiagnosticBody {
    std::string sandbox_id;
    std::string kind;
    std::string scope;
    std::string delivery = "inline";
    std::string content_type = "text/plain";
    bool truncated = false;
    std::string content;
    std::int64_t content_length = 0;
    std::vector<std::string> warnings;
};
BOOST_DESCRIBE_STRUCT(DiagnosticBody, (),
                      (sandbox_id, kind, scope, delivery, content_type, truncated, content, content_length,
                       warnings))
constexpr auto wire_notes(DiagnosticBody const*) {
    return wire::notes({{.field = "sandbox_id", .wire = "sandboxId"},
                        {.field = "kind", .doc = "logs or events"},
                        {.field = "content_type", .wire = "contentType"},
                        {.field = "content_length", .wire = "contentLength"}});
}

using MetadataPatch = std::map<std::string, std::optional<std::string>>;

struct RuntimeInitRequest {
    std::string sandbox_id;
    std::int64_t generation = 0;
    std::string entrypoint_policy;
    std::string access_token_hash;
    std::map<std::string, std::string> envs;
    std::optional<wire::JsonText> lifecycle;
    std::optional<wire::JsonText> telemetry;
};
BOOST_DESCRIBE_STRUCT(RuntimeInitRequest, (),
                      (sandbox_id, generation, entrypoint_policy, access_token_hash, envs, lifecycle,
                       telemetry))
constexpr auto wire_notes(RuntimeInitRequest const*) {
    return wire::notes(
        {{.field = "sandbox_id", .wire = "sandboxId"},
         {.field = "entrypoint_policy", .wire = "entrypointPolicy", .doc = "keep; restart: 501"},
         {.field = "access_token_hash",
          .wire = "accessTokenHash",
          .doc = "sha256:<hex> of a token that is valid from now on"},
         {.field = "lifecycle", .doc = "501 unless empty: there are no hooks"},
         {.field = "telemetry", .doc = "Ignored"}});
}

struct ReadyBody {
    bool initialized = true;
    std::string sandbox_id;
    std::int64_t generation = 0;
};
BOOST_DESCRIBE_STRUCT(ReadyBody, (), (initialized, sandbox_id, generation))
constexpr auto wire_notes(ReadyBody const*) {
    return wire::notes({{.field = "sandbox_id", .wire = "sandboxId"}});
}

}  // namespace execd::opensandbox

#define EXECD_LIFECYCLE_TYPES(X)         \
    X(opensandbox::CreateSandboxRequest) \
    X(opensandbox::SandboxBody)          \
    X(opensandbox::SandboxList)          \
    X(opensandbox::RenewRequest)         \
    X(opensandbox::SandboxEndpoint)      \
    X(opensandbox::DiagnosticBody)       \
    X(opensandbox::MetadataPatch)        \
    X(opensandbox::RuntimeInitRequest)   \
    X(opensandbox::ReadyBody)

namespace execd::wire {
#define EXECD_DECLARE(Type) extern template struct Codec<Type>;
EXECD_LIFECYCLE_TYPES(EXECD_DECLARE)
#undef EXECD_DECLARE
}  // namespace execd::wire
