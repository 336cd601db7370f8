#include "fs/editor.hpp"

#include <algorithm>
#include <array>

#include "fs/edit.hpp"
#include "fs/executor.hpp"
#include "fs/text.hpp"

namespace execd::fs {

namespace {

constexpr std::size_t kWindow = 4;          // lines around an edit
constexpr std::size_t kMaxOutput = 16'000;  // characters of a snippet
constexpr std::uint64_t kMaxFile = 10U << 20U;
constexpr std::size_t kMaxSteps = 10;
constexpr std::size_t kMaxRemembered = 64U << 20U;
constexpr std::string_view kFileClipped =
    "<response clipped><NOTE>Due to the max output limit, only part of this file has been shown to you. You "
    "should retry this tool after you have searched inside the file with `grep -n` in order to find the line "
    "numbers of what you are looking for.</NOTE>";
constexpr std::string_view kDirectoryClipped =
    "<response clipped><NOTE>Due to the max output limit, only part of this directory has been shown to you. "
    "You should use `ls -la` instead to view large directories incrementally.</NOTE>";
constexpr std::array<std::string_view, 5> kCommands = {"view", "create", "str_replace", "insert",
                                                       "undo_edit"};
constexpr int kAttempts = 8;  // against others who change the same file without us

EditorAnswer refuse(std::string text, bool existed) {
    EditorAnswer answer;
    answer.error = std::move(text);
    answer.existed = existed;
    return answer;
}

std::string invalid(std::string_view parameter, std::string_view value, std::string_view hint) {
    std::string out = "Invalid `";
    out.append(parameter).append("` parameter: ").append(value).append(". ").append(hint);
    return out;
}

std::string list_of(std::vector<std::int64_t> const& values) {
    std::string out = "[";
    for (auto const value : values) out += (out.size() > 1 ? ", " : "") + std::to_string(value);
    return out + "]";
}

std::vector<std::string_view> split(std::string_view text) {
    std::vector<std::string_view> lines;
    for (;;) {
        auto const end = text.find('\n');
        lines.push_back(text.substr(0, end));
        if (end == std::string_view::npos) return lines;
        text.remove_prefix(end + 1);
    }
}

/// At most kMaxOutput characters of UTF-8, and the notice where there were more.
std::string clip(std::string text, std::string_view notice) {
    std::size_t characters = 0;
    for (std::size_t at = 0; at < text.size(); ++at) {
        if ((static_cast<unsigned char>(text[at]) & 0xC0U) == 0x80U) continue;
        if (++characters <= kMaxOutput) continue;
        text.resize(at);
        return text.append(notice);
    }
    return text;
}

std::string join(std::vector<std::string_view> const& lines, std::size_t from, std::size_t to) {
    std::string out;
    for (auto i = from; i < std::min(to, lines.size()); ++i) {
        if (i > from) out += '\n';
        out += lines[i];
    }
    return out;
}

std::size_t lines_before(std::string_view text, std::size_t at) {
    return static_cast<std::size_t>(
        std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(at), '\n'));
}

std::string_view trimmed(std::string_view text) {
    auto const space = [](char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; };
    while (!text.empty() && space(text.front())) text.remove_prefix(1);
    while (!text.empty() && space(text.back())) text.remove_suffix(1);
    return text;
}

struct Change {
    std::string text;
    std::string output;
    std::optional<std::string> refusal;
};

Change refused(std::string why) { return {"", "", std::move(why)}; }

Change replace_string(std::string const& text, EditorRequest const& request) {
    std::string from = *request.old_text;
    std::string to = request.new_text.value_or("");
    if (from == to)
        return refused(invalid("new_str", to,
                               "No replacement was performed. `new_str` and `old_str` must be different."));
    auto found = count_text(text, from);
    if (found == 0 && !trimmed(from).empty()) {  // once more without the white space around
        from = trimmed(*request.old_text);
        to = trimmed(to);
        found = count_text(text, from);
    }
    if (found == 0)
        return refused("No replacement was performed, old_str `" + *request.old_text +
                       "` did not appear verbatim in " + request.path + ".");
    if (found > 1 && !request.replace_mode) {
        std::vector<std::int64_t> lines;
        for (auto at = text.find(from); at != std::string::npos; at = text.find(from, at + from.size()))
            lines.push_back(static_cast<std::int64_t>(lines_before(text, at)) + 1);
        lines.erase(std::unique(lines.begin(), lines.end()), lines.end());
        return refused("No replacement was performed. Multiple occurrences of old_str `" + from +
                       "` in lines " + list_of(lines) + ". Please ensure it is unique.");
    }
    auto const which = request.replace_mode.value_or(Which::first);
    auto const line = lines_before(text, which == Which::last ? text.rfind(from) : text.find(from));
    Change change{text, "", std::nullopt};
    static_cast<void>(replace_text(change.text, from, to, which));
    auto const start = line > kWindow ? line - kWindow : 0;
    auto const end = line + kWindow + lines_before(to, to.size()) + 1;
    change.output =
        "The file " + request.path + " has been edited. " +
        numbered(join(split(change.text), start, end), "a snippet of " + request.path, start + 1) +
        "Review the changes and make sure they are as expected. Edit the file again if necessary.";
    return change;
}

Change insert_text(std::string const& text, EditorRequest const& request) {
    auto const lines = split(text);
    auto const count = static_cast<std::int64_t>(count_lines(text));
    auto const after = *request.insert_line;
    if (after < 0 || after > count)
        return refused(invalid("insert_line", std::to_string(after),
                               "It should be within the range of allowed values: " + list_of({0, count})));
    auto const at = static_cast<std::size_t>(after);
    std::size_t place = 0;
    for (std::size_t i = 0; i < at; ++i) place += lines[i].size() + 1;
    std::string added = *request.new_text;
    Change change{text, "", std::nullopt};
    if (place > text.size()) {  // after a last line without an end
        change.text += '\n';
        place = change.text.size();
    } else if (!text.empty() && !added.ends_with('\n')) {
        added += '\n';
    }
    change.text.insert(place, added);
    auto const start = at > kWindow ? at - kWindow : 0;
    auto const end = at + lines_before(added, added.size()) + kWindow;
    change.output =
        "The file " + request.path + " has been edited. " +
        numbered(join(split(change.text), start, end), "a snippet of the edited file", start + 1) +
        "Review the changes and make sure they are as expected (correct indentation, no duplicate lines, "
        "etc). Edit the file again if necessary.";
    return change;
}

std::optional<std::string> check_range(std::vector<std::int64_t> const& range, std::int64_t lines) {
    auto const bad = [&](std::string const& hint) { return invalid("view_range", list_of(range), hint); };
    if (range.size() != 2) return bad("It should be a list of two integers.");
    if (range[0] < 1 || range[0] > std::max<std::int64_t>(lines, 1))
        return bad("Its first element `" + std::to_string(range[0]) +
                   "` should be within the range of lines of the file: " + list_of({1, lines}) + ".");
    if (range[1] != -1 && range[1] < range[0])
        return bad("Its second element `" + std::to_string(range[1]) +
                   "` should be greater than or equal to the first element `" + std::to_string(range[0]) +
                   "`.");
    return std::nullopt;
}

}  // namespace

