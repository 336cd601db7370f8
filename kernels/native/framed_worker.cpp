// Workers that speak frames (python.py, node.js). A frame is one letter, the length of what follows (4 bytes,
// little endian), and that: 'o' and 'e' are text of stdout and stderr, 'j' is JSON, 'J' the first, 'c'
// another and 'l' the last piece of a long one (each goes out whole or not at all, whatever breaks its sender
// off), 'd' says that what lies in the pipes of fd 1 and 2 comes before what follows.
//
// In the worker fd 1 and 2 are pipes (what child processes and libraries write), 3 brings requests, 4 takes
// events.
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <stdexcept>

#include "kernels/native/sources.hpp"
#include "kernels/native/worker.hpp"

namespace execd::kernels::native {

namespace {

constexpr std::size_t kHead = 5;
constexpr std::size_t kMaxFrame = std::size_t{1} << 30;
constexpr int kSource = 5;
constexpr int kForce = 6;

std::uint32_t length_of(std::string_view head) {
    std::uint32_t out = 0;
    for (int i = 3; i >= 0; --i)
        out = out << 8 | static_cast<unsigned char>(head[static_cast<std::size_t>(i) + 1]);
    return out;
}

std::string frame(char kind, std::string_view body) {
    std::string out(1, kind);
    for (std::size_t i = 0; i < 4; ++i) out += static_cast<char>(body.size() >> (8 * i) & 255);
    out += body;
    return out;
}

class FramedWorker final : public Worker {
  public:
    FramedWorker(Listener& listener, std::string program, bool python, bool typescript)
        : Worker(listener), program_(std::move(program)), python_(python), typescript_(typescript) {}

    void start() override;
    void execute(Cell const& cell) override;
    void ask(Json question) override;
    void press() override;
    void give_input(std::string const& text) override { request({{"t", "input"}, {"value", text}}); }
    void watch(std::vector<pollfd>& into) override;
    void ready(std::span<pollfd const> those) override;

  private:
    struct Output {
        UniqueFd fd;
        Utf8Decoder decoder;
    };
    void request(Json const& json);
    void read_output(bool is_stderr);
    void read_events();
    void take(char kind, std::string_view body);
    void take_text(std::string_view body);
    void take_json(Json event);
    void unreadable(std::string_view body);
    void add_text(bool is_stderr, std::string_view bytes);
    void flush_text();
    void say(bool is_stderr, std::string text) {
        if (!silent_) listener_->on_stream(is_stderr, std::move(text), parent_);
    }
    void finish_cell();
    void check_end();

