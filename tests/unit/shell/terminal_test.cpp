#include <signal.h>

#include <algorithm>

#include "base/utf8.hpp"
#include "harness.hpp"
#include "shell/terminal.hpp"

namespace execd::shell {
namespace {

TEST(Screen, TextCursorTitle) {
    Screen screen(20, 4);
    screen.feed("hello\r\n\x1b[31mred\x1b[0m \xE2\x82\xAC\x1b]2;my title\x07\x1b[4;3Hx");
    auto picture = screen.picture();
    EXPECT_EQ(picture.text(), "hello\nred \xE2\x82\xAC\n\n  x");
    EXPECT_EQ(picture.cursor.row, 3U);
    EXPECT_EQ(picture.cursor.column, 3U);
    EXPECT_EQ(picture.title, "my title");
    screen.feed("\x1b[?1049h\x1b[?25lfull");
    EXPECT_TRUE(screen.picture().alternate);
    EXPECT_FALSE(screen.picture().cursor.visible);
    screen.feed("\x1b[?1049l");
    EXPECT_FALSE(screen.picture().alternate);
    EXPECT_EQ(screen.picture().rows.at(0), "hello");
    screen.resize(10, 2);
    EXPECT_EQ(screen.picture().rows.size(), 2U);
    screen.reset();
    EXPECT_EQ(screen.picture().text(), "");
}

TEST(Screen, NumbersBeyondUnicodeAreNoText) {
    Screen screen(20, 2);
    screen.feed("a\xF5\x93\x96\x91z\r\n\x1b]0;t\xF5\x93\x96\x91\x07");
    auto const picture = screen.picture();
    ASSERT_FALSE(picture.rows.empty());
    EXPECT_TRUE(is_utf8(picture.rows[0])) << picture.rows[0];
    EXPECT_TRUE(picture.rows[0].starts_with("a") && picture.rows[0].ends_with("z")) << picture.rows[0];
    EXPECT_TRUE(is_utf8(picture.title)) << picture.title;
}

// It was the end of the daemon: libvterm wrote behind the one cell of the row.
TEST(Screen, AWideCharacterInOneColumnIsNotFatal) {
    Screen screen(1, 24);
    screen.feed("\xE5\xA4\xBC;99\xE0");
    screen.resize(1, 5);
    screen.feed("\xE5\xA4\xBC\xE5\xA4\xBCx");
    screen.resize(80, 5);
    screen.resize(1, 1);
    screen.feed("\xE5\xA4\xBC");
    EXPECT_LE(screen.picture().rows.size(), 1U);
}

// libvterm repeated for ever what takes no room, and with it the reactor stood still.
TEST(Screen, RepeatsWhatTakesRoomAndNothingElse) {
    for (std::string const text : {"\x1b[b", "\x1b[9b", "\xE2\x80\x8B\x1b[3b", "a\xCC\x81\x1b[2b",
                                   "\x1b]0;title\x07\x1b[b", "\xE2\x80\x8B\x1bPtext\x07z\x1b[b",
                                   "\xE2\x80\x8B\x1b[\x01"
                                   "2b",
                                   "\x1b[?1049h\x1b[b"})
        for (std::size_t const step : {1U, 64U}) {
            Screen screen(20, 3);
            for (std::size_t at = 0; at < text.size(); at += step)
                screen.feed(std::string_view(text).substr(at, step));
            EXPECT_EQ(screen.picture().rows.size(), 3U);
        }
    Screen screen(20, 3);
    screen.feed("x-\x1b[4b|\x1b[b\x1b[1");
    screen.feed("b");
    EXPECT_EQ(screen.picture().text(), "x-----|||");
}

// libvterm moved a negative number of bytes, and that was the daemon's end.
TEST(Screen, MarginsOutsideOfASmallerScreenAreNotFatal) {
    Screen screen(10, 24);
    screen.feed("one\x1b[3;9r\x1b[8;3H");
    screen.resize(10, 1);
    screen.feed("a\nb\n\x1b[L\x1b[M\x1b[Sc");
    EXPECT_EQ(screen.picture().rows.size(), 1U);
    Screen wide(40, 5);
    wide.feed("\x1b[?69h\x1b[20;30s\x1b[2;25Hx");
    wide.resize(5, 5);
    wide.feed("\x1b[L\x1b[M\x1b[3@\x1b[3P\nabc");
    EXPECT_EQ(wide.picture().rows.size(), 5U);
}

TEST(Screen, NoBytesAreFatal) {
    Screen screen(10, 3);
    unsigned state = 1;
    for (int i = 0; i < 20'000; ++i) {
        state = state * 1103515245 + 12345;
        char const byte = static_cast<char>(state >> 16);
        screen.feed(std::string_view(&byte, 1));
        if (i % 7 == 0) screen.feed("\x1b[");
    }
    EXPECT_EQ(screen.picture().rows.size(), 3U);
}

class TerminalTest : public ::testing::Test {
  protected:
    std::shared_ptr<Terminal> make(std::string text) {
        Terminal::Options options;
        options.argv = {"/bin/bash", "--norc", "--noprofile"};
        if (!text.empty()) options.argv.insert(options.argv.end(), {"-c", std::move(text)});
        options.environment = Environment({"PATH=/usr/bin:/bin", "PS1=> ", "TERM=xterm"});
        options.size = {40, 10};
        return Terminal::create(h.loop, h.executions, std::move(options));
    }
    void start(Terminal& terminal, bool pipes = false) {
        auto const started = h.run(terminal.start(pipes));
        ASSERT_TRUE(started.has_value()) << started.error().message();
    }
    Screen::Picture expect(Terminal& terminal, std::string text) {
        auto picture = h.run(terminal.wait_for_text(text, h.soon()));
        EXPECT_TRUE(picture.has_value()) << text << ": " << (picture ? "" : picture.error().message());
        return picture ? *picture : Screen::Picture();
    }
    Harness h;
};

TEST_F(TerminalTest, TypingResizeSignalAndExit) {
    auto terminal = make("");
    start(*terminal);
    auto writer = terminal->take_writer(false);
    ASSERT_TRUE(writer.has_value());
    expect(*terminal, ">");
    EXPECT_TRUE(h.run(terminal->write(**writer, "stty size; echo a$((1+1))b\r", h.soon())));
    EXPECT_NE(expect(*terminal, "a2b").text().find("10 40"), std::string::npos);
    EXPECT_TRUE(terminal->resize({60, 12}));
    EXPECT_TRUE(h.run(terminal->write("stty size\r", h.soon())));
    expect(*terminal, "12 60");
    EXPECT_TRUE(h.run(terminal->write("sh -c 'echo go; exec sleep 1000'\r", h.soon())));
    expect(*terminal, "\ngo");  // said by the foreground job itself: bash loses a signal while it makes one
    EXPECT_TRUE(h.run(terminal->write("\x03", h.soon())));  // Ctrl-C works (contract 13.6)
    expect(*terminal, "^C\n>");  // the prompt: bash drops what is typed while it takes the terminal back
    EXPECT_TRUE(h.run(terminal->write("exit 5\r", h.soon())));
    EXPECT_TRUE(h.run(terminal->execution()->ended(h.soon())));
    EXPECT_EQ(terminal->execution()->verdict()->exit_code(), 5);
}

TEST_F(TerminalTest, ReplayAndRestartKeepOneOffset) {
    auto terminal = make("printf one");
    start(*terminal);
    EXPECT_TRUE(h.run(terminal->execution()->ended(h.soon())));
    EXPECT_EQ(terminal->journal().end().total, 3U);
    start(*terminal);
    EXPECT_TRUE(h.run(terminal->execution()->ended(h.soon())));
    EXPECT_EQ(terminal->journal().end().total, 6U);
    Batch batch;
    Cursor view = terminal->reader(2);
    ASSERT_TRUE(view.poll(batch));
    EXPECT_EQ(batch.slices.at(0).bytes, "eone");
    EXPECT_EQ(batch.slices.at(0).total, 2U);
    EXPECT_FALSE(view.poll(batch));
    Cursor beyond = terminal->reader(100);
    EXPECT_FALSE(beyond.poll(batch));
    h.run(terminal->close());
    EXPECT_EQ(h.run(view.next(batch, h.soon())), Next::end);
    EXPECT_EQ(h.run(terminal->start()).error().code, Code::gone);
}

TEST_F(TerminalTest, ItsEndTakesWhatTheProgramsBeforeLeftRunning) {
    auto terminal = make("trap '' HUP; setsid sleep 1000 >/dev/null 2>&1 & echo $!");
    for (int i = 0; i < 2; ++i) {
        start(*terminal);
        EXPECT_TRUE(h.run(terminal->execution()->ended(h.soon())));
    }
    Batch batch;
    std::string text;
    Cursor view = terminal->reader(0);
    while (view.poll(batch))
        for (auto const& slice : batch.slices) text += slice.bytes;
    std::replace(text.begin(), text.end(), '\r', ' ');
    std::replace(text.begin(), text.end(), '\n', ' ');
    EXPECT_TRUE(h.verdict(h.start("kill -0 " + text)).success()) << text;
    h.run(terminal->close());
    auto const gone =
        h.start("for p in " + text + "; do while kill -0 $p 2>/dev/null; do sleep 0.01; done; done");
    EXPECT_TRUE(h.verdict(gone).success());
}

TEST_F(TerminalTest, TakeoverPingPong) {  // PEERS 6.1, OSB takeover reviews
    auto terminal = make("");
    auto a = *terminal->take_writer(false);
    EXPECT_EQ(terminal->take_writer(false).error().code, Code::conflict);
    EXPECT_TRUE(a->valid());  // a refused one evicts nobody
    auto b = *terminal->take_writer(true);
    EXPECT_FALSE(a->valid());
    auto c = *terminal->take_writer(true);
    EXPECT_FALSE(b->valid());
    EXPECT_EQ(h.run(terminal->write(*a, "x", h.soon())).error().code, Code::conflict);
    a.reset();
    EXPECT_TRUE(terminal->has_writer());
    c.reset();
    EXPECT_FALSE(terminal->has_writer());
    EXPECT_TRUE(terminal->take_writer(false).has_value());
}

TEST_F(TerminalTest, PipeModeKeepsStreamsApart) {
    auto terminal = make("read x; echo out $x; echo err >&2");
    start(*terminal, true);
    EXPECT_TRUE(h.run(terminal->write("hi\n", h.soon())));
    EXPECT_TRUE(h.run(terminal->execution()->ended(h.soon())));
    Batch batch;
    Cursor view = terminal->reader();
    ASSERT_TRUE(view.poll(batch));
    std::string out;
    std::string err;
    for (auto const& slice : batch.slices) (slice.stream == Stream::out ? out : err) += slice.bytes;
    EXPECT_EQ(out, "out hi\n");
    EXPECT_EQ(err, "err\n");
    EXPECT_TRUE(terminal->resize({1, 1}));
}

TEST_F(TerminalTest, IdleAndMissingTexts) {
    auto terminal = make("echo ready; sleep 1000");
    start(*terminal);
    auto idle = h.run(terminal->wait_for_idle(100ms, h.soon()));
    ASSERT_TRUE(idle.has_value());
    EXPECT_EQ(idle->text(), "ready");
    EXPECT_EQ(h.run(terminal->wait_for_text("never", Deadline::in(h.clock, 20ms))).error().code,
              Code::timed_out);
    h.run(terminal->close());
    EXPECT_EQ(h.run(terminal->wait_for_text("never", h.soon())).error().code, Code::gone);
}

TEST_F(TerminalTest, TypingNeverWaitsForTheProgramAndIsBounded) {
    auto terminal = make("sleep 1000");
    start(*terminal, true);
    auto writer = *terminal->take_writer(false);
    std::string const piece(100'000, 'x');
    int taken = 0;
    while (taken < 100 && h.run(terminal->type(*writer, piece, Deadline::in(h.clock, 20ms)))) ++taken;
    EXPECT_GE(taken, 10);
    EXPECT_LE(taken, 13 + 10);  // 1 MiB here, and at most that much in the pipe
    auto const full = h.run(terminal->type(*writer, piece, Deadline::in(h.clock, 20ms)));
    EXPECT_EQ(full.error().code, Code::timed_out);
    h.run(terminal->close());
    EXPECT_EQ(h.run(terminal->type(*writer, "x", h.soon())).error().code, Code::gone);
}

TEST_F(TerminalTest, WhatWasTypedArrivesAfterItsWriterHasGone) {
    auto terminal = make("while read -r line; do echo \"<$line>\"; [ \"$line\" = end ] && exit; done");
    start(*terminal, true);
    auto writer = *terminal->take_writer(false);
    EXPECT_TRUE(h.run(terminal->type(*writer, "one\n", h.soon())));
    EXPECT_TRUE(h.run(terminal->type(*writer, "two\nend\n", h.soon())));
    writer.reset();
    EXPECT_TRUE(h.run(terminal->execution()->ended(h.soon())));
    Batch batch;
    Cursor view = terminal->reader();
    ASSERT_TRUE(view.poll(batch));
    std::string text;
    for (auto const& slice : batch.slices) text += slice.bytes;
    EXPECT_EQ(text, "<one>\n<two>\n<end>\n");
}

TEST_F(TerminalTest, AClosedStdinIsTold) {
    auto terminal = make("exec <&-; echo closed; sleep 1000");
    start(*terminal, true);
    auto writer = *terminal->take_writer(false);
    expect(*terminal, "closed");
    (void)h.run(terminal->type(*writer, "x", h.soon()));
    Result<void> again;
    for (int i = 0; i < 50 && again; ++i) {
        h.io.restart();
        h.io.poll();
        again = h.run(terminal->type(*writer, "x", h.soon()));
    }
    EXPECT_EQ(again.error().code, Code::disconnected);
    h.run(terminal->close());
}

TEST_F(TerminalTest, AHolderThatIsStuckHearsOfTheTakeover) {
    auto terminal = make("");
    auto a = *terminal->take_writer(false);
    int called = 0;
    a->when_taken_over([&called] { ++called; });
    auto b = *terminal->take_writer(true);
    EXPECT_EQ(called, 1);
    EXPECT_EQ(h.run(terminal->type(*a, "x", h.soon())).error().code, Code::conflict);
}

TEST_F(TerminalTest, ForegroundSignalsReachTheJobAndNotTheShell) {
    auto terminal = make("");
    start(*terminal);
    EXPECT_TRUE(h.run(terminal->write("sleep 1000\r", h.soon())));
    expect(*terminal, "sleep 1000");
    auto watcher = h.start("until pgrep -P " + std::to_string(terminal->execution()->pid()) +
                           " sleep; do sleep 0.01; done");
    h.verdict(watcher);
    EXPECT_TRUE(terminal->signal_foreground(SIGINT));
    EXPECT_TRUE(h.run(terminal->write("echo back $?\r", h.soon())));
    expect(*terminal, "back 130");
}

TEST_F(TerminalTest, TextsOfAnySizeRun) {
    Terminal::Options options;
    options.text = "# " + std::string(300'000, 'x') + "\necho done";
    options.shell_options = {"--norc", "--noprofile"};
    options.environment = Environment({"PATH=/usr/bin:/bin", "TERM=xterm"});
    auto terminal = Terminal::create(h.loop, h.executions, std::move(options));
    start(*terminal);
    expect(*terminal, "done");
}

TEST_F(TerminalTest, NobodyReadsAndItGoesOn) {
    auto terminal = make("head -c 3000000 /dev/zero | tr '\\0' x; echo; echo end");
    start(*terminal);
    EXPECT_TRUE(h.run(terminal->execution()->ended(h.soon())));
    EXPECT_GE(terminal->journal().end().total, 3'000'000U);
    EXPECT_LE(terminal->journal().memory_bytes(), 1'400'000U);
    expect(*terminal, "end");
}

}  // namespace
}  // namespace execd::shell