std::string numbered(std::string_view text, std::string_view of, std::uint64_t first_line) {
    std::string out = "Here's the result of running `cat -n` on ";
    out.append(of).append(":\n");
    for (auto const line : split(text)) {
        auto const number = std::to_string(first_line++);
        if (number.size() < 6) out.append(6 - number.size(), ' ');
        out.append(number).append("\t").append(line).append("\n");
        if (out.size() > 4 * kMaxOutput) break;  // more than that many characters already
    }
    return clip(std::move(out), kFileClipped);
}

EditorRequest::Command editor_command(std::string_view name) {
    auto const* const found = std::find(kCommands.begin(), kCommands.end(), name);
    return static_cast<EditorRequest::Command>(found - kCommands.begin());
}

void Editor::forget_oldest() {
    auto const found = histories_.find(ages_.front());
    for (auto const& step : found->second.steps) bytes_ -= step.content.size();
    histories_.erase(found);
    ages_.pop_front();
}

void Editor::remember(std::string const& path, Step step) {
    auto [place, fresh] = histories_.try_emplace(path);
    auto& history = place->second;
    if (!fresh) ages_.erase(history.age);
    history.age = ages_.insert(ages_.end(), path);
    bytes_ += step.content.size();
    history.steps.push_back(std::move(step));
    if (history.steps.size() > kMaxSteps) {
        bytes_ -= history.steps.front().content.size();
        history.steps.erase(history.steps.begin());
    }
    while (bytes_ > kMaxRemembered && ages_.size() > 1) forget_oldest();
}

