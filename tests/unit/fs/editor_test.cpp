#include "fs/editor.hpp"

#include <gtest/gtest.h>

#include <array>
#include <random>

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
                  "\n" + dir / "sub/deep/");
    EXPECT_EQ(run(EditorRequest(Command::view, dir / "none")).error,
              "Invalid `path` parameter: " + dir / "none" + ". The path " + dir / "none" +
                  " does not exist. Please provide a valid path.");
    EXPECT_TRUE(run(EditorRequest(Command::view, "relative")).error);
    put(dir / "long", std::string(40'000, 'x'));
    auto const clipped = run(EditorRequest(Command::view, dir / "long"));
    EXPECT_NE(clipped.output.find("<response clipped>"), std::string::npos);
    EXPECT_LT(clipped.output.size(), 17'000U);
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
              "No replacement was performed. Multiple occurrences of old_str `bar` in lines [12, 12]. "
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
    EXPECT_EQ(
        run(insert).error,
        "Invalid `insert_line` parameter: 3. It should be within the range of lines of the file: [0, 2]");
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
