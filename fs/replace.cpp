#include "fs/replace.hpp"

#include "fs/content.hpp"
#include "fs/reader.hpp"
#include "fs/stage.hpp"

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

Result<Replaced> Replace::run() const {
    auto file = OpenRead{path}.run();
    if (!file) return Failure(std::move(file.error()));
    auto text = read_all(file->fd.get(), max_size);
    if (!text) {
        text.error().detail = path + ": " + text.error().detail;
        return Failure(std::move(text.error()));
    }
    if (from.empty()) return fail(Code::invalid_argument, "replace.empty", "the text to replace is empty");
    Replaced out;
    out.found = count_text(*text, from);
    out.size = text->size();
    if (dry || out.found == 0) return out;
    out.replaced = replace_text(*text, from, to, which);
    WriteOptions options;
    options.path = path;
    auto written = PutFile{options, std::move(*text)}.run();
    if (!written) return Failure(std::move(written.error()));
    out.size = written->size;
    return out;
}

}  // namespace execd::fs
