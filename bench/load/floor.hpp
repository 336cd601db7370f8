// What the machine itself does without a daemon: spawns, pipes, terminals, files. Deadlines are the caller's
// (it ends the program); everything throws as in net.hpp.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "load/net.hpp"

namespace execd::bench {

/// posix_spawn with standard output on a pipe; the caller waits for the pid.
struct Child {
    pid_t pid = -1;
    Fd out;
    /// The status as waitpid gives it.
    int wait();
};
Child spawn(std::vector<std::string> const& argv, bool with_output = true);

/// bash on a pseudo terminal that the caller holds.
struct Terminal {
    pid_t pid = -1;
    Fd master;
    explicit Terminal(std::string const& script);
    ~Terminal();
};

/// Writes `bytes` of equal lines to standard output in large pieces.
void blast(std::size_t bytes, std::size_t line);
/// Writes `count` lines to standard output, each the moment at which it was written.
void emit(int count, int every_ms);

/// Seconds for each of: a file through sendfile and one loopback connection; write(2) of so many bytes.
double raw_get(std::string const& path, std::size_t bytes);
double raw_put(std::string const& path, std::size_t bytes);
/// Entries of a directory, each looked at; files below `root` that match, one walk.
std::size_t raw_list(std::string const& path);
std::size_t raw_search(std::string const& root, std::string const& pattern);

/// What proxies and relays are pointed at: `GET /hello` 1 KiB, `/ws/echo`, `/ws/source?bytes=`, `POST
/// /command` (events rendered beforehand), and a TCP port that echoes. Prints both ports and serves until it
/// is ended.
[[noreturn]] void serve();

/// A thread a connection, for ever; `work` does not own its descriptor.
[[noreturn]] void accept_all(int listener, void (*work)(int));
/// What comes back is what was sent; `S<bytes>\n` first asks for so many bytes.
void tcp_echo(int fd);

// Stand-ins for programs (stand_ins.cpp). All of them run until they are ended.

/// Listens on `port` and answers every request with 200: what a server of this language needs at least.
[[noreturn]] void idle(int port);
/// For Xvfb: takes a display number that nobody has, prints it, and tells every client that it is welcome.
[[noreturn]] void display();
/// For x11vnc: prints its port; the first client is shown an RFB server without a password, the others are
/// echoed.
[[noreturn]] void vnc();

}  // namespace execd::bench
