// /files* and /directories* (contracts/opensandbox.md §1.8, §10, §13): paths in, the domain does the work,
// FileInfo out.
#include <charconv>

#include "execd/dialects/opensandbox/bodies.hpp"
#include "execd/dialects/opensandbox/dialect.hpp"
#include "execd/dialects/opensandbox/file_parts.hpp"
#include "execd/dialects/opensandbox/parts.hpp"
#include "execd/http/wire/formats.hpp"
#include "execd/http/wire/json_text.hpp"
#include "fs/executor.hpp"
#include "fs/list.hpp"
#include "fs/ops.hpp"
#include "fs/path.hpp"
#include "fs/replace.hpp"

namespace execd::opensandbox {

using http::Answer;
using http::Call;

FileInfo file_info(fs::Entry const& entry) {
    FileInfo info;
    info.path = entry.path;
    info.type = fs::to_string(entry.kind);
    info.size = entry.size;
    info.modified_at.at =
        std::chrono::sys_time<std::chrono::nanoseconds>(std::chrono::nanoseconds(entry.mtime_ns));
    info.created_at.at =
        std::chrono::sys_time<std::chrono::nanoseconds>(std::chrono::nanoseconds(entry.ctime_ns));
    info.owner = entry.owner;
    info.group = entry.group;
    info.mode = digits_of_mode(entry.mode & 0777U);
    return info;
}

std::uint32_t digits_of_mode(std::uint32_t mode) {
    return (mode >> 6U & 7U) * 100 + (mode >> 3U & 7U) * 10 + (mode & 7U);
}

Result<std::optional<std::uint32_t>> mode_of_digits(std::int64_t digits) {
    if (digits == 0) return std::optional<std::uint32_t>();
    std::uint32_t mode = 0;
    std::string const text = std::to_string(digits);
    for (char c : text) {
        if (c < '0' || c > '7') return fail(Code::invalid_argument, "mode", "invalid mode: " + text);
        mode = mode * 8 + static_cast<std::uint32_t>(c - '0');
    }
    // As the original: only the permission bits are ever set (§1.8).
    return std::optional<std::uint32_t>(mode & 0777U);
}

// "lstat /x: no such file or directory", as Go words it.
std::string go_text(Error const& error, std::string_view call, std::string_view path) {
    if (error.sys == 0) return error.message();
    return std::string(call) + " " + std::string(path) + ": " + go_errno(error.sys);
}

Answer file_failure(Error const& error, std::string_view path) {
    if (error.code == Code::not_found)
        return refusal(
            404, code::kFileNotFound,
            "file not found. file not found: " + std::string(path) + ": " + go_text(error, "lstat", path));
    if (error.code == Code::no_space)
        return refusal(507, code::kRuntime, "error accessing file: " + go_text(error));
    return refusal(500, code::kRuntime, "error accessing file: " + go_text(error));
}

// The same text as the codec's, at a third of its cost: listings are long and their times and owners alike.
class EntryRenderer {
  public:
    void add(std::string& out, fs::Entry const& entry) {
        out += "{\"path\":";
        wire::append_json_string(out, entry.path);
        out.append(",\"type\":\"").append(fs::to_string(entry.kind)).append("\",\"size\":");
        wire::append_json_uint(out, entry.size);
        out += ",\"modified_at\":\"";
        add_time(out, entry.mtime_ns);
        out += "\",\"created_at\":\"";
        add_time(out, entry.ctime_ns);
        out += "\",\"owner\":";
        wire::append_json_string(out, entry.owner);
        out += ",\"group\":";
        wire::append_json_string(out, entry.group);
        out += ",\"mode\":";
        wire::append_json_uint(out, digits_of_mode(entry.mode & 0777U));
        out += '}';
    }

