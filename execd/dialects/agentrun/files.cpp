// /files and /filesystem without its transfers (contracts/agentrun.md §5.1 to §5.3).
#include "execd/dialects/agentrun/entries.hpp"
#include "execd/dialects/agentrun/large_answer.hpp"
#include "execd/dialects/agentrun/parts.hpp"
#include "execd/http/fields.hpp"
#include "fs/edit.hpp"
#include "fs/executor.hpp"
#include "fs/list.hpp"
#include "fs/ops.hpp"
#include "fs/path.hpp"

namespace execd::agentrun {

using http::Answer;
using http::Call;

namespace {

constexpr std::uint64_t kMostEntries = 200'000;
constexpr std::size_t kEntryWeight = 300;  // bytes of JSON, about

Failure missing(std::string_view what) {
    return fail(Code::invalid_argument, "", std::string(what) + " is required");
}

/// Of what a link points to; of the link itself when that is nothing.
Task<Result<fs::Entry>> look_at(State& state, std::string path) {
    fs::Stat through(path, true);
    auto entry = co_await state.services.files->run(std::move(through));
    if (entry || entry.error().code != Code::not_found) co_return entry;
    fs::Stat itself(std::move(path), false);
    co_return co_await state.services.files->run(std::move(itself));
}

Result<fs::Encoding> encoding_of(std::string const& name) {
    using enum fs::Encoding;
    std::string const plain = http::to_lower(name);
    if (plain.empty() || plain == "utf8") return utf8;
    for (auto const known : {utf8, utf8_bom, utf16_le, utf16_be, latin1, base64})
        if (fs::to_string(known) == plain) return known;
    return fail(Code::invalid_argument, "",
                "encoding: utf-8, base64, latin-1, utf-8-sig, utf-16-le or utf-16-be is expected");
}

Task<Result<Answer>> read_file(State& state, Call&, PathQuery query) {
    auto const& asked = query.path ? query.path : query.body_path;
    if (!asked) co_return missing("path");
    auto path = co_await path_of(state, *asked);
    if (!path) co_return Failure(path.error());
    fs::ReadText op(*path);
    op.base64_if_binary = true;
    std::uint64_t const limit = op.max_size;
    auto text = co_await state.services.files->run(std::move(op));
    if (!text && text.error().code == Code::too_large)
        text.error().detail += "; more than " + std::to_string(limit) +
                               " bytes cannot be read in one answer: use GET /filesystem/download";
    if (!text) co_return Failure(text.error());
    auto entry = co_await look_at(state, *path);
    if (!entry) co_return Failure(entry.error());
    ReadAnswer out;
    out.entry = entry_body(*entry);
    static_cast<EntryBody&>(out) = out.entry;
    out.content = std::move(text->text);
    out.encoding = fs::to_string(text->encoding);
    std::size_t const weight = out.content.size();
    std::string json;
    std::function<void()> write = [&state, &out, &json] {
        wire::encode(out, state.dialect.writing(), json);
        std::string const gone = std::move(out.content);  // freed here, not on the reactor
    };
    co_await do_work(state, weight, std::move(write));
    co_return json_answer(state.services.loop, std::move(json));
}

Task<Result<WrittenAnswer>> write_file(State& state, Call&, WriteRequest request) {
    auto path = co_await path_of(state, request.path);
    if (!path) co_return Failure(path.error());
    auto encoding = encoding_of(request.encoding);
    if (!encoding) co_return Failure(encoding.error());
    auto mode = mode_of(request.mode);
    if (!mode) co_return Failure(mode.error());
    if (!request.create_dir) {
        fs::Stat parent(std::string(fs::parent_of(*path)), true);
        auto there = co_await state.services.files->run(std::move(parent));
        if (!there) co_return Failure(there.error());
    }
    fs::WriteText op(*path, std::move(request.content), *encoding);
    op.mode = *mode;
    auto written = co_await state.services.files->run(std::move(op));
    if (!written) co_return Failure(written.error());
    WrittenAnswer out;
    out.path = std::move(*path);
    out.size = written->size;
    co_return out;
}

Task<Result<Answer>> list(State& state, Call&, ListQuery query) {
    auto const& asked = query.path ? query.path : query.body_path;
    std::string wanted = asked.value_or(".");
    auto path = co_await path_of(state, std::move(wanted));
    if (!path) co_return Failure(path.error());
    fs::ListOptions options(*path);
    options.depth = query.depth.value_or(1);
    options.follow_root = true;
    options.skip_unreadable = true;
    options.max_entries = kMostEntries;
    fs::List op(std::move(options));
    auto found = co_await state.services.files->run(std::move(op));
    if (!found) co_return Failure(found.error());
    ListAnswer out;
    std::function<void()> convert = [&found, &out] {
        for (auto const& entry : found->entries) out.entries.push_back(entry_body(entry));
    };
    std::size_t const weight = found->entries.size() * kEntryWeight;
    co_await do_work(state, weight, std::move(convert));
    if (query.format == "array") co_return co_await answer_of(state, std::move(out.entries), weight);
    out.path = std::move(*path);
    out.truncated = found->truncated;
    co_return co_await answer_of(state, std::move(out), weight);
}

Task<Result<EntryAnswer>> stat(State& state, Call&, PathQuery query) {
    auto const& asked = query.path ? query.path : query.body_path;
    if (!asked) co_return missing("path");
    auto path = co_await path_of(state, *asked);
    if (!path) co_return Failure(path.error());
    auto entry = co_await look_at(state, *path);
    if (!entry) co_return Failure(entry.error());
    co_return entry_answer(entry_body(*entry));
}

Task<Result<EntryAnswer>> mkdir(State& state, Call&, MkdirRequest request) {
    auto path = co_await path_of(state, request.path);
    if (!path) co_return Failure(path.error());
    auto mode = mode_of(request.mode);
    if (!mode) co_return Failure(mode.error());
    fs::MakeDirectory op(*path, *mode);
    op.parents = request.parents;
    auto made = co_await state.services.files->run(std::move(op));
    if (!made) co_return Failure(made.error());
    auto entry = co_await look_at(state, *path);
    if (!entry) co_return Failure(entry.error());
    co_return entry_answer(entry_body(*entry));
}

Task<Result<EntryAnswer>> move(State& state, Call&, MoveRequest request) {
    auto source = co_await path_of(state, request.source);
    if (!source) co_return Failure(source.error());
    auto destination = co_await path_of(state, request.destination);
    if (!destination) co_return Failure(destination.error());
    fs::Move op(*source, *destination);
    auto moved = co_await state.services.files->run(std::move(op));
    auto entry = co_await look_at(state, *destination);
    // Sent a second time it finds its work done (§5.3).
    bool const done_before = !moved && moved.error().code == Code::not_found && entry;
    if (!moved && !done_before) co_return Failure(moved.error());
    if (!entry) co_return Failure(entry.error());
    co_return entry_answer(entry_body(*entry));
}

Task<Result<EntryAnswer>> remove(State& state, Call&, RemoveRequest request) {
    auto path = co_await path_of(state, request.path);
    if (!path) co_return Failure(path.error());
    EntryBody body;
    body.path = *path;
    body.name = fs::base_name(*path);
    fs::Stat before(*path, false);
    auto entry = co_await state.services.files->run(std::move(before));
    if (entry) body = entry_body(*entry);
    fs::Remove op(*path, true, true);
    auto removed = co_await state.services.files->run(std::move(op));
    if (!removed) co_return Failure(removed.error());
    co_return entry_answer(std::move(body));
}

}  // namespace

void add_files(Table& table) {
    table.add<PathQuery, ReadAnswer>(
        row_of("GET", "/files", "readFile", "A file's text, or its bytes as base64 when it is none."),
        read_file);
    auto row = row_of("POST", "/files", "writeFile", "Writes a file.");
    row.body_limit = 256U << 20;
    table.add<WriteRequest, WrittenAnswer>(std::move(row), write_file);
    table.add<ListQuery, ListAnswer>(row_of("GET", "/filesystem", "listDirectory", "Names in a directory."),
                                     list);
    table.add<PathQuery, EntryAnswer>(row_of("GET", "/filesystem/stat", "statFile", "One name."), stat);
    table.add<MkdirRequest, EntryAnswer>(
        row_of("POST", "/filesystem/mkdir", "makeDirectory", "Makes a directory; one that exists is fine."),
        mkdir);
    row = row_of("POST", "/filesystem/move", "moveFile", "Gives a file or directory another name.");
    row.on_disconnect = http::OnDisconnect::keep;
    table.add<MoveRequest, EntryAnswer>(std::move(row), move);
    row = row_of("POST", "/filesystem/remove", "removeFile",
                 "Removes a file or a whole directory; what is not there is fine.");
    row.on_disconnect = http::OnDisconnect::keep;
    table.add<RemoveRequest, EntryAnswer>(std::move(row), remove);
}

}  // namespace execd::agentrun