    std::string program_;
    bool python_;
    bool typescript_;
    Output out_, err_;
    UniqueFd requests_, events_, force_;
    std::string pending_;  // bytes of an unfinished frame
    std::string json_;     // pieces of an unfinished event
    std::string text_;     // bytes of adjacent stream frames
    bool text_is_err_ = false;
    std::array<Utf8Decoder, 2> framed_;  // of stream frames: a character may be cut between two
    bool silent_ = false;
    int seq_ = 0;
    Json parent_ = Json::object();
};

void FramedWorker::start() {
    auto out = make_pipe(true), err = make_pipe(true), events = make_pipe(true);
    auto requests = make_pipe(false), force = make_pipe(false);
    // A file and not a pipe: an account that has many pipes gets small ones, and nobody would feed it.
    auto const source = scratch_file();
    if (!write_all(source.get(), python_ ? python_source() : node_source()))
        throw std::runtime_error("no room for the worker's source");
    ::lseek(source.get(), 0, SEEK_SET);
    UniqueFd const null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    Child child;
    child.program = program_;
    if (python_) {
        child.argv = {program_, "-c",
                      // Any Python can read this much; the rest needs 3.8.
                      "import os,sys\nv=sys.version.split()[0]\nr=''\n"
                      "if sys.version_info<(3,8):r='Python '+v+' is too old: 3.8 is the oldest that works'\n"
                      "b=('{\"t\":\"hello\",\"version\":\"'+v+'\",\"refusal\":\"'+r+'\"}').encode('ascii')\n"
                      "os.write(4,b'j'+bytes(bytearray([len(b),0,0,0]))+b)\nif r:sys.exit(3)\nb=b''\n"
                      "while 1:\n c=os.read(5,65536)\n if not c:break\n b+=c\nos.close(5)\n"
                      "exec(compile(b,'<execd>','exec'),{'__name__':'execd_worker'})"};
        child.env = {{"PYTHONUNBUFFERED", "1"}};
    } else {
        child.argv = {
            program_, "--no-warnings", "-e",
            // In a function: a var here would be a global that no cell may declare again.
            "(function(){var f=require('fs'),v=process.versions.node;if(parseInt(v,10)<18){var "
            "b='{\"t\":\"hello\",\"version\":"
            "\"'+v+'\",\"refusal\":\"Node '+v+' is too old: 18 is the oldest that works\"}';f.writeSync(4,"
            "Buffer.concat([Buffer.from([106,b.length,0,0,0]),Buffer.from(b)]));process.exit(3)}"
            "var s=f.readFileSync(5,'utf8');f.closeSync(5);(0,eval)(s)(require,function(m,o){return "
            "import(m,o)}," +
                std::string(typescript_ ? "true" : "false") + ")})()"};
    }
    child.fds = {{out.write.get(), 1},
                 {err.write.get(), 2},
                 {requests.read.get(), 3},
                 {events.write.get(), 4},
                 {source.get(), kSource}};
    if (!python_) child.fds.emplace_back(force.read.get(), kForce);
    if (null) child.fds.emplace_back(null.get(), 0);
    ended_.reset();
    refusal_.clear();
    ready_ = false;
    pending_.clear();
    json_.clear();
    text_.clear();
    framed_ = {};
    spawn(child);
    out_ = {std::move(out.read), {}};
    err_ = {std::move(err.read), {}};
    events_ = std::move(events.read);
    requests_ = std::move(requests.write);
    force_ = std::move(force.write);
}

void FramedWorker::request(Json const& json) { write_all(requests_.get(), frame('j', dump_json(json))); }

void FramedWorker::execute(Cell const& cell) {
    busy_with_cell();
    silent_ = cell.silent;
    parent_ = cell.parent;
    request({{"t", "execute"},
             {"code", cell.code},
             {"count", cell.count},
             {"seq", ++seq_},
             {"silent", cell.silent},
             {"store_history", cell.store_history},
             {"allow_stdin", cell.allow_stdin},
             {"user_expressions", cell.user_expressions}});
}

void FramedWorker::ask(Json question) {
    busy_with_question();
    request(question);
}

// Node does not look at signals while a continuation of an await computes; its second thread reads this byte.
void FramedWorker::press() {
    Worker::press();
    std::array<char, 4> word;
    for (std::size_t i = 0; i < word.size(); ++i) word[i] = static_cast<char>(seq_ >> (8 * i) & 255);
    if (!python_ && force_) (void)!::write(force_.get(), word.data(), word.size());
    if (!events_ && interrupts_ > 1) kill_all();
}

void FramedWorker::watch(std::vector<pollfd>& into) {
    for (int const fd : {events_.get(), out_.fd.get(), err_.fd.get()})
        if (fd >= 0) into.push_back({fd, POLLIN, 0});
}

void FramedWorker::ready(std::span<pollfd const> those) {
    // Events first: what the worker said before it started a child comes before what that child printed.
    for (auto const& each : those)
        if (each.fd == events_.get()) read_events();
    for (auto const& each : those) {
        if (each.fd == out_.fd.get()) read_output(false);
        if (each.fd == err_.fd.get()) read_output(true);
    }
    check_end();
}

void FramedWorker::read_output(bool is_stderr) {
    auto& from = is_stderr ? err_ : out_;
    if (!from.fd) return;
    bool const open = drain(from.fd.get(), [&](std::string_view bytes) {
        std::string text;
        from.decoder.push(bytes, text);
        if (!text.empty()) say(is_stderr, std::move(text));
    });
    if (!open) from.fd.reset();
}

void FramedWorker::add_text(bool is_stderr, std::string_view bytes) {
    while (!bytes.empty()) {
        auto const piece = bytes.substr(0, kChunk);
        if (text_is_err_ != is_stderr || text_.size() + piece.size() > kChunk) flush_text();
        text_is_err_ = is_stderr;
        text_ += piece;
        bytes.remove_prefix(piece.size());
    }
}

void FramedWorker::flush_text() {
    std::string text;
    framed_[text_is_err_ ? 1 : 0].push(std::exchange(text_, {}), text);
    if (!text.empty()) say(text_is_err_, std::move(text));
}

void FramedWorker::read_events() {
    bool const open = drain(events_.get(), [&](std::string_view bytes) {
        pending_ += bytes;
        std::string_view left = pending_;
        while (left.size() >= kHead) {
            std::size_t const size = length_of(left);
            if (size > kMaxFrame || std::string_view("oejJcld").find(left[0]) == std::string_view::npos) {
                kill_all();  // somebody else wrote into our pipe
                ended_ = Ending{"the cell wrote into the kernel's private descriptors", 1};
                left = {};
                break;
            }
            if (left.size() < kHead + size) break;
            take(left[0], left.substr(kHead, size));
            left.remove_prefix(kHead + size);
        }
        pending_.erase(0, pending_.size() - left.size());
    });
    flush_text();
    if (!open) events_.reset();
}

void FramedWorker::take(char kind, std::string_view body) {
    if (kind == 'o' || kind == 'e') return add_text(kind == 'e', body);
    flush_text();
    if (kind == 'd') {
        read_output(false);
        read_output(true);
        return;
    }
    if (kind == 'J') json_.clear();  // one whose sender was broken off has no last piece
    if (kind == 'J' || kind == 'c' || kind == 'l') {
        if (json_.size() + body.size() > kMaxFrame) return;
        json_ += body;
        if (kind != 'l') return;
        take_text(std::exchange(json_, {}));
    } else {
        take_text(body);
    }
}

void FramedWorker::take_text(std::string_view body) {
    auto json = parse_json(body);
    if (json && json->is_object()) return take_json(*std::move(json));
    unreadable(body);
}

// Nested too deeply, or a number that is none (1e999): the cell's own doing, and not passed over in silence.
void FramedWorker::unreadable(std::string_view body) {
    std::string const bytes = std::to_string(body.size()) + " bytes could not be read";
    finish_cell();
    if (body.starts_with(R"({"t": "done")") || body.starts_with(R"({"t":"done")"))
        return answered({{"status", "error"},
                         {"ename", "UnreadableOutput"},
                         {"evalue", "the answer of " + bytes},
                         {"traceback", Json::array()}});
    say(true, "[an output of " + bytes + "]\n");
}

void FramedWorker::take_json(Json event) {
    auto const type = text_of(event, "t");
    if (type == "hello") {
        version_ = text_of(event, "version");
        refusal_ = text_of(event, "refusal");
        ready_ = true;
    } else if (type == "begin") {
        begun();
    } else if (type == "done") {
        finish_cell();
        answered(std::move(event));
    } else if (type == "input") {
        auto const password = event.find("password");
        listener_->on_input(text_of(event, "prompt"),
                            password != event.end() && password->is_boolean() && password->get<bool>());
    } else {
        read_output(false);
        read_output(true);
        listener_->on_event(std::move(event));
    }
}

// What the cell's children wrote is in the pipes when the cell says that it is done.
void FramedWorker::finish_cell() {
    for (bool const is_stderr : {false, true}) {
        read_output(is_stderr);
        std::string text;
        (is_stderr ? err_ : out_).decoder.finish(text);
        framed_[is_stderr ? 1 : 0].finish(text);
        if (!text.empty()) say(is_stderr, std::move(text));
    }
}

void FramedWorker::check_end() {
    if (events_ || (ended_ && !busy_)) return;
    // The events' end is the process's, unless the cell has closed it or replaced the program: then SIGCHLD
    // tells.
    if (!ended_ && !reap()) return;
    if (!ended_) ended_ = Ending{"it ended", 1};
    finish_cell();
    busy_ = false;
}

}  // namespace

std::unique_ptr<Worker> make_framed(Listener& listener, std::string program, bool python, bool typescript) {
    return std::make_unique<FramedWorker>(listener, std::move(program), python, typescript);
}

}  // namespace execd::kernels::native
