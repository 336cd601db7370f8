// The load client's own little network: blocking sockets, HTTP/1.1, WebSocket, nothing of execd's code.
//
// One thread uses one object. Everything fails by throwing std::runtime_error with the reason; the program
// then prints it as the "error" of its measurement. Sockets have a 60 s deadline for each read and write.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace execd::bench {

/// Monotonic nanoseconds, comparable between processes.
std::int64_t now_ns();

/// Milliseconds since `begun_ns`.
inline double ms_since(std::int64_t begun_ns) { return static_cast<double>(now_ns() - begun_ns) / 1e6; }

[[noreturn]] void fail(std::string const& what);

class Fd {
  public:
    explicit Fd(int fd = -1) : fd_(fd) {}
    Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    Fd& operator=(Fd&& other) noexcept {
        std::swap(fd_, other.fd_);
        return *this;
    }
    Fd(Fd const&) = delete;
    Fd& operator=(Fd const&) = delete;
    ~Fd();
    int get() const { return fd_; }

  private:
    int fd_;
};

/// A connection to 127.0.0.1 without Nagle.
Fd dial(int port);
/// A listener on a free port of 127.0.0.1, and that port.
std::pair<Fd, int> listen_anywhere();
void send_all(int fd, std::string_view data);

using Sink = std::function<void(std::string_view)>;

/// A kept connection. `headers` are whole lines with CRLF that every request carries.
class Http {
  public:
    explicit Http(int port, std::string headers = "");

    /// Sends a head and returns; the body, if any, is sent with `write`.
    void begin(std::string_view method, std::string_view target, std::int64_t length,
               std::string_view type = "");
    void write(std::string_view data) { send_all(fd_.get(), data); }
    /// Reads the answer; every piece of its body goes to `sink`. Returns the status.
    int answer(Sink const& sink);
    /// One request with everything in memory; fails unless the status is 2xx. Returns the body.
    std::string ask(std::string_view method, std::string_view target, std::string_view body = "",
                    std::string_view type = "application/json");
    /// What an upgraded connection is taken over with.
    Fd take() { return std::move(fd_); }
    std::string take_rest();

  private:
    friend class WebSocket;
    bool fill();
    std::string_view line();
    void pass(std::size_t count, Sink const& sink);

    Fd fd_;
    std::string headers_;
    std::vector<char> block_;
    std::size_t begin_ = 0, end_ = 0;
    std::string line_;
};

/// A client's WebSocket; messages are masked with zeros, as a mask may be.
class WebSocket {
  public:
    WebSocket(int port, std::string_view target, std::string const& headers = "");
    void send(char opcode, std::string_view data);
    /// The next data message (pings are answered); its opcode, its bytes until the next call. Opcode 8 is the
    /// end.
    std::pair<int, std::string_view> receive();

  private:
    void need(std::size_t count);

    Fd fd_;
    std::string block_;
    std::size_t at_ = 0;
};

/// `{"name":[1,2,3],...}` on standard output.
class Report {
  public:
    void add(std::string const& name, double value);
    ~Report();

  private:
    std::vector<std::pair<std::string, std::vector<double>>> rows_;
};

}  // namespace execd::bench
