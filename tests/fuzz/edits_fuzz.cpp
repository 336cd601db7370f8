// Edits of a file are all made or none; events of a watched tree are merged without inventing any.
#include <unistd.h>

#include <fstream>
#include <iterator>

#include "base/check.hpp"
#include "base/digest.hpp"
#include "fs/coalesce.hpp"
#include "fs/edit.hpp"
#include "tests/fuzz/folder.hpp"
#include "tests/fuzz/target.hpp"

namespace execd::fs {
namespace {

std::string content(std::string const& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

// A byte of options, a line for each text replaced and each replacement, then the file.
void edit(std::string_view input) {
    static fuzz::Folder const folder;
    std::string const path = folder.path + "/f";
    unsigned const how = fuzz::take_byte(input);
    EditText op(path);
    for (unsigned i = 0; i <= how % 3; ++i) {
        TextEdit one{std::string(fuzz::take_line(input)), std::string(fuzz::take_line(input)),
                     static_cast<Which>(how >> 2U & 1U ? Which::all : Which::last)};
        one.required = (how & 8U) == 0;
        one.unique = (how & 16U) != 0;
        op.edits.push_back(std::move(one));
    }
    std::ofstream(path, std::ios::binary) << input;
    op.dry = true;
    auto const tried = op.run();
    EXECD_REQUIRE(content(path) == input);
    op.dry = false;
    auto const made = op.run();
    auto const now = content(path);
    EXECD_REQUIRE(tried.has_value() == made.has_value());
    if (!made) {
        EXECD_REQUIRE(now == input);
        return;
    }
    EXECD_REQUIRE(made->sha256 == hex(sha256(now)) && made->sha256 == tried->sha256);
    EXECD_REQUIRE(made->size == now.size() && made->diff == tried->diff);
    EXECD_REQUIRE(made->replaced > 0 || now == input);
    EXECD_REQUIRE(made->diff.empty() == (now == input));
}

void replace(std::string_view input) {
    auto const from = fuzz::take_line(input);
    auto const to = fuzz::take_line(input);
    for (auto const which : {Which::first, Which::last, Which::all}) {
        std::string text(input);
        auto const found = count_text(input, from);
        auto const done = replace_text(text, from, to, which);
        EXECD_REQUIRE(done == (which == Which::all ? found : std::min<std::uint64_t>(found, 1)));
        EXECD_REQUIRE(text.size() + done * from.size() == input.size() + done * to.size());
    }
}

void merge(std::string_view input) {
    Coalescer events;
    std::size_t said = 0;
    while (!input.empty()) {
        unsigned const what = fuzz::take_byte(input);
        unsigned const where = fuzz::take_byte(input);
        std::string const path(1, static_cast<char>('a' + where % 5));
        bool const directory = (where & 64U) != 0;
        ++said;
        switch (what % 8) {
            case 0: events.moved_from(where % 3, path, directory); break;
            case 1: (void)events.moved_to(where % 3, path, directory); break;
            case 2:
                events.add(
                    {Change::rename, path, std::string(1, static_cast<char>('A' + where % 5)), directory});
                break;
            case 3: events.add({Change::create, path, "", directory}); break;
            case 4: events.add({Change::remove, path, "", directory}); break;
            case 5: events.add({Change::chmod, path, "", directory}); break;
            case 6:
                if (where % 16 == 0) events.add({Change::overflow, "", "", false});
                break;
            default: events.add({Change::write, path, "", directory});
        }
    }
    auto const taken = events.take();
    EXECD_REQUIRE(events.empty() && taken.size() <= said);
    for (auto const& one : taken) EXECD_REQUIRE((one.what == Change::rename) == !one.old_path.empty());
}

void run(std::string_view input) {
    switch (fuzz::take_byte(input) % 3) {
        case 0: return edit(input);
        case 1: return replace(input);
        default: return merge(input);
    }
}

fuzz::Target const kTarget("edits", run);

}  // namespace
}  // namespace execd::fs
