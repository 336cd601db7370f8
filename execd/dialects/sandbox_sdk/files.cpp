// Files of a sandbox (docs/sandbox-sdk.md). The file system is the container's: relative paths begin in the
// workspace.
#include "execd/dialects/sandbox_sdk/parts.hpp"
#include "execd/dialects/sandbox_sdk/query_path.hpp"
#include "fs/edit.hpp"
#include "fs/executor.hpp"
#include "fs/list.hpp"
#include "fs/ops.hpp"
#include "fs/path.hpp"

namespace execd::sandbox_sdk {

using http::Answer;
using http::Call;

namespace {

constexpr std::uint64_t kMostEntries = 100'000;
constexpr std::size_t kEntryWeight = 400;  // bytes of JSON, about

Task<Result<std::string>> asked_path(State& state, Call& call) {
    auto asked = path_of_query(call.head->query);
    if (!asked || asked->empty())
        co_return fail(Code::invalid_argument, "", "path query parameter is required");
    std::string text = std::move(*asked);
    co_return co_await state.workspace.path_of(std::move(text));
}

Task<Result<Answer>> read_file(State& state, Call& call, http::Nothing) {
    auto entered = enter(state, call);
    if (!entered) co_return Failure(entered.error());
    auto path = co_await asked_path(state, call);
    if (!path) co_return Failure(path.error());
    fs::ReadText op(*path);
    op.base64_if_binary = true;
    auto text = co_await state.services.files->run(std::move(op));
    if (!text) co_return Failure(text.error());
    ReadAnswer out;
    out.content = std::move(text->text);
    out.encoding = fs::to_string(text->encoding);
    out.path = std::move(*path);
    std::size_t const weight = out.content.size();
    co_return co_await answer_of(state, std::move(out), weight);
}

Task<Result<WriteAnswer>> write_file(State& state, Call& call, WriteRequest request) {
    auto entered = enter(state, call);
    if (!entered) co_return Failure(entered.error());
    auto path = co_await asked_path(state, call);
    if (!path) co_return Failure(path.error());
    if (!request.create_parents.value_or(true)) {
        fs::Stat parent(std::string(fs::parent_of(*path)), true);
        auto there = co_await state.services.files->run(std::move(parent));
        if (!there) co_return Failure(there.error());
    }
    fs::WriteText op(*path, std::move(request.content));
    auto written = co_await state.services.files->run(std::move(op));
    if (!written) co_return Failure(written.error());
    WriteAnswer out;
    out.path = std::move(*path);
    out.size = written->size;
    co_return out;
}

Task<Result<MessageBody>> delete_file(State& state, Call& call, http::Nothing) {
    auto entered = enter(state, call);
    if (!entered) co_return Failure(entered.error());
    auto path = co_await asked_path(state, call);
    if (!path) co_return Failure(path.error());
    fs::Remove op(*path);
    auto removed = co_await state.services.files->run(std::move(op));
    if (!removed) co_return Failure(removed.error());
    MessageBody out;
    out.message = "File deleted successfully";
    co_return out;
}

// What read and delete take again: relative to the workspace when the directory was.
std::string shown_path(std::string const& asked, fs::Entry const& entry) {
    if (asked.starts_with('/')) return entry.path;
    std::string const directory = fs::clean_path(asked);
    return directory == "." ? entry.name : fs::join_path(directory, entry.name);
}

FileRow row_of_entry(std::string const& asked, fs::Entry const& entry) {
    auto const at = [](std::int64_t ns) {
        return wire::Timestamp{std::chrono::sys_time<std::chrono::nanoseconds>(std::chrono::nanoseconds(ns))};
    };
    FileRow out;
    out.path = shown_path(asked, entry);
    out.name = entry.name;
    out.is_directory = out.is_directory_camel = entry.kind == fs::Kind::directory;
    out.size = entry.size;
    out.created_at = out.created_at_camel = at(std::min(entry.ctime_ns, entry.mtime_ns));
    out.modified_at = out.modified_at_camel = at(entry.mtime_ns);
    return out;
}

Task<Result<Answer>> list_files(State& state, Call& call, http::Nothing) {
    auto entered = enter(state, call);
    if (!entered) co_return Failure(entered.error());
    std::string asked = path_of_query(call.head->query).value_or("");
    if (asked.empty()) asked = ".";
    auto path = co_await state.workspace.path_of(asked);
    if (!path) co_return Failure(path.error());
    fs::ListOptions options(*path);
    options.follow_root = true;
    options.skip_unreadable = true;
    options.max_entries = kMostEntries;
    fs::List op(std::move(options));
    auto found = co_await state.services.files->run(std::move(op));
    if (!found) co_return Failure(found.error());
    FilesAnswer out;
    std::function<void()> convert = [&found, &out, &asked] {
        for (auto const& entry : found->entries) out.files.push_back(row_of_entry(asked, entry));
    };
    std::size_t const weight = found->entries.size() * kEntryWeight;
    co_await do_work(state.services, weight, std::move(convert));
    out.directory = std::move(asked);
    out.truncated = found->truncated;
    co_return co_await answer_of(state, std::move(out), weight);
}

}  // namespace

void add_files(Table& table) {
    std::string const path = "/api/sandboxes/{sandboxId}/files";
    table.add<http::Nothing, ReadAnswer>(
        row_of("GET", path, "ReadFile", "A file's text (?path=, to the end of the query, encoded or not)."),
        read_file);
    auto row = row_of("POST", path, "WriteFile", "Writes a file (?path=).");
    row.body_limit = 256U << 20;
    table.add<WriteRequest, WriteAnswer>(std::move(row), write_file);
    row = row_of("DELETE", path, "DeleteFile", "Deletes a file (?path=).");
    row.on_disconnect = http::OnDisconnect::keep;
    table.add<http::Nothing, MessageBody>(std::move(row), delete_file);
    table.add<http::Nothing, FilesAnswer>(
        row_of("GET", path + "/list", "ListFiles", "Names in a directory (?path=, default the workspace)."),
        list_files);
}

}  // namespace execd::sandbox_sdk
