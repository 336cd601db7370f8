// A worker: the interpreter's process and the private pipes to it.
//
// Thread: the kernel process's only one.
#pragma once
#include <sys/types.h>

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/unique_fd.hpp"
#include "base/utf8.hpp"
#include "kernels/native/native.hpp"
#include "kernels/native/server.hpp"

namespace execd::kernels::native {

struct Cell {
    std::string code;
    Json user_expressions = Json::object();
    bool silent = false;
    bool store_history = true;
    bool allow_stdin = true;
    int count = 0;
    /// Header of the request: what the cell and its jobs print belongs to it.
    Json parent = Json::object();
};

/// What a worker says besides its answers.
class Listener {
  public:
    virtual ~Listener() = default;
    virtual void on_stream(bool is_stderr, std::string text, Json const& parent) = 0;
    /// {"t": "display" | "update" | "result" | "clear", ...}
    virtual void on_event(Json event) = 0;
    virtual void on_input(std::string prompt, bool password) = 0;
};

/// How an interpreter ended: as words, and as a shell would number it.
struct Ending {
    std::string words;
    int status = 0;
};

class Worker : public Watched {
  public:
    explicit Worker(Listener& listener) : listener_(&listener) {}
    ~Worker() override;

    /// Starts the process; it says by itself that it is ready. Throws std::runtime_error.
    virtual void start() = 0;
    [[nodiscard]] bool ready() const { return ready_; }
    /// Why there is no worker: missing, too old. Empty while there is one.
    [[nodiscard]] std::string const& refusal() const { return refusal_; }
    /// Of the interpreter; empty until ready().
    [[nodiscard]] std::string const& version() const { return version_; }

    /// The answer to these is there when busy() is false.
    virtual void execute(Cell const& cell) = 0;
    /// {"t": "complete" | "inspect" | "is_complete", "code": ..., "cursor": ...}
    virtual void ask(Json question) = 0;
    [[nodiscard]] bool busy() const { return busy_; }
    [[nodiscard]] Json take_answer() { return std::exchange(answer_, Json::object()); }
    /// Set when the process ended while it was busy.
    [[nodiscard]] std::optional<Ending> const& ended() const { return ended_; }

    /// An interrupt that comes before the worker has begun with the cell waits for that. Questions have none.
    void interrupt();
    virtual void give_input(std::string const& text) = 0;
    void kill_all();

  protected:
    struct Child {
        std::string program;
        std::vector<std::string> argv;
        std::vector<std::pair<std::string, std::string>> env;  // over our own
        std::vector<std::pair<int, int>> fds;                  // ours -> its
    };
    void spawn(Child const& child);
    /// SIGINT for what runs.
    virtual void press();
    void busy_with_cell() {
        busy_ = is_cell_ = true;
        begun_ = false;
        interrupts_ = 0;
    }
    void busy_with_question() {
        busy_ = true;
        is_cell_ = false;
        interrupts_ = 0;
    }
    void begun();
    /// Collects the process when it has ended; true when there is none any more.
    bool reap();
    /// Reads until the pipe is empty; false at its end.
    template <class Take>
    static bool drain(int fd, Take take);
    void answered(Json answer) {
        answer_ = std::move(answer);
        busy_ = false;
    }

    Listener* listener_;
    pid_t pid_ = -1;
    bool ready_ = false;
    bool busy_ = false;
    bool is_cell_ = false;
    bool begun_ = false;  // the worker has said so
    int interrupts_ = 0;  // of this cell
    std::string refusal_;
    std::string version_;
    std::optional<Ending> ended_;
    Json answer_ = Json::object();
};

struct Pipe {
    UniqueFd read, write;
};
/// Both ends O_CLOEXEC; ours (`read` or `write`) non-blocking. Throws.
[[nodiscard]] Pipe make_pipe(bool we_read);
/// Writes all, waiting while the pipe is full; false when nobody reads.
bool write_all(int fd, std::string_view bytes);
/// An anonymous file. Throws.
[[nodiscard]] UniqueFd scratch_file();

/// Of a language, not started. `program` is its interpreter.
[[nodiscard]] std::unique_ptr<Worker> make_worker(Language const& language, Listener& listener,
                                                  std::string program);
[[nodiscard]] std::unique_ptr<Worker> make_bash(Listener& listener, std::string program);
/// `python`: python3, otherwise Node. `typescript`: cells are TypeScript.
[[nodiscard]] std::unique_ptr<Worker> make_framed(Listener& listener, std::string program, bool python,
                                                  bool typescript);

constexpr std::size_t kChunk = 65536;

template <class Take>
bool Worker::drain(int fd, Take take) {
    std::string buffer(kChunk, '\0');
    // A bounded number of rounds: a writer that never stops must not keep us from everything else.
    for (int rounds = 0; rounds < 64; ++rounds) {
        ssize_t const n = ::read(fd, buffer.data(), buffer.size());
        if (n > 0)
            take(std::string_view(buffer.data(), static_cast<std::size_t>(n)));
        else if (n == 0)
            return false;
        else if (errno != EINTR)
            return errno == EAGAIN;
    }
    return true;
}

}  // namespace execd::kernels::native