void Editor::forget_last(std::string const& path) {
    auto const found = histories_.find(path);
    if (found == histories_.end() || found->second.steps.empty()) return;
    bytes_ -= found->second.steps.back().content.size();
    found->second.steps.pop_back();
    if (!found->second.steps.empty()) return;
    ages_.erase(found->second.age);
    histories_.erase(found);
}

Task<Result<EditorAnswer>> Editor::run(Executor& files, EditorRequest request) {
    if (request.command == EditorRequest::Command::unknown) {
        std::string names;
        for (auto const name : kCommands) names.append(names.empty() ? "" : ", ").append(name);
        co_return refuse("Unrecognized command " + request.name +
                             ". The allowed commands for the oh_editor tool are: " + names,
                         false);
    }
    if (!request.path.starts_with('/'))
        co_return refuse(
            invalid("path", request.path, "The path should be an absolute path, starting with `/`."), false);
    if (request.command == EditorRequest::Command::view)
        co_return co_await run_alone(files, std::move(request));
    auto const alone = co_await files.hold(request.path);
    if (!alone) co_return Failure(alone.error());
    for (int left = kAttempts;; --left) {
        auto answer = co_await run_alone(files, request);
        bool const overtaken = !answer && answer.error().where == kChangedMeanwhile;
        if (!overtaken || left == 0) co_return answer;
    }
}

Task<Result<EditorAnswer>> Editor::run_alone(Executor& files, EditorRequest request) {
    using Command = EditorRequest::Command;
    auto const& path = request.path;
    auto entry = co_await files.run(Stat(path, true));
    bool const missing =
        !entry && (entry.error().code == Code::not_found || entry.error().code == Code::not_a_directory);
    if (!entry && !missing) co_return Failure(entry.error());
    bool const directory = entry && entry->kind == Kind::directory;
    if (missing && request.command != Command::create && request.command != Command::undo_edit)
        co_return refuse(
            invalid("path", path, "The path " + path + " does not exist. Please provide a valid path."),
            false);
    if (!missing && request.command == Command::create)
        co_return refuse(
            invalid("path", path,
                    "File already exists at: " + path + ". Cannot overwrite files using command `create`."),
            true);
    if (directory && request.command != Command::view)
        co_return refuse(
            invalid("path", path,
                    "The path " + path +
                        " is a directory and only the `view` command can be used on directories."),
            true);
    if (!missing && !directory && entry->size > kMaxFile)
        co_return refuse("File validation failed for " + path + ": File is too large (" +
                             std::to_string(entry->size >> 20U) + "MB). Maximum allowed size is 10MB.",
                         true);
    switch (request.command) {
        case Command::view: co_return co_await view(files, std::move(request), directory);
        case Command::create: co_return co_await create(files, std::move(request));
        case Command::undo_edit: co_return co_await undo(files, std::move(request));
        default: co_return co_await change(files, std::move(request));
    }
}

