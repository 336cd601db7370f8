#include "fs/replace.hpp"

#include "fs/stage.hpp"
#include "fs/whole_file.hpp"

namespace execd::fs {

std::uint64_t count_text(std::string_view text, std::string_view what) {
    std::uint64_t count = 0;
    if (what.empty()) return 0;
    for (auto at = text.find(what); at != std::string_view::npos; at = text.find(what, at + what.size()))
        ++count;
    return count;
}

std::uint64_t replace_text(std::string& text, std::string_view from, std::string_view to, Which which) {
    if (from.empty()) return 0;
    if (which != Which::all) {
        auto const at = which == Which::first ? text.find(from) : text.rfind(from);
        if (at == std::string::npos) return 0;
        text.replace(at, from.size(), to);
        return 1;
    }
    std::string out;
    std::uint64_t count = 0;
    std::size_t done = 0;
    for (auto at = text.find(from); at != std::string::npos; at = text.find(from, done)) {
        out.append(text, done, at - done);
        out += to;
        done = at + from.size();
        ++count;
    }
    if (count == 0) return 0;
    out.append(text, done);
    text = std::move(out);
    return count;
}

namespace {
Result<Replaced> replace_once(Replace const& op) {
    auto const& [path, from, to, which, dry, max_size] = op;
    auto file = load_file(path, max_size);
    if (!file) return Failure(std::move(file.error()));
    std::string& text = file->bytes;
    if (from.empty()) return fail(Code::invalid_argument, "replace.empty", "the text to replace is empty");
    Replaced out;
    out.found = count_text(text, from);
    out.size = text.size();
    if (dry || out.found == 0) return out;
    out.replaced = replace_text(text, from, to, which);
    WriteOptions options;
    options.path = path;
    options.seen = file->seen();
    auto written = PutFile{options, std::move(text)}.run();
    if (!written) return Failure(std::move(written.error()));
    out.size = written->size;
    return out;
}
}  // namespace

Result<Replaced> Replace::run() const {
    return until_not_overtaken([this] { return replace_once(*this); });
}

}  // namespace execd::fs
