#include "fs/editor.hpp"

#include <gtest/gtest.h>

#include <array>
#include <random>

#include "base/fault.hpp"
#include "fs/executor.hpp"
#include "support.hpp"

namespace execd::fs {
namespace {

using testing::get;
using testing::put;
using testing::Reactor;
using testing::TempDir;
using Command = EditorRequest::Command;

class EditorTool : public ::testing::Test {
  protected:
    EditorAnswer run(EditorRequest request) {
        auto answer = reactor.run(editor.run(reactor.files, std::move(request)));
        EXPECT_TRUE(answer) << answer.error().message();
        return answer.value_or(EditorAnswer());
    }
    static Task<void> counted(Editor& tool, Executor& files, EditorRequest request, int* done) {
        auto const answer = co_await tool.run(files, std::move(request));
        if (answer && !answer->error) ++*done;
    }
    EditorRequest request(Command command) { return EditorRequest(command, dir / "f"); }
    TempDir dir;
    Reactor reactor;
    Editor editor;
};

TEST_F(EditorTool, CreateThenUndoRemovesTheFile) {
    auto create = request(Command::create);
    EXPECT_EQ(run(create).error, "Parameter `file_text` is required for command: create.");
    create.file_text = "a\nb\n";
    EXPECT_EQ(run(create).output, "File created successfully at: " + dir / "f");
    EXPECT_EQ(run(create).error, "Invalid `path` parameter: " + dir / "f" + ". File already exists at: " +
                                     dir / "f" + ". Cannot overwrite files using command `create`.");
    EXPECT_TRUE(run(request(Command::undo_edit))
                    .output.starts_with("Last edit to " + dir / "f" + " undone successfully."));
    EXPECT_FALSE(std::filesystem::exists(dir / "f"));
    EXPECT_EQ(run(request(Command::undo_edit)).error, "No edit history found for " + dir / "f" + ".");
    EXPECT_EQ(editor.remembered_bytes(), 0U);
}

TEST_F(EditorTool, ViewFilesRangesAndDirectories) {
    put(dir / "f", "one\ntwo\nthree\n");
    put(dir / ".hidden", "");
    std::filesystem::create_directories(dir / "sub/deep/deeper");
    auto view = request(Command::view);
    EXPECT_EQ(run(view).output, "Here's the result of running `cat -n` on " + dir / "f" +
                                    ":\n     1\tone\n     2\ttwo\n     3\tthree\n     4\t\n");
    view.view_range = {2, 3};
    EXPECT_EQ(run(view).output,
              "Here's the result of running `cat -n` on " + dir / "f" + ":\n     2\ttwo\n     3\tthree\n");
    view.view_range = {3, -1};
    EXPECT_NE(run(view).output.find("     3\tthree\n"), std::string::npos);
    for (std::vector<std::int64_t> const& bad : {std::vector<std::int64_t>{0, 1}, {9, 10}, {3, 2}, {1}}) {
        view.view_range = bad;
        auto const answer = run(view);
        ASSERT_TRUE(answer.error);
        EXPECT_TRUE(answer.error->starts_with("Invalid `view_range` parameter: ["));
    }
    EXPECT_EQ(run(EditorRequest(Command::view, dir.path())).output,
              "Here's the files and directories up to 2 levels deep in " + dir.path() +
                  ", excluding hidden items:\n" + dir.path() + "/\n" + dir / "f" + "\n" + dir / "sub/" +
                  "\n" + dir / "sub/deep/" +
                  "\n\n1 hidden files/directories in this directory are excluded. You can use 'ls -la " +
                  dir.path() + "' to see them.");
    EXPECT_EQ(run(EditorRequest(Command::view, dir / "none")).error,
              "Invalid `path` parameter: " + dir / "none" + ". The path " + dir / "none" +
                  " does not exist. Please provide a valid path.");
    EXPECT_TRUE(run(EditorRequest(Command::view, "relative")).error);
    put(dir / "long", std::string(40'000, 'x'));
    auto const clipped = run(EditorRequest(Command::view, dir / "long"));
    EXPECT_NE(clipped.output.find("<response clipped>"), std::string::npos);
    EXPECT_LT(clipped.output.size(), 17'000U);
    view = request(Command::view);
    view.view_range = {1, 99};
    EXPECT_EQ(run(view).output,
              "NOTE: We only show up to 3 since there's only 3 lines in this file.\n"
              "Here's the result of running `cat -n` on " +
                  dir / "f" + ":\n     1\tone\n     2\ttwo\n     3\tthree\n");
    view.view_range = {1, 2, 3};
    EXPECT_EQ(run(view).error,
              "Invalid `view_range` parameter: [1, 2, 3]. It should be a list of two integers.");
    EXPECT_EQ(run(EditorRequest(Command::view, dir / "f/x")).error,
              "Invalid `path` parameter: " + dir / "f/x" + ". The path " + dir / "f/x" +
                  " does not exist. Please provide a valid path.");
    EditorRequest unknown(editor_command("rename"), dir / "f");
    unknown.name = "rename";
    EXPECT_EQ(run(unknown).error,
              "Unrecognized command rename. The allowed commands for the oh_editor tool are: view, create, "
              "str_replace, insert, undo_edit");
}

std::size_t characters(std::string_view text) {
    std::size_t n = 0;
    for (char const c : text) n += (static_cast<unsigned char>(c) & 0xC0U) == 0x80U ? 0 : 1;
    return n;
}

/// Contract aio.md section 5.6: clipped at 16,000 characters, numbers and all, with a note.
TEST_F(EditorTool, OutputIsClippedByCharacters) {
    std::string accents;
    for (int i = 0; i < 9000; ++i) accents += "\xC3\xA9";
    put(dir / "f", accents);
    EXPECT_EQ(run(request(Command::view)).output.find("<response clipped>"), std::string::npos);
    put(dir / "f", std::string(9000, '\n'));
    auto const lines = run(request(Command::view)).output;
    auto const cut =
        lines.find("<response clipped><NOTE>Due to the max output limit, only part of this file");
    ASSERT_NE(cut, std::string::npos);
    EXPECT_EQ(characters(lines.substr(0, cut)), 16'000U);
    for (int i = 0; i < 600; ++i) put(dir / (std::string(100, 'n') + std::to_string(i)), "");
    auto const names = run(EditorRequest(Command::view, dir.path())).output;
    auto const end = names.find(
        "<response clipped><NOTE>Due to the max output limit, only part of this "
        "directory has been shown to you. You should use `ls -la` instead to view");
    ASSERT_NE(end, std::string::npos);
    EXPECT_EQ(characters(names.substr(0, end)), 16'000U);
}

/// What could not be undone is still there to be undone; what somebody else wrote is not touched.
TEST_F(EditorTool, UndoKeepsItsStepUntilItWorkedAndLeavesOthersAlone) {
    put(dir / "f", "one");
    auto replace = request(Command::str_replace);
    replace.old_text = "one";
    replace.new_text = "two";
    EXPECT_FALSE(run(replace).error);
    fault::arm("open", 2, EIO);  // the first one reads
    EXPECT_FALSE(reactor.run(editor.run(reactor.files, request(Command::undo_edit))));
    fault::disarm();
    EXPECT_FALSE(run(request(Command::undo_edit)).error);
    EXPECT_EQ(get(dir / "f"), "one");
    EXPECT_FALSE(run(replace).error);
    put(dir / "f", "theirs");
    auto const refused = run(request(Command::undo_edit));
    EXPECT_EQ(refused.error, "The last edit to " + dir / "f" +
                                 " cannot be undone: the file was changed by something else since.");
    EXPECT_EQ(get(dir / "f"), "theirs");
    EditorRequest create(Command::create, dir / "new");
    create.file_text = "ours";
    EXPECT_FALSE(run(create).error);
    put(dir / "new", "theirs too");
    EXPECT_TRUE(run(EditorRequest(Command::undo_edit, dir / "new")).error);
    EXPECT_EQ(get(dir / "new"), "theirs too");
    put(dir / "new", "ours");  // the same again, though another time
    EXPECT_FALSE(run(EditorRequest(Command::undo_edit, dir / "new")).error);
    EXPECT_FALSE(std::filesystem::exists(dir / "new"));
}

/// Sixteen at once on one file: each says it was done, each is in the file.
TEST_F(EditorTool, EditsAtTheSameTimeAreAllKept) {
    std::string text;
    for (int i = 0; i < 16; ++i) text += "<" + std::to_string(i) + ">\n";
    put(dir / "f", text);
    int done = 0;
    for (int i = 0; i < 16; ++i) {
        auto replace = request(Command::str_replace);
        replace.old_text = "<" + std::to_string(i) + ">";
        replace.new_text = "[" + std::to_string(i) + "]";
        reactor.scope.spawn("edit", counted(editor, reactor.files, std::move(replace), &done));
    }
    while (reactor.scope.running() > 0 && reactor.io.run_one() > 0) {
    }
    EXPECT_EQ(done, 16);
    EXPECT_EQ(get(dir / "f").find('<'), std::string::npos) << get(dir / "f");
}

TEST_F(EditorTool, StrReplaceInItsManyWays) {
    put(dir / "f", "1\n2\n3\n4\n5\nfoo\n7\n8\n9\n10\n11\nbar bar\n");
    auto replace = request(Command::str_replace);
    EXPECT_EQ(run(replace).error, "Parameter `old_str` is required for command: str_replace.");
    replace.old_text = "foo";
    replace.new_text = "FOO";
    auto const answer = run(replace);
    EXPECT_EQ(
        answer.output,
        "The file " + dir / "f" + " has been edited. Here's the result of running `cat -n` on a snippet of " +
            dir / "f" +
            ":\n     2\t2\n     3\t3\n     4\t4\n     5\t5\n     6\tFOO\n     7\t7\n     8\t8\n     9\t9\n"
            "    10\t10\nReview the changes and make sure they are as expected. Edit the file again "
            "if necessary.");
    EXPECT_NE(answer.old_content->find("foo"), std::string::npos);
    replace.old_text = "absent";
    EXPECT_EQ(run(replace).error,
              "No replacement was performed, old_str `absent` did not appear verbatim in " + dir / "f" + ".");
    replace.old_text = "bar";
    EXPECT_EQ(run(replace).error,
              "No replacement was performed. Multiple occurrences of old_str `bar` in lines [12]. "
              "Please ensure it is unique.");
    replace.replace_mode = Which::last;
    EXPECT_FALSE(run(replace).error);
    EXPECT_TRUE(get(dir / "f").ends_with("bar FOO\n"));
    replace.old_text = replace.new_text;
    EXPECT_TRUE(run(replace).error->starts_with("Invalid `new_str` parameter: "));
    replace = request(Command::str_replace);
    replace.old_text = "  7\n\n";
    replace.new_text = " seven ";
    EXPECT_FALSE(run(replace).error);
    EXPECT_NE(get(dir / "f").find("\nseven\n"), std::string::npos);
}

TEST_F(EditorTool, InsertAndUndoStepByStep) {
    put(dir / "f", "a\nb");
    auto insert = request(Command::insert);
    insert.insert_line = 3;
    insert.new_text = "X";
    EXPECT_EQ(run(insert).error,
              "Invalid `insert_line` parameter: 3. It should be within the range of allowed values: [0, 2]");
    insert.insert_line = 0;
    run(insert);
    EXPECT_EQ(get(dir / "f"), "X\na\nb");
    insert.insert_line = 3;
    insert.new_text = "end";
    EXPECT_FALSE(run(insert).error);
    EXPECT_EQ(get(dir / "f"), "X\na\nb\nend");
    insert.insert_line = 2;
    insert.new_text = "mid\n";
    run(insert);
    EXPECT_EQ(get(dir / "f"), "X\na\nmid\nb\nend");
    for (auto const* state : {"X\na\nb\nend", "X\na\nb", "a\nb"}) {
        EXPECT_TRUE(run(request(Command::undo_edit)).output.starts_with("Last edit to "));
        EXPECT_EQ(get(dir / "f"), state);
    }
    EXPECT_TRUE(run(request(Command::undo_edit)).error);
}

TEST_F(EditorTool, HistoryIsTenStepsAndBounded) {
    put(dir / "f", "0");
    for (int i = 0; i < 15; ++i) {
        auto replace = request(Command::str_replace);
        replace.old_text = std::to_string(i);
        replace.new_text = std::to_string(i + 1);
        run(replace);
    }
    int undone = 0;
    while (!run(request(Command::undo_edit)).error) ++undone;
    EXPECT_EQ(undone, 10);
    EXPECT_EQ(get(dir / "f"), "5");
}

TEST_F(EditorTool, PropertyEveryStepIsUndoneInTurn) {
    std::mt19937 random(11);
    auto const pick = [&random](std::size_t below) { return random() % below; };
    for (int round = 0; round < 20; ++round) {
        std::vector<std::string> history;
        std::string text = "start\n";
        put(dir / "f", text);
        auto const steps = 1 + pick(9);
        for (std::size_t step = 0; step < steps; ++step) {
            auto edit = request(pick(2) == 0 ? Command::insert : Command::str_replace);
            if (edit.command == Command::insert) {
                edit.insert_line = static_cast<std::int64_t>(pick(3));
                edit.new_text = std::string(pick(3), '\n') + "l" + std::to_string(pick(1000));
            } else {
                auto const at = pick(text.size());
                edit.old_text = text.substr(at, 1 + pick(text.size() - at));
                edit.new_text = "r" + std::to_string(pick(1000)) + std::string(pick(3), '\n');
                edit.replace_mode = std::array{Which::first, Which::last, Which::all}[pick(3)];
            }
            auto const answer = run(edit);
            auto const now = get(dir / "f");
            if (answer.error) {
                ASSERT_EQ(now, text) << *answer.error;
                continue;
            }
            ASSERT_EQ(answer.old_content, text);
            ASSERT_EQ(answer.new_content, now);
            history.push_back(text);
            text = now;
            if (text.empty()) break;
        }
        while (!history.empty()) {
            ASSERT_FALSE(run(request(Command::undo_edit)).error);
            ASSERT_EQ(get(dir / "f"), history.back());
            history.pop_back();
        }
        EXPECT_TRUE(run(request(Command::undo_edit)).error);
    }
}

}  // namespace
}  // namespace execd::fs