namespace {

EditorAnswer refuse_binary(std::string const& path) {
    return refuse("File validation failed for " + path +
                      ": File appears to be binary and this file type cannot be read or edited by this tool.",
                  true);
}

std::string listing_text(std::string const& path, Listing const& listing) {
    std::string root = path;
    while (root.size() > 1 && root.ends_with('/')) root.pop_back();
    std::string out = "Here's the files and directories up to 2 levels deep in " + path +
                      ", excluding hidden items:\n" + (root == "/" ? root : root + "/");
    std::size_t hidden = 0;
    for (auto const& entry : listing.entries) {
        auto const below = std::string_view(entry.path).substr(root == "/" ? 1 : root.size() + 1);
        bool const nested = below.find('/') != std::string_view::npos;
        if (below.starts_with('.')) {
            hidden += nested ? 0 : 1;
            continue;
        }
        if (nested && below.find("/.") != std::string_view::npos) continue;
        out += "\n" + entry.path + (entry.kind == Kind::directory ? "/" : "");
    }
    out = clip(std::move(out), kDirectoryClipped);
    if (hidden > 0)
        out += "\n\n" + std::to_string(hidden) +
               " hidden files/directories in this directory are excluded. You can use 'ls -la " + path +
               "' to see them.";
    return out;
}

/// Where a whole text is looked at: on a thread of its own, a file may have ten million characters.
struct ShowFile {
    ShowFile(TextContent read, EditorRequest asked) : content(std::move(read)), request(std::move(asked)) {}
    TextContent content;
    EditorRequest request;
    Result<EditorAnswer> operator()() const {
        EditorAnswer answer;
        answer.existed = true;
        auto const& range = request.view_range;
        if (range.empty()) {
            answer.output = numbered(content.text, request.path);
            return answer;
        }
        auto const total = static_cast<std::int64_t>(std::max<std::uint64_t>(content.lines, 1));
        if (auto wrong = check_range(range, total)) return refuse(std::move(*wrong), true);
        auto const lines = split(content.text);
        auto const from = static_cast<std::size_t>(range[0]) - 1;
        auto const last = range[1] == -1 ? total : std::min(range[1], total);
        answer.output = numbered(join(lines, from, static_cast<std::size_t>(last)), request.path, from + 1);
        if (range[1] > total)
            answer.output = "NOTE: We only show up to " + std::to_string(total) + " since there's only " +
                            std::to_string(total) + " lines in this file.\n" + answer.output;
        return answer;
    }
};

struct Changed {
    Change change;
    std::string before;  // bytes
    std::string bytes;
    std::string sha256;
};
struct MakeChange {
    MakeChange(std::shared_ptr<TextContent const> read, EditorRequest asked)
        : content(std::move(read)), request(std::move(asked)) {}
    std::shared_ptr<TextContent const> content;
    EditorRequest request;
    Result<Changed> operator()() const {
        Changed out;
        out.change = request.command == EditorRequest::Command::insert
                         ? insert_text(content->text, request)
                         : replace_string(content->text, request);
        if (out.change.refusal) return out;
        auto bytes = encode_text(out.change.text, content->encoding);
        if (!bytes) return Failure(bytes.error());
        auto before = encode_text(content->text, content->encoding);
        out.before = before ? std::move(*before) : content->text;
        out.sha256 = sha256_hex(*bytes);
        out.bytes = std::move(*bytes);
        return out;
    }
};

struct ShowUndone {
    ShowUndone(std::string was, std::string at) : bytes(std::move(was)), path(std::move(at)) {}
    std::string bytes;
    std::string path;
    Result<EditorAnswer> operator()() const {
        EditorAnswer answer;
        answer.existed = true;
        auto text = decode_text(bytes, Encoding::detect);
        answer.new_content = text ? std::move(*text) : std::string();
        answer.output =
            "Last edit to " + path + " undone successfully. " + numbered(*answer.new_content, path);
        return answer;
    }
};

struct Digest {
    explicit Digest(std::string of) : bytes(std::move(of)) {}
    std::string bytes;
    Result<std::string> operator()() const { return sha256_hex(bytes); }
};

Seen seen_of(Written const& written) {
    return {written.device, written.inode, written.size, written.mtime_ns};
}

}  // namespace

Task<Result<EditorAnswer>> Editor::view(Executor& files, EditorRequest request, bool directory) {
    if (directory) {
        if (!request.view_range.empty())
            co_return refuse(
                invalid("view_range", list_of(request.view_range),
                        "The `view_range` parameter is not allowed when `path` points to a directory."),
                true);
        ListOptions options(request.path);
        options.depth = 2;
        options.follow_root = true;
        options.skip_unreadable = true;
        options.max_entries = 10'000;
        auto listing = co_await files.run(List(std::move(options)));
        if (!listing) co_return Failure(listing.error());
        EditorAnswer answer;
        answer.existed = true;
        answer.output = listing_text(request.path, *listing);
        co_return answer;
    }
    auto content = co_await files.run(ReadText(request.path));
    if (!content && content.error().code == Code::decode) co_return refuse_binary(request.path);
    if (!content) co_return Failure(content.error());
    ShowFile show(std::move(*content), std::move(request));
    co_return co_await files.loop().pool().run(Lane::bulk, std::move(show));
}

