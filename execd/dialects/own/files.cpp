// /execd/v1/files: text, edits, the editor tool and searches (docs/files.md).
#include "base/base64.hpp"
#include "base/utf8.hpp"
#include "execd/dialects/own/files_parts.hpp"
#include "fs/edit.hpp"
#include "fs/editor.hpp"
#include "fs/executor.hpp"
#include "fs/path.hpp"
#include "fs/search.hpp"
#include "fs/text.hpp"
#include "fs/through_link.hpp"

namespace execd::own::files {

using http::Answer;
using http::Call;

Task<Result<void>> read_request(Call& call, wire::Ops const& ops, void* out) {
    wire::Sources from;
    std::string body;
    if (wire::wants_body(ops)) {
        auto text = co_await call.body->read_all(call.row->body_limit);
        if (!text) co_return Failure(text.error());
        body = std::move(*text);
        from.body_text = body;
    }
    std::vector<wire::TextPair> query;
    for (auto const& [name, value] : call.query()) query.push_back({name, value});
    std::vector<wire::TextPair> path;
    for (auto const& [name, value] : call.params) path.push_back({name, value});
    from.query = query;
    from.path = path;
    static wire::Policy const policy = [] {
        wire::Policy p;
        p.reject_unknown = true;
        p.parse.trailing = wire::Trailing::reject;
        return p;
    }();
    wire::Faults faults;
    if (wire::decode(ops, out, from, policy, faults)) co_return Result<void>();
    std::string detail;
    for (auto const& fault : faults) {
        if (!detail.empty()) detail += "; ";
        detail += wire::dotted(fault.loc) + ": " + fault.message;
    }
    co_return fail(Code::invalid_argument, "request", std::move(detail));
}

Answer json_answer(std::string body, unsigned status) {
    return Answer::bytes(status, "application/json", std::move(body));
}

Result<std::string> path_of(Services& services, std::string const& text) {
    fs::Expansion how;
    if (auto const home = services.environment->daemon().get("HOME"); home && home->starts_with('/')) {
        how.home = std::string(*home);
        how.base = std::string(*home);
    }
    return fs::expand_path(text, how);
}

Result<std::string> given_path(std::string const& text, std::optional<std::string> const& bytes) {
    if (bytes) {
        auto path = base64_decode(*bytes);
        if (!path) return fail(Code::invalid_argument, "request", "path_base64: not base64");
        return std::move(*path);
    }
    if (text.empty()) return fail(Code::invalid_argument, "request", "path: required");
    return text;
}

Result<std::string> path_of(Services& services, std::string const& text,
                            std::optional<std::string> const& bytes) {
    auto path = given_path(text, bytes);
    if (!path) return path;
    return path_of(services, *path);
}

std::optional<std::string> exact_bytes(std::string_view name) {
    if (valid_utf8_prefix(name) == name.size()) return std::nullopt;
    return base64_encode(name);
}

std::uint32_t mode_of(std::string const& octal) {
    return static_cast<std::uint32_t>(std::stoul(octal, nullptr, 8));  // its form is checked by the table
}

std::string octal_of(std::uint32_t mode) {
    std::string out;
    for (int shift = 9; shift >= 0; shift -= 3) out += static_cast<char>('0' + (mode >> shift & 7U));
    return out;
}

EntryBody entry_body(fs::Entry const& entry) {
    EntryBody out;
    out.path = entry.path;
    out.path_base64 = exact_bytes(entry.path);
    out.kind = static_cast<EntryKind>(entry.kind);
    out.size = entry.size;
    out.mtime_ns = entry.mtime_ns;
    out.mode = octal_of(entry.mode);
    out.uid = entry.uid;
    out.gid = entry.gid;
    out.owner = entry.owner;
    out.group = entry.group;
    return out;
}

http::Row file_row(std::string method, std::string path, std::string id, std::string doc) {
    http::Row row;
    row.method = std::move(method);
    row.path = std::move(path);
    row.operation_id = std::move(id);
    row.doc = std::move(doc);
    row.tag = "Files";
    row.body_limit = 64U << 20;
    return row;
}

namespace {

Result<fs::Encoding> encoding_of(std::string_view name) {
    using enum fs::Encoding;
    for (auto const known : {detect, utf8, utf8_bom, utf16_le, utf16_be, latin1, base64})
        if (fs::to_string(known) == name) return known;
    return fail(Code::invalid_argument, "encoding",
                "auto, utf-8, utf-8-sig, utf-16-le, utf-16-be, latin-1 or base64");
}

/// The request, and its path made absolute.
template <class Request>
Task<Result<std::string>> read_at_path(Services& services, Call& call, Request& request) {
    auto read = co_await read_request(call, request);
    if (!read) co_return Failure(read.error());
    if constexpr (requires { request.path_base64; })
        co_return path_of(services, request.path, request.path_base64);
    else
        co_return path_of(services, request.path);
}

Task<Result<Answer>> edit(Services& services, Call& call) {
    EditRequest request;
    auto path = co_await read_at_path(services, call, request);
    if (!path) co_return Failure(path.error());
    fs::EditText op(*path);
    for (auto& item : request.edits) {
        fs::TextEdit one(std::move(item.old_text), std::move(item.new_text),
                         static_cast<fs::Which>(item.which));
        one.required = item.required;
        one.unique = item.unique;
        op.edits.push_back(std::move(one));
    }
    op.expected_sha256 = request.expected_sha256;
    op.expected_mtime_ns = request.expected_mtime_ns;
    op.dry = request.dry;
    auto const encoding = encoding_of(request.encoding);
    if (!encoding) co_return Failure(encoding.error());
    op.encoding = *encoding;
    auto done = co_await services.files->run(std::move(op));
    if (!done) co_return Failure(done.error());
    EditAnswer out;
    out.replaced = done->replaced;
    out.diff = std::move(done->diff);
    out.sha256 = std::move(done->sha256);
    out.size = done->size;
    out.mtime_ns = done->mtime_ns;
    co_return answer_of(out);
}

std::optional<fs::Which> which_of(std::optional<ReplaceMode> mode) {
    if (!mode) return std::nullopt;
    if (*mode == ReplaceMode::ALL) return fs::Which::all;
    return *mode == ReplaceMode::FIRST ? fs::Which::first : fs::Which::last;
}

Task<Result<Answer>> editor(Services& services, std::shared_ptr<fs::Editor> tool, Call& call) {
    ToolRequest request;
    auto read = co_await read_request(call, request);
    if (!read) co_return Failure(read.error());
    auto path = given_path(request.path, request.path_base64);
    if (!path) co_return Failure(path.error());
    fs::EditorRequest wanted(fs::editor_command(request.command), std::move(*path));
    wanted.name = std::move(request.command);
    wanted.file_text = std::move(request.file_text);
    wanted.old_text = std::move(request.old_str);
    wanted.new_text = std::move(request.new_str);
    wanted.insert_line = request.insert_line;
    wanted.view_range = std::move(request.view_range);
    wanted.replace_mode = which_of(request.replace_mode);
    auto done = co_await tool->run(*services.files, std::move(wanted));
    if (!done) co_return Failure(done.error());
    ToolAnswer out;
    out.output = std::move(done->output);
    out.error = std::move(done->error);
    out.path = std::move(request.path);
    out.prev_exist = done->existed;
    out.old_content = std::move(done->old_content);
    out.new_content = std::move(done->new_content);
    co_return answer_of(out);
}

Task<Result<Answer>> find(Services& services, Call& call) {
    FindRequest request;
    auto path = co_await read_at_path(services, call, request);
    if (!path) co_return Failure(path.error());
    fs::FindOptions options(fs::through_link(*path), std::move(request.pattern));
    options.whole_path = request.whole_path;
    options.ignore_case = request.ignore_case;
    options.negation = true;
    if (request.directories) options.kinds = 0xF;
    options.hidden = request.hidden;
    options.gitignore = request.gitignore;
    options.exclude = std::move(request.exclude);
    options.max_depth = request.max_depth;
    options.max_results = request.max_results;
    options.skip_unreadable = true;
    fs::Find op(std::move(options));
    auto found = co_await services.files->run(std::move(op));
    if (!found) co_return Failure(found.error());
    auto text = co_await services.loop.pool().run(Lane::search, [listing = &*found] {
        FindAnswer out;
        out.truncated = listing->truncated;
        for (auto const& entry : listing->entries) out.entries.push_back(entry_body(entry));
        std::string json;
        wire::encode(out, wire::EncodePolicy{}, json);
        return json;
    });
    co_return json_answer(std::move(text));
}

std::string grep_json(fs::GrepResult result) {
    GrepAnswer out;
    for (auto& match : result.matches) {
        MatchBody one;
        one.file_base64 = exact_bytes(match.file);
        one.file = std::move(match.file);
        one.line = match.line;
        one.text = std::move(match.text);
        one.column = match.column;
        one.length = match.length;
        one.before = std::move(match.before);
        one.after = std::move(match.after);
        out.matches.push_back(std::move(one));
    }
    out.files_searched = result.files_searched;
    out.files_matched = result.files_matched;
    out.files_skipped = result.files_skipped;
    out.skipped_large = result.skipped_large;
    out.too_hard = result.too_hard;
    out.truncated = result.truncated;
    out.limit = std::move(result.limit);
    std::string json;
    wire::encode(out, wire::EncodePolicy{}, json);
    return json;
}

Task<Result<Answer>> search(Services& services, Call& call) {
    GrepRequest request;
    auto path = co_await read_at_path(services, call, request);
    if (!path) co_return Failure(path.error());
    fs::GrepOptions options(fs::through_link(*path), std::move(request.pattern));
    options.fixed = request.fixed;
    options.ignore_case = request.ignore_case;
    options.multiline = request.multiline;
    options.hidden = request.hidden;
    options.gitignore = request.gitignore;
    options.include = std::move(request.include);
    options.exclude = std::move(request.exclude);
    for (auto const& type : request.types) {
        auto globs = fs::type_globs(type);
        if (globs.empty()) co_return fail(Code::invalid_argument, "request", "types: unknown type " + type);
        options.include.insert(options.include.end(), globs.begin(), globs.end());
    }
    options.before = request.before;
    options.after = request.after;
    options.skip = request.skip;
    options.max_matches = request.max_matches;
    options.max_file_size = request.max_file_size;
    options.max_ms = request.max_ms;
    fs::Grep op(std::move(options));
    auto found = co_await services.files->run(std::move(op));
    if (!found) co_return Failure(found.error());
    auto text = co_await services.loop.pool().run(
        Lane::search, [result = &*found] { return grep_json(std::move(*result)); });
    co_return json_answer(std::move(text));
}

Task<Result<Answer>> read_text(Services& services, Call& call) {
    TextQuery request;
    auto path = co_await read_at_path(services, call, request);
    if (!path) co_return Failure(path.error());
    auto encoding = encoding_of(request.encoding);
    if (!encoding) co_return Failure(encoding.error());
    fs::ReadText op(*path, *encoding);
    op.begin = request.begin;
    op.end = request.end;
    op.offset = request.offset;
    op.length = request.length;
    op.base64_if_binary = true;
    auto text = co_await services.files->run(std::move(op));
    if (!text) co_return Failure(text.error());
    TextAnswer out;
    out.text = std::move(text->text);
    out.encoding = fs::to_string(text->encoding);
    out.size = text->size;
    out.lines = text->lines;
    out.mtime_ns = text->mtime_ns;
    out.sha256 = std::move(text->sha256);
    out.mode = octal_of(text->mode);
    co_return answer_of(out);
}

Task<Result<Answer>> write_text(Services& services, Call& call) {
    TextRequest request;
    auto path = co_await read_at_path(services, call, request);
    if (!path) co_return Failure(path.error());
    auto encoding = encoding_of(request.encoding);
    if (!encoding) co_return Failure(encoding.error());
    fs::WriteText op(*path, std::move(request.text), *encoding);
    op.append = request.append;
    if (request.mode) op.mode = mode_of(*request.mode);
    auto written = co_await services.files->run(std::move(op));
    if (!written) co_return Failure(written.error());
    WrittenBody out;
    out.path_base64 = exact_bytes(written->path);
    out.path = std::move(written->path);
    out.size = written->size;
    out.created = written->created;
    out.mtime_ns = written->mtime_ns;
    co_return answer_of(out);
}

using Run = Task<Result<Answer>> (*)(Services&, Call&);

template <class Request, class Reply>
void add(std::vector<http::Row>& out, Services& services, char const* method, char const* path,
         char const* id, char const* doc, Run run) {
    auto row = file_row(method, path, id, doc);
    row.request = &wire::Codec<Request>::ops;
    if (std::string_view(method) != "GET") row.body = http::BodyPolicy::json;
    row.statuses = {{200, &wire::Codec<Reply>::ops, "application/json", "Done"}};
    row.on_disconnect = http::OnDisconnect::cancel;
    row.invoke = [s = &services, run](Call& call) { return run(*s, call); };
    out.push_back(std::move(row));
}

}  // namespace

namespace {

std::vector<http::Row> make_rows(Services& services) {
    std::vector<http::Row> out;
    add<EditRequest, EditAnswer>(out, services, "POST", "/execd/v1/files/edit", "editFile",
                                 "Replaces texts in a file, all or none, and answers the difference.", edit);
    add<FindRequest, FindAnswer>(out, services, "POST", "/execd/v1/files/find", "findFiles",
                                 "Names below a directory that match a glob.", find);
    add<GrepRequest, GrepAnswer>(out, services, "POST", "/execd/v1/files/search", "searchContent",
                                 "Lines below a directory that match an expression.", search);
    add<TextQuery, TextAnswer>(out, services, "GET", "/execd/v1/files/text", "readText",
                               "A text file, or lines of it, as UTF-8.", read_text);
    add<TextRequest, WrittenBody>(out, services, "PUT", "/execd/v1/files/text", "writeText",
                                  "Writes or appends a text in an encoding.", write_text);
    auto row =
        file_row("POST", "/execd/v1/files/editor", "textEditor",
                 "The text-editor tool of coding agents: view, create, str_replace, insert, undo_edit.");
    row.body = http::BodyPolicy::json;
    row.request = &wire::Codec<ToolRequest>::ops;
    row.statuses = {{200, &wire::Codec<ToolAnswer>::ops, "application/json", "What the tool says"}};
    row.on_disconnect = http::OnDisconnect::keep;
    row.invoke = [s = &services, tool = std::make_shared<fs::Editor>()](Call& call) {
        return editor(*s, tool, call);
    };
    out.push_back(std::move(row));
    add_transfers(services, out);
    add_watches(services, out);
    return out;
}

}  // namespace

}  // namespace execd::own::files

namespace execd::own {

std::vector<http::Row> file_rows(Services& services) { return files::make_rows(services); }

}  // namespace execd::own
