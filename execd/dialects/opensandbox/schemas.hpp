// Request and answer bodies of the OpenSandbox dialect (contracts/opensandbox.md §1, opensandbox-1.1.md §1),
// as the original's Go structs name them: its validator texts show those names.
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

struct RunCommandRequest {
    std::string command;
    std::optional<std::vector<std::string>> argv;
    std::string cwd;
    bool background = false;
    std::int64_t timeout = 0;
    std::optional<std::uint32_t> uid;
    std::optional<std::uint32_t> gid;
    std::map<std::string, std::string> envs;
};
BOOST_DESCRIBE_STRUCT(RunCommandRequest, (), (command, argv, cwd, background, timeout, uid, gid, envs))
constexpr auto wire_notes(RunCommandRequest const*) {
    return wire::notes(
        {{.field = "command", .doc = "Shell text; exactly one of command and argv", .label = "Command"},
         {.field = "argv", .doc = "Program and arguments, run without a shell", .label = "Argv"},
         {.field = "cwd", .doc = "Working directory; ~ and $NAME are expanded"},
         {.field = "background", .doc = "Answer at once and let it run on"},
         {.field = "timeout",
          .doc = "Milliseconds after which the whole tree is killed; 0 is never",
          .label = "TimeoutMs",
          .min = 0},
         {.field = "uid", .label = "Uid"},
         {.field = "gid", .doc = "Needs uid", .label = "Gid"},
         {.field = "envs", .doc = "Over every other layer of the environment"}});
}

struct CodeContext {
    std::string id;
    std::string language;
    std::string cwd;
};
BOOST_DESCRIBE_STRUCT(CodeContext, (), (id, language, cwd))
constexpr auto wire_notes(CodeContext const*) {
    return wire::notes({{.field = "id", .omit_empty = true}, {.field = "cwd", .omit_empty = true}});
}

struct RunCodeRequest {
    CodeContext context;
    std::string code;
};
BOOST_DESCRIBE_STRUCT(RunCodeRequest, (), (context, code))
constexpr auto wire_notes(RunCodeRequest const*) {
    return wire::notes({{.field = "code", .label = "Code", .non_empty = true}});
}

struct CodeContextRequest {
    std::string language;
    std::string cwd;
};
BOOST_DESCRIBE_STRUCT(CodeContextRequest, (), (language, cwd))

struct CommandStatus {
    std::string id;
    std::string content;
    bool running = false;
    std::optional<int> exit_code;
    std::string error;
    wire::Timestamp started_at;
    std::optional<wire::Timestamp> finished_at;
};
BOOST_DESCRIBE_STRUCT(CommandStatus, (), (id, content, running, exit_code, error, started_at, finished_at))
constexpr auto wire_notes(CommandStatus const*) {
    return wire::notes({{.field = "content", .omit_empty = true}, {.field = "error", .omit_empty = true}});
}

struct FileInfo {
    std::string path;
    std::string type;
    std::uint64_t size = 0;
    wire::Timestamp modified_at;
    wire::Timestamp created_at;
    std::string owner;
    std::string group;
    std::uint32_t mode = 0;  // decimal digits are the octal permission: 644
};
BOOST_DESCRIBE_STRUCT(FileInfo, (), (path, type, size, modified_at, created_at, owner, group, mode))

struct Permission {
    std::string owner;
    std::string group;
    std::int64_t mode = 0;  // digits as above; 0 leaves it
};
BOOST_DESCRIBE_STRUCT(Permission, (), (owner, group, mode))

struct FileMetadata {
    std::string path;
    std::string owner;
    std::string group;
    std::int64_t mode = 0;
};
BOOST_DESCRIBE_STRUCT(FileMetadata, (), (path, owner, group, mode))

struct RenameFileItem {
    std::string src;
    std::string dest;
};
BOOST_DESCRIBE_STRUCT(RenameFileItem, (), (src, dest))

/// `old` and `new` on the wire; `new` is a keyword here.
struct ReplaceFileContentItem {
    std::string old_text;
    std::string new_text;
};
BOOST_DESCRIBE_STRUCT(ReplaceFileContentItem, (), (old_text, new_text))
constexpr auto wire_notes(ReplaceFileContentItem const*) {
    return wire::notes({{.field = "old_text", .wire = "old"}, {.field = "new_text", .wire = "new"}});
}

struct ReplaceResult {
    std::uint64_t replaced_count = 0;
};
BOOST_DESCRIBE_STRUCT(ReplaceResult, (), (replaced_count))
constexpr auto wire_notes(ReplaceResult const*) {
    return wire::notes({{.field = "replaced_count", .wire = "replacedCount"}});
}

using Permissions = std::map<std::string, Permission>;
using Replacements = std::map<std::string, ReplaceFileContentItem>;
using ReplaceResults = std::map<std::string, ReplaceResult>;
using Renames = std::vector<RenameFileItem>;
using FileInfos = std::vector<FileInfo>;
using FileInfoMap = std::map<std::string, FileInfo>;
using CodeContexts = std::vector<CodeContext>;

}  // namespace execd::opensandbox

namespace execd::wire {
extern template struct Codec<opensandbox::RunCommandRequest>;
extern template struct Codec<opensandbox::RunCodeRequest>;
extern template struct Codec<opensandbox::CodeContextRequest>;
extern template struct Codec<opensandbox::CodeContext>;
extern template struct Codec<opensandbox::CodeContexts>;
extern template struct Codec<opensandbox::CommandStatus>;
extern template struct Codec<opensandbox::FileInfo>;
extern template struct Codec<opensandbox::FileInfos>;
extern template struct Codec<opensandbox::FileInfoMap>;
extern template struct Codec<opensandbox::FileMetadata>;
extern template struct Codec<opensandbox::Permissions>;
extern template struct Codec<opensandbox::Renames>;
extern template struct Codec<opensandbox::Replacements>;
extern template struct Codec<opensandbox::ReplaceResults>;
}  // namespace execd::wire
