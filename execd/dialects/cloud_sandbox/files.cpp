// /api/v1/files (docs/cloud-sandbox.md). The file system is the container's: relative paths begin in the
// workspace.
#include "execd/dialects/cloud_sandbox/parts.hpp"
#include "fs/edit.hpp"
#include "fs/executor.hpp"
#include "fs/list.hpp"
#include "fs/ops.hpp"

namespace execd::cloud_sandbox {

using http::Answer;
using http::Call;

namespace {

constexpr std::uint64_t kMostEntries = 100'000;
constexpr std::size_t kEntryWeight = 200;  // bytes of JSON, about

FileRow described(fs::Entry const& entry) {
    FileRow out;
    out.name = entry.name;
    out.path = entry.path;
    out.size = entry.size;
    out.is_dir = entry.kind == fs::Kind::directory;
    out.mod_time.at =
        std::chrono::sys_time<std::chrono::nanoseconds>(std::chrono::nanoseconds(entry.mtime_ns));
    return out;
}

Task<Result<Answer>> list(State& state, Call& call, FilesQuery query) {
    auto entered = enter(state, call, query.sandbox_id);
    if (!entered) co_return Failure(entered.error());
    std::string asked = query.path.value_or("");
    if (asked.empty()) asked = ".";
    auto path = co_await state.workspace.path_of(std::move(asked));
    if (!path) co_return Failure(path.error());
    fs::ListOptions options(*path);
    options.follow_root = true;
    options.skip_unreadable = true;
    options.max_entries = kMostEntries;
    fs::List op(std::move(options));
    auto found = co_await state.services.files->run(std::move(op));
    if (!found) co_return Failure(found.error());
    FilesAnswer out;
    std::string text;
    std::function<void()> write = [&state, &found, &out, &text] {
        for (auto const& entry : found->entries) out.files.push_back(described(entry));
        out.truncated = found->truncated;
        wire::encode(out, state.dialect.writing(), text);
    };
    std::size_t const weight = found->entries.size() * kEntryWeight;
    co_await do_work(state.services, weight, std::move(write));
    co_return Answer::bytes(200, "application/json", std::move(text));
}

Task<Result<Success>> put(State& state, Call& call, WriteRequest request) {
    auto entered = enter(state, call, request.sandbox_id);
    if (!entered) co_return Failure(entered.error());
    auto path = co_await state.workspace.path_of(std::move(request.path));
    if (!path) co_return Failure(path.error());
    fs::WriteText op(std::move(*path), std::move(request.content));
    auto written = co_await state.services.files->run(std::move(op));
    if (!written) co_return Failure(written.error());
    co_return Success();
}

Task<Result<Success>> remove(State& state, Call& call, PathQuery query) {
    auto entered = enter(state, call, query.sandbox_id);
    if (!entered) co_return Failure(entered.error());
    auto path = co_await state.workspace.path_of(std::move(query.path));
    if (!path) co_return Failure(path.error());
    fs::Remove op(std::move(*path), true);
    auto removed = co_await state.services.files->run(std::move(op));
    if (!removed) co_return Failure(removed.error());
    co_return Success();
}

}  // namespace

void add_files(Table& table) {
    table.add<FilesQuery, FilesAnswer>(
        row_of("GET", "/files", "ListFiles", "Names in a directory, default the workspace."), list);
    auto row = row_of("PUT", "/files", "WriteFile", "Writes a file; its directories are made.");
    row.body_limit = 256U << 20;
    table.add<WriteRequest, Success>(std::move(row), put);
    row = row_of("DELETE", "/files", "DeleteFile", "Deletes a file, or a directory with all in it.");
    row.on_disconnect = http::OnDisconnect::keep;
    table.add<PathQuery, Success>(std::move(row), remove);
}

}  // namespace execd::cloud_sandbox
