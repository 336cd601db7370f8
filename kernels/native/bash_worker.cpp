// The bash worker: an interactive bash on a pipe. "Interactive" because only then SIGINT gives up the command
// line that runs, however busy it is, and goes on with the next one. The line of a cell reports its own end;
// after it comes a short one that reports in its place when bash has dropped it (`kill -INT $$` in a cell),
// and after an interrupt of ours another.
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <stdexcept>

#include "kernels/native/sources.hpp"
#include "kernels/native/worker.hpp"

namespace execd::kernels::native {

namespace {

constexpr std::size_t kMaxOld = 128;  // pipes that jobs of earlier cells still hold
constexpr std::size_t kMaxStatus = std::size_t{1} << 24;
constexpr int kOldestBash = 4;
// Tells of a cell that did not tell itself (bash.sh). Twice, because another SIGINT drops what bash has read
// of a line; what is left of this one is a command that does no harm.
constexpr std::string_view kTellLost = ":::\n:::\n";

std::string number(int n) { return std::to_string(n); }

/// Byte offset of a code point.
std::size_t offset_of(std::string_view text, std::size_t points) {
    std::size_t at = 0;
    for (; at < text.size() && points > 0; --points) {
        ++at;
        while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) ++at;
    }
    return at;
}

int points_of(std::string_view text) {
    return static_cast<int>(std::count_if(
        text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

std::vector<std::string> lines_of(std::string_view text) {
    std::vector<std::string> out;
    while (!text.empty()) {
        auto const end = std::min(text.find('\n'), text.size());
        if (end > 0) out.emplace_back(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    std::sort(out.begin(), out.end());
    out.erase(std::unique(out.begin(), out.end()), out.end());
    return out;
}

class BashWorker final : public Worker {
  public:
    BashWorker(Listener& listener, std::string program) : Worker(listener), program_(std::move(program)) {}

    void start() override;
    void execute(Cell const& cell) override;
    void ask(Json question) override;
    void press() override;
    void give_input(std::string const& text) override { write_all(answer_.get(), text + "\n"); }
    void watch(std::vector<pollfd>& into) override;
    void ready(std::span<pollfd const> those) override;

  private:
    struct Stream {
        UniqueFd fd;
        Utf8Decoder decoder;
        Json parent;  // null: nothing has run that writes here
        bool is_stderr = false;
        bool silent = false;
    };
    void read_stream(Stream& stream);
    void say(Stream const& stream, std::string text) {
        // An interactive bash ends the line that an interrupt has broken off.
        if (interrupts_ > 0 && stream.is_stderr && text == "\n") return;
        if (!text.empty() && !stream.silent && !stream.parent.is_null())
            listener_->on_stream(stream.is_stderr, std::move(text), stream.parent);
    }
    std::string next_pipe(std::size_t i);
    void swap_pipes(std::string_view flags);
    void read_status();
    void read_ask();
    void take_status(std::string_view text);
    void finish_cell();
    [[nodiscard]] int status_of_lost(std::string_view text) const;
    void cell_done(int status);
    void answer_question(std::string_view text);
    void check_end();
    void put_source(std::string_view source);
    void line(std::string const& text) { write_all(commands_.get(), text); }

    std::string program_;
    std::array<Stream, 2> now_;   // of the cell: stdout, stderr
    std::array<Stream, 2> next_;  // until bash says that it writes there
    std::array<UniqueFd, 2> writers_;
    std::vector<Stream> old_;
    UniqueFd commands_, status_, source_, eof_, ask_, ask_write_, answer_, answer_read_;
    std::string status_text_, ask_text_;
    int seq_ = 0;
    int last_status_ = 0;
    Cell cell_;
    Json question_;
};

void BashWorker::start() {
    auto commands = make_pipe(false), status = make_pipe(true), out = make_pipe(true), err = make_pipe(true);
    auto eof = make_pipe(true), ask = make_pipe(true), answer = make_pipe(false);
    ::fcntl(answer.write.get(), F_SETFL, 0);
    source_ = scratch_file();
    char const* const term = std::getenv("TERM");
    Child child;
    child.program = program_;
    child.argv = {"bash", "--noprofile", "--norc", "--noediting", "-i"};
    child.env = {
        {"HISTFILE", ""}, {"PS1", ""}, {"PROMPT_COMMAND", ""}, {"TERM", term == nullptr ? "dumb" : term}};
    child.fds = {{commands.read.get(), 0}, {out.write.get(), 1}, {err.write.get(), 2},
                 {status.write.get(), 4},  {eof.read.get(), 5},  {source_.get(), 6}};
    ended_.reset();
    refusal_.clear();
    ready_ = false;
    last_status_ = 0;
    status_text_.clear();
    for (std::size_t i = 0; i < 2; ++i) {
        if (now_[i].fd) old_.push_back(std::move(now_[i]));
        now_[i] = Stream{std::move(i == 0 ? out.read : err.read), {}, Json(), i == 1, false};
        next_[i] = {};
        writers_[i].reset();
    }
    spawn(child);
    commands_ = std::move(commands.write);
    status_ = std::move(status.read);
    eof_ = std::move(eof.read);
    ask_ = std::move(ask.read);
    ask_write_ = std::move(ask.write);
    answer_ = std::move(answer.write);
    answer_read_ = std::move(answer.read);
    line("__ek_host=" + number(::getpid()) + " __ek_eof=" + number(eof_.get()) +
         " __ek_ask=" + number(ask_write_.get()) + " __ek_answer=" + number(answer_read_.get()) + "\n" +
         std::string(bash_source()));
}

void BashWorker::put_source(std::string_view source) {
    // The offset is shared with bash's descriptor.
    (void)!::ftruncate(source_.get(), 0);
    ::lseek(source_.get(), 0, SEEK_SET);
    if (!write_all(source_.get(), source)) throw std::runtime_error("no room for the source of the cell");
    ::lseek(source_.get(), 0, SEEK_SET);
}

/// Two words for __ek_begin: the pipe that bash writes to now, and the one that it is to open by our number.
std::string BashWorker::next_pipe(std::size_t i) {
    if (now_[i].parent.is_null() || !now_[i].fd || old_.size() >= kMaxOld) return " '' ''";
    auto made = make_pipe(true);
    std::string out = " " + number(now_[i].fd.get()) + " " + number(made.write.get());
    next_[i] = Stream{std::move(made.read), {}, Json(), i == 1, false};
    writers_[i] = std::move(made.write);
    return out;
}

void BashWorker::execute(Cell const& cell) {
    busy_with_cell();
    cell_ = cell;
    if (cell.code.find('\0') != std::string::npos)
        return answered(
            {{"status", "error"}, {"ename", "ValueError"}, {"evalue", "the source holds a NUL byte"}});
    put_source(cell.code);
    std::string const seq = number(++seq_);
    std::string const pipes = next_pipe(0) + next_pipe(1);
    // "&& :" is for a cell's `set -e`: what begins the next one brings the last status and must not end the
    // shell.
    line("__ek_begin " + seq + " " + number(last_status_) + " '" + (cell.allow_stdin ? "1" : "") + "'" +
         pipes + " && :; eval \"$__ek_src\" <&5 4>&- 5<&- 6<&-; __ek_end " + seq + " $?\n" +
         std::string(kTellLost));
}

void BashWorker::press() {
    Worker::press();
    if (!status_) {  // the cell's `exec` has put another program in the shell's place
        if (interrupts_ > 1) kill_all();
        return;
    }
    // Line feeds first: bash may have begun to read when the signal made it drop what it had.
    line("\n\n__ek_tell P " + number(seq_) + " '" + (next_[0].fd ? number(next_[0].fd.get()) : "") + "' '" +
         (next_[1].fd ? number(next_[1].fd.get()) : "") + "'\n");
}

void BashWorker::ask(Json question) {
    auto const code = text_of(question, "code");
    auto const kind = text_of(question, "t");
    question_ = std::move(question);
    busy_with_question();
    std::string const seq = number(++seq_);
    if (kind == "is_complete") {
        put_source(code);
        return line("__ek_check " + seq + " || :\n");
    }
    auto const cursor = question_.value("cursor", 0);
    auto const end = offset_of(code, cursor < 0 ? 0 : static_cast<std::size_t>(cursor));
    std::string_view const before = std::string_view(code).substr(0, end);
    static constexpr std::string_view kBreaks = " \t\n;|&()<>=`\"'{}$";
    auto const at = before.find_last_of(kBreaks);
    std::size_t const from = at == std::string_view::npos ? 0 : at + 1;
    std::size_t to = end;
    if (kind == "inspect")
        while (to < code.size() && kBreaks.find(code[to]) == std::string_view::npos) ++to;
    auto const word = std::string_view(code).substr(from, to - from);
    question_["start"] = points_of(before.substr(0, from));
    put_source(word);
    if (kind == "inspect") return line("__ek_inspect " + seq + " || :\n");
    auto lead = before.substr(0, from);
    while (!lead.empty() && (lead.back() == ' ' || lead.back() == '\t')) lead.remove_suffix(1);
    bool const first =
        lead.empty() || std::string_view("\n;|&(`").find(lead.back()) != std::string_view::npos;
    char const* const action = from > 0 && code[from - 1] == '$'                    ? "variable"
                               : word.find('/') != std::string_view::npos || !first ? "file"
                                                                                    : "command";
    line("__ek_complete " + seq + " '" + action + "' || :\n");
}

void BashWorker::answer_question(std::string_view text) {
    auto const kind = text_of(question_, "t");
    Json out = {{"status", "ok"}};
    if (kind == "complete") {
        out["matches"] = lines_of(text);
        out["cursor_start"] = question_["start"];
        out["cursor_end"] = question_["cursor"];
    } else if (kind == "inspect") {
        out["found"] = !text.empty();
        out["data"] = text.empty() ? Json::object() : Json{{"text/plain", text}};
    } else {
        auto const has = [&](std::string_view what) { return text.find(what) != std::string_view::npos; };
        auto const code = text_of(question_, "code");
        bool const open = has("unexpected end of file") || has("unexpected EOF") ||
                          has("delimited by end-of-file") || code.ends_with('\\');
        out["status"] = open ? "incomplete" : text.empty() ? "complete" : "invalid";
        if (open) out["indent"] = "";
    }
    answered(std::move(out));
}

void BashWorker::watch(std::vector<pollfd>& into) {
    for (int const fd : {status_.get(), ask_.get(), now_[0].fd.get(), now_[1].fd.get()})
        if (fd >= 0) into.push_back({fd, POLLIN, 0});
    for (auto const& each : old_) into.push_back({each.fd.get(), POLLIN, 0});
}

void BashWorker::ready(std::span<pollfd const> those) {
    auto const is = [&](UniqueFd const& fd) {
        return fd &&
               std::any_of(those.begin(), those.end(), [&](pollfd const& p) { return p.fd == fd.get(); });
    };
    // Status first: it says whose the pipes are.
    bool const from_ask = is(ask_), from_out = is(now_[0].fd), from_err = is(now_[1].fd);
    for (auto& each : old_)
        if (is(each.fd)) read_stream(each);
    if (is(status_)) read_status();
    if (from_out) read_stream(now_[0]);
    if (from_err) read_stream(now_[1]);
    std::erase_if(old_, [](Stream const& each) { return !each.fd; });
    if (from_ask) read_ask();
    check_end();
}

void BashWorker::read_stream(Stream& stream) {
    if (!stream.fd) return;
    bool const open = drain(stream.fd.get(), [&](std::string_view bytes) {
        std::string text;
        stream.decoder.push(bytes, text);
        say(stream, std::move(text));
    });
    if (open) return;
    std::string text;
    stream.decoder.finish(text);
    say(stream, std::move(text));
    stream.fd.reset();
}

void BashWorker::swap_pipes(std::string_view flags) {
    for (std::size_t i = 0; i < 2; ++i) {
        if (next_[i].fd && i < flags.size() && flags[i] == '1') {
            old_.push_back(std::move(now_[i]));
            now_[i] = std::move(next_[i]);
        }
        next_[i] = {};
        writers_[i].reset();
        now_[i].parent = cell_.parent;
        now_[i].silent = cell_.silent;
    }
}

void BashWorker::read_status() {
    bool const open = drain(status_.get(), [&](std::string_view bytes) {
        status_text_ += bytes;
        for (auto end = status_text_.find('\0'); end != std::string::npos; end = status_text_.find('\0')) {
            auto const text = status_text_.substr(0, end);
            status_text_.erase(0, end + 1);
            take_status(text);
        }
        if (status_text_.size() > kMaxStatus) status_text_.clear();
    });
    if (!open) status_.reset();
}

void BashWorker::take_status(std::string_view text) {
    if (text.empty()) return;
    char const kind = text.front();
    text.remove_prefix(1);
    if (kind == 'R') {
        version_ = std::string(text);
        if (std::atoi(version_.c_str()) < kOldestBash)
            refusal_ = "bash " + version_ + " is too old: 4.0 is the oldest that works";
        for (auto& each : now_) read_stream(each);  // its complaint that there is no terminal
        ready_ = true;
        return;
    }
    auto const space = std::min(text.find(' '), text.size());
    if (std::string(text.substr(0, space)) != number(seq_) || !busy_)
        return;  // of an interrupt that came late
    text.remove_prefix(std::min(space + 1, text.size()));
    bool const unsaid = next_[0].fd || next_[1].fd || now_[0].parent.is_null();
    switch (kind) {
        case 'B':
            swap_pipes(text);
            begun();
            break;
        case 'D': cell_done(std::atoi(std::string(text).c_str())); break;
        case 'P':
            if (unsaid) swap_pipes(text);
            cell_done(status_of_lost(text));
            break;
        case 'C': answer_question(text); break;
        default: break;
    }
}

void BashWorker::finish_cell() {
    for (auto& each : now_) {
        read_stream(each);
        std::string text;
        each.decoder.finish(text);
        say(each, std::move(text));
    }
}

// What bash says of a line that it dropped: {flags} {$?}. After SIGINT that is 130, or of an earlier command.
int BashWorker::status_of_lost(std::string_view text) const {
    auto const space = std::min(text.find(' '), text.size());
    int const said = std::atoi(std::string(text.substr(space)).c_str());
    return interrupts_ == 0 && said > 0 && said < 128 ? said : 128 + SIGINT;
}

void BashWorker::cell_done(int status) {
    finish_cell();
    last_status_ = status;
    if (status == 0) return answered({{"status", "ok"}});
    bool const interrupted = interrupts_ > 0 && status == 128 + SIGINT;
    answered({{"status", "error"},
              {"ename", interrupted ? "KeyboardInterrupt" : "ExitStatus"},
              {"evalue", interrupted ? "interrupted" : number(status)},
              {"traceback", Json::array()}});
}

// {password flag}{prompt} NUL
void BashWorker::read_ask() {
    drain(ask_.get(), [&](std::string_view bytes) { ask_text_ += bytes; });
    for (auto end = ask_text_.find('\0'); end != std::string::npos; end = ask_text_.find('\0')) {
        auto const text = ask_text_.substr(0, end);
        ask_text_.erase(0, end + 1);
        if (text.empty() || !busy_) continue;
        finish_cell();
        listener_->on_input(to_utf8(std::string_view(text).substr(1)), text.front() == '1');
    }
    if (ask_text_.size() > kMaxStatus) ask_text_.clear();
}

void BashWorker::check_end() {
    // The status pipe's end is the shell's, or an `exec`: then the program in its place has its time.
    if (status_ || (ended_ && !busy_)) return;
    if (!ended_ && !reap()) return;
    finish_cell();
    busy_ = false;
}

}  // namespace

std::unique_ptr<Worker> make_bash(Listener& listener, std::string program) {
    return std::make_unique<BashWorker>(listener, std::move(program));
}

}  // namespace execd::kernels::native
