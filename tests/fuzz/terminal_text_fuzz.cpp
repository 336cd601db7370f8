// What programs write on a terminal and people type as commands: the screen holds what a screen can, a
// command that is started without a shell has the words that it was written with.
#include "base/check.hpp"
#include "base/utf8.hpp"
#include "execd/dialects/sandbox_sdk/query_path.hpp"
#include "execd/plain_text.hpp"
#include "shell/direct_command.hpp"
#include "shell/screen.hpp"
#include "shell/shell_text.hpp"
#include "tests/fuzz/target.hpp"

namespace execd {
namespace {

void check(shell::Screen::Picture const& picture, std::size_t rows) {
    EXECD_REQUIRE(picture.rows.size() <= rows && picture.cursor.row < rows);
    for (auto const& row : picture.rows) EXECD_REQUIRE(is_utf8(row) && !row.ends_with(' '));
    EXECD_REQUIRE(is_utf8(picture.title));
}

void screen(std::string_view input) {
    std::size_t const step = 1 + fuzz::take_byte(input) % 13;
    std::size_t const columns = 1 + fuzz::take_byte(input);
    input = input.substr(0, 4096);
    shell::Screen whole(columns, 24);
    shell::Screen pieces(columns, 24);
    whole.feed(input);
    for (std::size_t at = 0; at < input.size(); at += step) pieces.feed(input.substr(at, step));
    auto const a = whole.picture();
    auto const b = pieces.picture();
    check(a, 24);
    // Where a broken sequence is cut, libvterm may show it otherwise.
    check(b, 24);
    whole.resize(1 + step * 9, step);
    whole.feed(input);
    check(whole.picture(), step);
    whole.reset();
    EXECD_REQUIRE(whole.picture().text().empty());
}

void commands(std::string_view input) {
    EXECD_REQUIRE(lines_of(without_escapes(input)).size() <= input.size());
    (void)sandbox_sdk::path_of_query(input);
    auto const words = shell::simple_command(input);
    if (!words) return;
    EXECD_REQUIRE(!words->empty() && !words->front().empty());
    std::string again;
    for (auto const& word : *words) {
        EXECD_REQUIRE(word.find('\0') == std::string::npos);
        again += (again.empty() ? "" : " ") + shell::shell_quoted(word);
    }
    // Where it is understood again (a quote in a word is the shell's), it is the same.
    if (auto const same = shell::simple_command(again)) EXECD_REQUIRE(*same == *words);
}

void run(std::string_view input) { fuzz::take_byte(input) % 2 == 0 ? screen(input) : commands(input); }

fuzz::Target const kTarget("terminal_text", run);

}  // namespace
}  // namespace execd
