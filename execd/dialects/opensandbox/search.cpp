// GET /files/search (contracts/opensandbox.md §1.8, §10): the base name is matched; a pattern with a slash is
// held against the path below the root (our extension).
#include "fs/search.hpp"
#include "execd/dialects/opensandbox/dialect.hpp"
#include "execd/dialects/opensandbox/file_parts.hpp"
#include "fs/executor.hpp"

namespace execd::opensandbox {

using http::Answer;

Task<Result<Answer>> search_files(FileAccess access, http::Call& call) {
    auto const asked = call.query_value("path");
    if (!asked || asked->empty()) co_return refusal(400, code::kQuery, "missing query parameter 'path'");
    auto path = access.path(*asked);
    if (!path) co_return refusal(500, code::kRuntime, "error searching files. " + path.error().detail);
    std::string pattern(call.query_value("pattern").value_or(""));
    if (pattern.empty()) pattern = "**";
    fs::FindOptions options(*path, pattern);
    options.whole_path = pattern.find('/') != std::string::npos;
    options.negation = true;
    fs::Find find(std::move(options));
    auto found = co_await access.files->run(std::move(find));
    if (!found && found.error().code == Code::not_found) co_return file_failure(found.error(), *path);
    if (!found) co_return refusal(500, code::kRuntime, "error searching files. " + go_text(found.error()));
    if (found->truncated)
        co_return refusal(
            500, code::kRuntime,
            "error searching files. more than " + std::to_string(found->entries.size()) + " files match");
    auto text = co_await access.loop().pool().run(
        Lane::search, [entries = &found->entries] { return render_entries(*entries); });
    co_return json(std::move(text));
}

}  // namespace execd::opensandbox
