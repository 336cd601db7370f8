// Request and answer bodies of /execd/v1/files (docs/files.md).
#pragma once
#include <boost/describe/class.hpp>
#include <boost/describe/enum.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "execd/http/wire/describe.hpp"
#include "execd/http/wire/types.hpp"

namespace execd::own::files {

enum class Pick { first, last, all };
BOOST_DESCRIBE_ENUM(Pick, first, last, all)

struct EditItem {
    std::string old_text;
    std::string new_text;
    Pick which = Pick::all;
    bool required = true;
    bool unique = false;
};
BOOST_DESCRIBE_STRUCT(EditItem, (), (old_text, new_text, which, required, unique))
constexpr auto wire_notes(EditItem const*) {
    return wire::notes(
        {{.field = "old_text", .wire = "old", .doc = "Text to replace, as it is", .min_len = 1},
         {.field = "new_text", .wire = "new"},
         {.field = "which", .doc = "Which of several places", .defaulted = true},
         {.field = "required", .doc = "Not found is an error", .defaulted = true},
         {.field = "unique", .doc = "Found more than once is an error", .defaulted = true}});
}

/// Of requests: the exact bytes of a path that is not UTF-8, instead of `path`.
constexpr wire::Note note_path() { return {.field = "path", .defaulted = true}; }
constexpr wire::Note note_path_bytes() {
    return {.field = "path_base64", .doc = "The path's bytes, when they are not UTF-8, instead of path"};
}

struct EditRequest {
    std::string path;
    std::optional<std::string> path_base64;
    std::vector<EditItem> edits;
    std::optional<std::string> expected_sha256;
    std::optional<std::int64_t> expected_mtime_ns;
    bool dry = false;
    std::string encoding = "auto";
};
BOOST_DESCRIBE_STRUCT(EditRequest, (),
                      (path, path_base64, edits, expected_sha256, expected_mtime_ns, dry, encoding))
constexpr auto wire_notes(EditRequest const*) {
    return wire::notes({note_path(),
                        note_path_bytes(),
                        {.field = "edits", .doc = "Made in order; all or none", .min_len = 1},
                        {.field = "expected_sha256", .doc = "409 when the file is another one"},
                        {.field = "expected_mtime_ns", .doc = "409 when the file was changed since"},
                        {.field = "dry", .doc = "Only say what would be", .defaulted = true},
                        {.field = "encoding", .doc = "Of the file, as in GET /text", .defaulted = true}});
}
struct EditAnswer {
    std::uint64_t replaced = 0;
    std::string diff;
    std::string sha256;
    std::uint64_t size = 0;
    std::int64_t mtime_ns = 0;
};
BOOST_DESCRIBE_STRUCT(EditAnswer, (), (replaced, diff, sha256, size, mtime_ns))

enum class ReplaceMode { ALL, FIRST, LAST };
BOOST_DESCRIBE_ENUM(ReplaceMode, ALL, FIRST, LAST)

struct ToolRequest {
    std::string command;
    std::string path;
    std::optional<std::string> path_base64;
    std::optional<std::string> file_text, old_str, new_str;
    std::optional<std::int64_t> insert_line;
    std::vector<std::int64_t> view_range;
    std::optional<ReplaceMode> replace_mode;
};
BOOST_DESCRIBE_STRUCT(ToolRequest, (),
                      (command, path, path_base64, file_text, old_str, new_str, insert_line, view_range,
                       replace_mode))
constexpr auto wire_notes(ToolRequest const*) {
    return wire::notes({{.field = "command", .doc = "view, create, str_replace, insert or undo_edit"},
                        note_path(),
                        note_path_bytes(),
                        {.field = "view_range", .max_len = 16, .defaulted = true}});
}
struct ToolAnswer {
    std::string output;
    std::optional<std::string> error;
    std::string path;
    bool prev_exist = false;
    std::optional<std::string> old_content, new_content;
};
BOOST_DESCRIBE_STRUCT(ToolAnswer, (), (output, error, path, prev_exist, old_content, new_content))

enum class EntryKind { file, directory, symlink, other };
BOOST_DESCRIBE_ENUM(EntryKind, file, directory, symlink, other)

struct EntryBody {
    std::string path;
    std::optional<std::string> path_base64;  // the exact bytes of a name that is not UTF-8
    EntryKind kind = EntryKind::file;
    std::uint64_t size = 0;
    std::int64_t mtime_ns = 0;
    std::string mode;  // octal
    std::uint32_t uid = 0, gid = 0;
    std::string owner, group;
};
BOOST_DESCRIBE_STRUCT(EntryBody, (), (path, path_base64, kind, size, mtime_ns, mode, uid, gid, owner, group))

struct FindRequest {
    std::string path;
    std::optional<std::string> path_base64;
    std::string pattern = "**";
    bool whole_path = false;
    bool ignore_case = false;
    bool directories = false;
    bool hidden = true;
    bool gitignore = false;
    std::vector<std::string> exclude;
    std::uint32_t max_depth = UINT32_MAX;
    std::uint64_t max_results = 10'000;
};
BOOST_DESCRIBE_STRUCT(FindRequest, (),
                      (path, path_base64, pattern, whole_path, ignore_case, directories, hidden, gitignore,
                       exclude, max_depth, max_results))
constexpr auto wire_notes(FindRequest const*) {
    return wire::notes({note_path(),
                        note_path_bytes(),
                        {.field = "pattern", .doc = "Glob: * ? [a-z] {a,b} ** !(x)", .defaulted = true},
                        {.field = "whole_path", .doc = "Against the path, not the name", .defaulted = true},
                        {.field = "ignore_case", .defaulted = true},
                        {.field = "directories", .doc = "Answer directories too", .defaulted = true},
                        {.field = "hidden", .defaulted = true},
                        {.field = "gitignore", .doc = "Leave out what .gitignore names", .defaulted = true},
                        {.field = "exclude", .doc = "Globs of names not to enter", .defaulted = true},
                        {.field = "max_depth", .min = 1, .defaulted = true},
                        {.field = "max_results", .min = 1, .max = 1e6, .defaulted = true}});
}
struct FindAnswer {
    std::vector<EntryBody> entries;
    bool truncated = false;
};
BOOST_DESCRIBE_STRUCT(FindAnswer, (), (entries, truncated))

struct GrepRequest {
    std::string path;
    std::optional<std::string> path_base64;
    std::string pattern;
    bool fixed = false;
    bool ignore_case = false;
    bool multiline = false;
    bool hidden = false;
    bool gitignore = true;
    std::vector<std::string> include, exclude, types;
    std::uint32_t before = 0, after = 0;
    std::uint64_t skip = 0;
    std::uint64_t max_matches = 500;
    std::uint64_t max_file_size = 16U << 20;
    std::uint32_t max_ms = 30'000;
};
BOOST_DESCRIBE_STRUCT(GrepRequest, (),
                      (path, path_base64, pattern, fixed, ignore_case, multiline, hidden, gitignore, include,
                       exclude, types, before, after, skip, max_matches, max_file_size, max_ms))
constexpr auto wire_notes(GrepRequest const*) {
    return wire::notes({note_path(),
                        note_path_bytes(),
                        {.field = "pattern", .doc = "PCRE2, or a plain text with fixed", .min_len = 1},
                        {.field = "fixed", .defaulted = true},
                        {.field = "ignore_case", .defaulted = true},
                        {.field = "multiline", .defaulted = true},
                        {.field = "hidden", .defaulted = true},
                        {.field = "gitignore", .defaulted = true},
                        {.field = "include", .doc = "Globs; none: every file", .defaulted = true},
                        {.field = "exclude", .defaulted = true},
                        {.field = "types", .doc = "ripgrep's names: py, cpp, js ...", .defaulted = true},
                        {.field = "before", .max = 100, .defaulted = true},
                        {.field = "after", .max = 100, .defaulted = true},
                        {.field = "skip", .defaulted = true},
                        {.field = "max_matches", .min = 1, .max = 1e5, .defaulted = true},
                        {.field = "max_file_size", .max = 1 << 30, .defaulted = true},
                        {.field = "max_ms", .min = 1, .max = 600'000, .defaulted = true}});
}
struct MatchBody {
    std::string file;
    std::optional<std::string> file_base64;  // as path_base64 of EntryBody
    std::uint64_t line = 0;
    std::string text;
    std::uint32_t column = 0, length = 0;
    std::vector<std::string> before, after;
};
BOOST_DESCRIBE_STRUCT(MatchBody, (), (file, file_base64, line, text, column, length, before, after))
struct GrepAnswer {
    std::vector<MatchBody> matches;
    std::uint64_t files_searched = 0, files_matched = 0, files_skipped = 0, skipped_large = 0, too_hard = 0;
    bool truncated = false;
    std::string limit;
};
BOOST_DESCRIBE_STRUCT(GrepAnswer, (),
                      (matches, files_searched, files_matched, files_skipped, skipped_large, too_hard,
                       truncated, limit))

struct TextQuery {
    std::string path;
    std::optional<std::uint64_t> begin, end, offset, length;
    std::string encoding = "auto";
};
BOOST_DESCRIBE_STRUCT(TextQuery, (), (path, begin, end, offset, length, encoding))
constexpr auto wire_notes(TextQuery const*) {
    using enum wire::Place;
    return wire::notes({{.field = "path", .min_len = 1, .place = query},
                        {.field = "begin", .doc = "First line, from 0", .place = query},
                        {.field = "end", .doc = "First line not wanted", .place = query},
                        {.field = "offset", .doc = "First byte, instead of lines", .place = query},
                        {.field = "length", .doc = "Bytes", .place = query},
                        {.field = "encoding", .place = query, .defaulted = true}});
}
struct TextAnswer {
    std::string text;
    std::string encoding;
    std::uint64_t size = 0, lines = 0;
    std::int64_t mtime_ns = 0;
    std::string sha256;
    std::string mode;
};
BOOST_DESCRIBE_STRUCT(TextAnswer, (), (text, encoding, size, lines, mtime_ns, sha256, mode))
struct TextRequest {
    std::string path;
    std::optional<std::string> path_base64;
    std::string text;
    std::string encoding = "utf-8";
    bool append = false;
    std::optional<std::string> mode;
};
BOOST_DESCRIBE_STRUCT(TextRequest, (), (path, path_base64, text, encoding, append, mode))
constexpr auto wire_notes(TextRequest const*) {
    return wire::notes({note_path(),
                        note_path_bytes(),
                        {.field = "encoding", .defaulted = true},
                        {.field = "append", .defaulted = true},
                        {.field = "mode", .doc = "Octal", .pattern = "^0?[0-7]{3,4}$"}});
}
struct WrittenBody {
    std::string path;
    std::optional<std::string> path_base64;
    std::uint64_t size = 0;
    bool created = false;
    std::int64_t mtime_ns = 0;
};
BOOST_DESCRIBE_STRUCT(WrittenBody, (), (path, path_base64, size, created, mtime_ns))

struct ContentQuery {
    std::string path;
    std::optional<std::string> sha256, mode;
    std::string owner, group;
    bool create_only = false;
};
BOOST_DESCRIBE_STRUCT(ContentQuery, (), (path, sha256, mode, owner, group, create_only))
constexpr auto wire_notes(ContentQuery const*) {
    using enum wire::Place;
    return wire::notes({{.field = "path", .min_len = 1, .place = query},
                        {.field = "sha256", .pattern = "^[0-9a-fA-F]{64}$", .place = query},
                        {.field = "mode", .doc = "Octal", .pattern = "^0?[0-7]{3,4}$", .place = query},
                        {.field = "owner", .place = query, .defaulted = true},
                        {.field = "group", .place = query, .defaulted = true},
                        {.field = "create_only", .place = query, .defaulted = true}});
}

struct PackQuery {
    std::string path;
    std::string format = "tar.gz";
    std::vector<std::string> exclude;
    bool gitignore = false;
    std::optional<int> level;
};
BOOST_DESCRIBE_STRUCT(PackQuery, (), (path, format, exclude, gitignore, level))
constexpr auto wire_notes(PackQuery const*) {
    using enum wire::Place;
    return wire::notes(
        {{.field = "path", .min_len = 1, .place = query},
         {.field = "format", .doc = "tar, tar.gz or tar.zst", .place = query, .defaulted = true},
         {.field = "exclude", .place = query, .defaulted = true},
         {.field = "gitignore", .place = query, .defaulted = true},
         {.field = "level", .min = 1, .max = 19, .place = query}});
}
struct UnpackQuery {
    std::string path;
    bool overwrite = true;
    bool owners = false;
    std::optional<std::string> sha256;
    std::uint64_t max_bytes = 64ULL << 30;
    std::uint64_t max_entries = 1'000'000;
};
BOOST_DESCRIBE_STRUCT(UnpackQuery, (), (path, overwrite, owners, sha256, max_bytes, max_entries))
constexpr auto wire_notes(UnpackQuery const*) {
    using enum wire::Place;
    return wire::notes({{.field = "path", .min_len = 1, .place = query},
                        {.field = "overwrite", .place = query, .defaulted = true},
                        {.field = "owners", .place = query, .defaulted = true},
                        {.field = "sha256", .pattern = "^[0-9a-fA-F]{64}$", .place = query},
                        {.field = "max_bytes", .place = query, .defaulted = true},
                        {.field = "max_entries", .place = query, .defaulted = true}});
}
struct UnpackedBody {
    std::uint64_t files = 0, directories = 0, links = 0, bytes = 0, skipped = 0;
};
BOOST_DESCRIBE_STRUCT(UnpackedBody, (), (files, directories, links, bytes, skipped))

struct WatchRequest {
    std::string path;
    std::optional<std::string> path_base64;
    bool recursive = true;
    std::vector<std::string> include, exclude;
    std::uint32_t debounce_ms = 300;
    bool scan = false;
};
BOOST_DESCRIBE_STRUCT(WatchRequest, (), (path, path_base64, recursive, include, exclude, debounce_ms, scan))
constexpr auto wire_notes(WatchRequest const*) {
    return wire::notes(
        {note_path(),
         note_path_bytes(),
         {.field = "recursive", .defaulted = true},
         {.field = "include", .defaulted = true},
         {.field = "exclude", .defaulted = true},
         {.field = "debounce_ms", .max = 60'000, .defaulted = true},
         {.field = "scan", .doc = "Compare once a second instead of inotify", .defaulted = true}});
}
struct WatchBody {
    std::string id;
    std::uint64_t cursor = 0;
    bool scanning = false;
};
BOOST_DESCRIBE_STRUCT(WatchBody, (), (id, cursor, scanning))

struct EventsQuery {
    std::string id;
    std::uint64_t cursor = 0;
    std::uint32_t limit = 1000;
    std::uint32_t wait_ms = 0;
};
BOOST_DESCRIBE_STRUCT(EventsQuery, (), (id, cursor, limit, wait_ms))
constexpr auto wire_notes(EventsQuery const*) {
    using enum wire::Place;
    return wire::notes({{.field = "id", .place = path},
                        {.field = "cursor", .doc = "The last event known", .place = query, .defaulted = true},
                        {.field = "limit", .min = 1, .max = 10'000, .place = query, .defaulted = true},
                        {.field = "wait_ms", .max = 300'000, .place = query, .defaulted = true}});
}
struct EventBody {
    std::uint64_t number = 0;
    std::string change;
    std::string path;
    std::optional<std::string> path_base64;
    std::optional<std::string> old_path;
    std::optional<std::string> old_path_base64;
    bool directory = false;
    std::int64_t at_ms = 0;
};
BOOST_DESCRIBE_STRUCT(EventBody, (),
                      (number, change, path, path_base64, old_path, old_path_base64, directory, at_ms))
struct EventsBody {
    std::vector<EventBody> events;
    std::uint64_t cursor = 0, lost = 0;
    bool ended = false, scanning = false;
};
BOOST_DESCRIBE_STRUCT(EventsBody, (), (events, cursor, lost, ended, scanning))

enum class WaitKind { exists, gone, changed };
BOOST_DESCRIBE_ENUM(WaitKind, exists, gone, changed)
struct WaitQuery {
    std::string path;
    WaitKind what = WaitKind::exists;
    std::uint32_t timeout_ms = 30'000;
};
BOOST_DESCRIBE_STRUCT(WaitQuery, (), (path, what, timeout_ms))
constexpr auto wire_notes(WaitQuery const*) {
    using enum wire::Place;
    return wire::notes({{.field = "path", .min_len = 1, .place = query},
                        {.field = "what", .wire = "for", .place = query, .defaulted = true},
                        {.field = "timeout_ms", .max = 3'600'000, .place = query, .defaulted = true}});
}
struct WaitBody {
    bool met = false, exists = false;
    std::uint64_t size = 0;
    std::int64_t mtime_ns = 0;
};
BOOST_DESCRIBE_STRUCT(WaitBody, (), (met, exists, size, mtime_ns))

}  // namespace execd::own::files

namespace execd::wire {
extern template struct Codec<own::files::EditRequest>;
extern template struct Codec<own::files::EditAnswer>;
extern template struct Codec<own::files::ToolRequest>;
extern template struct Codec<own::files::ToolAnswer>;
extern template struct Codec<own::files::FindRequest>;
extern template struct Codec<own::files::FindAnswer>;
extern template struct Codec<own::files::GrepRequest>;
extern template struct Codec<own::files::GrepAnswer>;
extern template struct Codec<own::files::TextQuery>;
extern template struct Codec<own::files::TextAnswer>;
extern template struct Codec<own::files::TextRequest>;
extern template struct Codec<own::files::WrittenBody>;
extern template struct Codec<own::files::ContentQuery>;
extern template struct Codec<own::files::PackQuery>;
extern template struct Codec<own::files::UnpackQuery>;
extern template struct Codec<own::files::UnpackedBody>;
extern template struct Codec<own::files::WatchRequest>;
extern template struct Codec<own::files::WatchBody>;
extern template struct Codec<own::files::EventsQuery>;
extern template struct Codec<own::files::EventsBody>;
extern template struct Codec<own::files::EventBody>;
extern template struct Codec<own::files::WaitQuery>;
extern template struct Codec<own::files::WaitBody>;
}  // namespace execd::wire