Task<Result<EditorAnswer>> Editor::create(Executor& files, EditorRequest request) {
    if (!request.file_text) co_return refuse("Parameter `file_text` is required for command: create.", false);
    WriteOptions options(request.path);
    options.existing = Existing::refuse;
    auto written = co_await files.run(PutFile(std::move(options), *request.file_text));
    if (!written) co_return Failure(written.error());
    Step step;
    step.existed = false;
    step.made = seen_of(*written);
    Digest digest(*request.file_text);
    auto const sha = co_await files.loop().pool().run(Lane::bulk, std::move(digest));
    if (sha) step.sha256 = *sha;
    remember(request.path, std::move(step));
    EditorAnswer answer;
    answer.output = "File created successfully at: " + request.path;
    answer.new_content = std::move(request.file_text);
    co_return answer;
}

Task<Result<EditorAnswer>> Editor::change(Executor& files, EditorRequest request) {
    bool const inserting = request.command == EditorRequest::Command::insert;
    if (!inserting && (!request.old_text || request.old_text->empty()))
        co_return refuse("Parameter `old_str` is required for command: str_replace.", true);
    if (inserting && !request.insert_line)
        co_return refuse("Parameter `insert_line` is required for command: insert.", true);
    if (inserting && !request.new_text)
        co_return refuse("Parameter `new_str` is required for command: insert.", true);
    std::string const path = request.path;
    auto read = co_await files.run(ReadText(path));
    if (!read && read.error().code == Code::decode) co_return refuse_binary(path);
    if (!read) co_return Failure(read.error());
    auto content = std::make_shared<TextContent>(std::move(*read));
    MakeChange make(content, std::move(request));
    auto changed = co_await files.loop().pool().run(Lane::bulk, std::move(make));
    if (!changed) co_return Failure(changed.error());
    if (changed->change.refusal) co_return refuse(std::move(*changed->change.refusal), true);
    WriteOptions options(path);
    options.seen = content->seen;
    auto written = co_await files.run(PutFile(std::move(options), std::move(changed->bytes)));
    if (!written) co_return Failure(written.error());
    Step step;
    step.content = std::move(changed->before);
    step.made = seen_of(*written);
    step.sha256 = std::move(changed->sha256);
    remember(path, std::move(step));
    EditorAnswer answer;
    answer.existed = true;
    answer.output = std::move(changed->change.output);
    answer.old_content = std::move(content->text);
    answer.new_content = std::move(changed->change.text);
    co_return answer;
}

Task<Result<EditorAnswer>> Editor::undo(Executor& files, EditorRequest request) {
    std::string const path = request.path;
    auto const found = histories_.find(path);
    if (found == histories_.end()) co_return refuse("No edit history found for " + path + ".", true);
    Step const step = found->second.steps.back();
    auto now = co_await files.run(ReadText(path));
    bool const gone = !now && now.error().code == Code::not_found;
    if (!now && !gone && now.error().code != Code::decode) co_return Failure(now.error());
    if (!step.existed && gone) {  // it was made by `create`, and somebody removed it
        forget_last(path);
        EditorAnswer answer;
        answer.output = "Last edit to " + path + " undone successfully. The file is gone already.";
        co_return answer;
    }
    // What somebody else wrote since is neither overwritten nor removed.
    if (!now || (now->seen != step.made && now->sha256 != step.sha256))
        co_return refuse(
            "The last edit to " + path + " cannot be undone: the file was changed by something else since.",
            !gone);
    if (!step.existed) {
        auto removed = co_await files.run(Remove(path, false, true));
        if (!removed) co_return Failure(removed.error());
        forget_last(path);
        EditorAnswer answer;
        answer.existed = true;
        answer.old_content = std::move(now->text);
        answer.output =
            "Last edit to " + path + " undone successfully. The file did not exist before and was removed.";
        co_return answer;
    }
    WriteOptions options(path);
    options.seen = now->seen;
    auto written = co_await files.run(PutFile(std::move(options), step.content));
    if (!written) co_return Failure(written.error());
    forget_last(path);
    // What the step before left is this file now.
    auto const before = histories_.find(path);
    if (before != histories_.end()) before->second.steps.back().made = seen_of(*written);
    ShowUndone show(step.content, path);
    auto answer = co_await files.loop().pool().run(Lane::bulk, std::move(show));
    if (answer) answer->old_content = std::move(now->text);
    co_return answer;
}

}  // namespace execd::fs