  private:
    void add_time(std::string& out, std::int64_t ns) {
        if (ns == last_) {
            out += text_;
            return;
        }
        last_ = ns;
        text_.clear();
        wire::Timestamp const at{
            std::chrono::sys_time<std::chrono::nanoseconds>(std::chrono::nanoseconds(ns))};
        wire::append_time(text_, at, wire::TimeFormat::rfc3339);
        out += text_;
    }
    std::int64_t last_ = INT64_MIN;
    std::string text_;
};

std::string render_entries(std::vector<fs::Entry> const& entries) {
    EntryRenderer renderer;
    std::string out = "[";
    out.reserve(entries.size() * 256 + 2);
    for (auto const& entry : entries) {
        if (out.size() > 1) out += ',';
        renderer.add(out, entry);
    }
    out += "]";
    return out;
}

namespace {

Task<Result<Answer>> info(FileAccess access, Call& call) {
    FileInfoMap found;
    for (auto const& asked : call.query_values("path")) {
        auto path = access.path(asked);
        if (!path) co_return refusal(500, code::kRuntime, "error accessing file: " + path.error().detail);
        fs::Stat stat(*path);
        stat.read_link = false;
        auto entry = co_await access.files->run(std::move(stat));
        if (!entry) co_return file_failure(entry.error(), *path);
        found[asked] = file_info(*entry);
    }
    co_return json(to_json(found));
}

Task<Result<Answer>> remove_files(FileAccess access, Call& call) {
    for (auto const& asked : call.query_values("path")) {
        auto path = access.path(asked);
        if (!path)
            co_return refusal(500, code::kRuntime,
                              "error removing file " + asked + ". " + path.error().detail);
        auto removed = co_await access.files->run(fs::Remove(*path, false, true));
        if (removed) continue;
        bool const directory = removed.error().code == Code::is_a_directory;
        co_return refusal(500, code::kRuntime,
                          "error removing file " + asked + ". " +
                              (directory ? "path is a directory: " + *path : go_text(removed.error())));
    }
    co_return Answer::empty();
}

Task<Result<Answer>> set_permissions(FileAccess access, Call& call) {
    Permissions wanted;
    if (auto refused = co_await read_body(call, wanted)) co_return std::move(*refused);
    for (auto const& [asked, permission] : wanted) {
        std::string const before = "error changing permissions for " + asked + ". ";
        auto path = access.path(asked);
        auto mode = mode_of_digits(permission.mode);
        if (!path) co_return refusal(500, code::kRuntime, before + path.error().detail);
        if (!mode) co_return refusal(500, code::kRuntime, before + mode.error().detail);
        fs::SetPermissions set(*path, *mode, fs::Ownership(permission.owner, permission.group, true));
        auto done = co_await access.files->run(std::move(set));
        if (!done) co_return refusal(500, code::kRuntime, before + go_text(done.error()));
    }
    co_return Answer::empty();
}

Task<Result<Answer>> move_files(FileAccess access, Call& call) {
    Renames renames;
    if (auto refused = co_await read_body(call, renames)) co_return std::move(*refused);
    for (auto const& item : renames) {
        auto from = access.path(item.src);
        auto to = access.path(item.dest);
        if (!from || !to)
            co_return refusal(500, code::kRuntime,
                              "error accessing file: " + (from ? to : from).error().detail);
        auto moved = co_await access.files->run(fs::Move(*from, *to));
        if (moved) continue;
        Error const& error = moved.error();
        if (error.code == Code::not_found)
            co_return refusal(
                404, code::kFileNotFound,
                "file not found. source path not found: " + *from + ": " + go_text(error, "stat", *from));
        if (error.code == Code::already_exists)
            co_return refusal(500, code::kRuntime,
                              "error accessing file: destination path already exists: " + *to);
        // Full disks among the rest, when it is a copy across devices.
        co_return file_failure(error, *from);
    }
    co_return Answer::empty();
}

Task<Result<Answer>> replace(FileAccess access, Call& call) {
    Replacements wanted;
    if (auto refused = co_await read_body(call, wanted)) co_return std::move(*refused);
    ReplaceResults counts;
    for (auto const& [asked, item] : wanted) {
        auto path = access.path(asked);
        if (!path) co_return refusal(500, code::kRuntime, "error accessing file: " + path.error().detail);
        auto done = co_await access.files->run(fs::Replace(*path, item.old_text, item.new_text));
        if (!done && done.error().where == "replace.empty")
            co_return refusal(400, code::kBody, "old content must not be empty");
        if (!done) co_return file_failure(done.error(), *path);
        counts[asked].replaced_count = done->replaced;
    }
    if (call.query_value("verbose").value_or("") != "true") co_return Answer::empty();
    co_return json(to_json(counts));
}

// ---- directories
// ------------------------------------------------------------------------------------------------

Task<Result<Answer>> list_directory(FileAccess access, Call& call) {
    auto const asked = call.query_value("path");
    if (!asked || asked->empty()) co_return refusal(400, code::kQuery, "missing query parameter 'path'");
    std::string_view const depth_text = call.query_value("depth").value_or("1");
    std::uint32_t depth = 0;
    auto const [end, ec] = std::from_chars(depth_text.data(), depth_text.data() + depth_text.size(), depth);
    if (ec != std::errc() || end != depth_text.data() + depth_text.size())
        co_return refusal(400, code::kBody, "invalid query parameter 'depth': " + std::string(depth_text));
    auto path = access.path(*asked);
    if (!path)
        co_return refusal(500, code::kRuntime,
                          "error listing directory " + std::string(*asked) + ". " + path.error().detail);
    fs::ListOptions options(*path);
    options.depth = depth;
    options.read_links = false;
    fs::List list(std::move(options));
    auto listing = co_await access.files->run(std::move(list));
    if (!listing) {
        Error const& error = listing.error();
        if (error.where == "list.symlink")
            co_return refusal(400, code::kBody, "path is a symbolic link, refusing to traverse: " + *path);
        if (error.code == Code::not_a_directory)
            co_return refusal(400, code::kBody, "path is not a directory: " + *path);
        if (error.code == Code::not_found) co_return file_failure(error, *path);
        co_return refusal(500, code::kRuntime, "error listing directory " + *path + ". " + go_text(error));
    }
    if (listing->truncated)
        co_return refusal(500, code::kRuntime,
                          "error listing directory " + *path + ". more than " +
                              std::to_string(listing->entries.size()) + " entries");
    // Thousands of entries: rendered off the loop.
    auto text = co_await access.loop().pool().run(
        Lane::metadata, [entries = &listing->entries] { return render_entries(*entries); });
    co_return json(std::move(text));
}

Task<Result<Answer>> make_directories(FileAccess access, Call& call) {
    Permissions wanted;
    if (auto refused = co_await read_body(call, wanted)) co_return std::move(*refused);
    for (auto const& [asked, permission] : wanted) {
        auto path = access.path(asked);
        auto mode = mode_of_digits(permission.mode);
        if (!path) co_return refusal(500, code::kRuntime, "error accessing file: " + path.error().detail);
        if (!mode) co_return refusal(500, code::kRuntime, "error accessing file: " + mode.error().detail);
        fs::MakeDirectory make(*path, *mode);
        make.owner = fs::Ownership(permission.owner, permission.group, true);
        auto made = co_await access.files->run(std::move(make));
        if (!made) co_return file_failure(made.error(), *path);
    }
    co_return Answer::empty();
}

Task<Result<Answer>> remove_directories(FileAccess access, Call& call) {
    for (auto const& asked : call.query_values("path")) {
        auto path = access.path(asked);
        if (!path)
            co_return refusal(500, code::kRuntime,
                              "error removing directory " + asked + ". " + path.error().detail);
        auto removed = co_await access.files->run(fs::Remove(*path, true, true));
        if (!removed)
            co_return refusal(500, code::kRuntime,
                              "error removing directory " + asked + ". " + go_text(removed.error()));
    }
    co_return Answer::empty();
}

}  // namespace

namespace {

struct Route {
    char const* method;
    char const* path;
    char const* id;
    FileHandler run;
    char const* doc;
    wire::Ops const* request = nullptr;
    wire::Ops const* answer = nullptr;
};

std::vector<Route> routes() {
    using wire::Codec;
    return {
        {"GET", "/files/info", "getFilesInfo", info, "What is known of each path.", nullptr,
         &Codec<FileInfoMap>::ops},
        {"DELETE", "/files", "removeFiles", remove_files, "Removes files; missing ones are fine."},
        {"POST", "/files/permissions", "chmodFiles", set_permissions, "Mode and owner by path.",
         &Codec<Permissions>::ops},
        {"POST", "/files/mv", "renameFiles", move_files, "Moves, one after the other.", &Codec<Renames>::ops},
        {"POST", "/files/replace", "replaceContent", replace, "Replaces text in files.",
         &Codec<Replacements>::ops},
        {"GET", "/files/search", "searchFiles", search_files, "Files below a path whose name matches.",
         nullptr, &Codec<FileInfos>::ops},
        {"GET", "/files/download", "downloadFile", download,
         "A file, a byte range of it, or a window of lines."},
        {"POST", "/files/upload", "uploadFile", upload, "Files with their metadata, as multipart."},
        {"GET", "/directories/list", "listDirectory", list_directory, "Entries below a directory.", nullptr,
         &Codec<FileInfos>::ops},
        {"POST", "/directories", "makeDirs", make_directories, "mkdir -p with permissions.",
         &Codec<Permissions>::ops},
        {"DELETE", "/directories", "removeDirs", remove_directories, "Removes trees; missing ones are fine."},
    };
}

http::Row row_of(Services& services, Route const& route) {
    http::Row row;
    row.tag = "Filesystem";
    row.method = route.method;
    row.path = route.path;
    row.operation_id = route.id;
    row.doc = route.doc;
    row.on_disconnect = http::OnDisconnect::keep;
    if (route.run == search_files) row.on_disconnect = http::OnDisconnect::cancel;
    if (route.request != nullptr) {
        row.body = http::BodyPolicy::json;
        row.body_limit = 64U << 20;
        row.request = route.request;
    }
    if (route.answer != nullptr)
        row.statuses = {{200, route.answer, "application/json", "By path or as a list"}};
    if (route.run == download)
        row.statuses = {{200, nullptr, "application/octet-stream", "Bytes"},
                        {206, nullptr, "application/octet-stream", "A range"}};
    if (route.run == upload) {
        row.body = http::BodyPolicy::multipart;
        row.body_limit = services.config.upload_limit;
    }
    return row;
}

}  // namespace

void add_files(Services& services, std::vector<http::Row>& out) {
    Services* const s = &services;
    for (auto const& route : routes()) {
        http::Row row = row_of(services, route);
        row.invoke = [s, run = route.run](Call& call) { return run(FileAccess(*s), call); };
        QuickFileHandler quick = nullptr;
        if (route.run == download) quick = download_at_once;
        if (route.run == upload) quick = upload_at_once;
        if (quick != nullptr) row.sync = [s, quick](Call& call) { return quick(FileAccess(*s), call); };
        out.push_back(row);
        row.sync = nullptr;
        row.path = "/v1/filesystem/{uid}/{gid}" + row.path;
        row.operation_id += "AsUser";
        row.doc += " Under the identity of the path.";
        // Nobody waits for a worker that hangs: it is killed when its client goes.
        row.on_disconnect = http::OnDisconnect::cancel;
        row.invoke = [s, run = route.run](Call& call) { return with_identity(*s, call, run); };
        out.push_back(std::move(row));
    }
}

}  // namespace execd::opensandbox
