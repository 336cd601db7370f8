#include "load/floor.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <signal.h>
#include <spawn.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

extern char** environ;

namespace execd::bench {

int Child::wait() {
    int status = 0;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR) fail("waitpid");
    return status;
}

Child spawn(std::vector<std::string> const& argv, bool with_output) {
    std::vector<char*> words;
    for (auto const& word : argv) words.push_back(const_cast<char*>(word.c_str()));
    words.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    int ends[2] = {-1, -1};
    if (with_output) {
        if (pipe2(ends, O_CLOEXEC) != 0) fail("pipe");
        posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
    }
    Child child;
    auto const error = posix_spawn(&child.pid, words[0], &actions, nullptr, words.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    child.out = Fd(ends[0]);
    Fd const ours(ends[1]);
    if (error != 0) fail("posix_spawn " + argv[0] + ": " + std::strerror(error));
    return child;
}

Terminal::Terminal(std::string const& script) : master(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)) {
    if (master.get() < 0 || grantpt(master.get()) != 0 || unlockpt(master.get()) != 0) fail("posix_openpt");
    std::string const name = ptsname(master.get());
    pid = fork();
    if (pid == 0) {
        setsid();
        auto const slave = open(name.c_str(), O_RDWR);
        for (int fd = 0; fd < 3; ++fd) dup2(slave, fd);
        execl("/bin/bash", "bash", "--norc", "--noprofile", "-c", script.c_str(), nullptr);
        _exit(127);
    }
}

Terminal::~Terminal() {
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
}

void blast(std::size_t bytes, std::size_t line) {
    std::string block;
    while (block.size() < (64 << 10)) block.append(line - 1, 'A').append("\n");
    while (bytes > 0) {
        auto const wrote = write(1, block.data(), std::min(bytes, block.size()));
        if (wrote <= 0) return;
        // A short write would shift the lines of the next one: the rest of the block first.
        bytes -= static_cast<std::size_t>(wrote);
        for (auto at = static_cast<std::size_t>(wrote); at < block.size() && bytes > 0;) {
            auto const more = write(1, block.data() + at, std::min(bytes, block.size() - at));
            if (more <= 0) return;
            at += static_cast<std::size_t>(more);
            bytes -= static_cast<std::size_t>(more);
        }
    }
}

void emit(int count, int every_ms) {
    for (int i = 0; i < count; ++i) {
        usleep(static_cast<useconds_t>(every_ms) * 1000);
        auto const text = std::to_string(now_ns()) + "\n";
        if (write(1, text.data(), text.size()) < 0) return;
    }
}

double raw_get(std::string const& path, std::size_t bytes) {
    auto [listener, port] = listen_anywhere();
    std::thread sender([fd = listener.get(), &path] {
        Fd const peer(accept4(fd, nullptr, nullptr, SOCK_CLOEXEC));
        Fd const file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
        while (sendfile(peer.get(), file.get(), nullptr, 1 << 30) > 0) {
        }
    });
    auto const begun = now_ns();
    std::size_t got = 0;
    {
        auto const fd = dial(port);
        std::vector<char> block(512 << 10);
        ssize_t piece = 0;
        while ((piece = recv(fd.get(), block.data(), block.size(), 0)) > 0)
            got += static_cast<std::size_t>(piece);
    }
    auto const took = static_cast<double>(now_ns() - begun) / 1e9;
    sender.join();
    if (got != bytes) fail("sendfile: " + std::to_string(got) + " bytes");
    return took;
}

double raw_put(std::string const& path, std::size_t bytes) {
    std::vector<char> const block(256 << 10, 'x');
    auto const begun = now_ns();
    Fd const file(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    for (std::size_t left = bytes; left > 0;) {
        auto const wrote = write(file.get(), block.data(), std::min(left, block.size()));
        if (wrote <= 0) fail(std::string("write: ") + std::strerror(errno));
        left -= static_cast<std::size_t>(wrote);
    }
    return static_cast<double>(now_ns() - begun) / 1e9;
}

std::size_t raw_list(std::string const& path) {
    DIR* const folder = opendir(path.c_str());
    if (!folder) fail("opendir " + path);
    std::size_t count = 0;
    struct stat facts {};
    while (auto const* entry = readdir(folder)) {
        if (entry->d_name[0] == '.') continue;
        if (fstatat(dirfd(folder), entry->d_name, &facts, AT_SYMLINK_NOFOLLOW) == 0) ++count;
    }
    closedir(folder);
    return count;
}

std::size_t raw_search(std::string const& root, std::string const& pattern) {
    DIR* const folder = opendir(root.c_str());
    if (!folder) fail("opendir " + root);
    std::size_t count = 0;
    while (auto const* entry = readdir(folder)) {
        if (entry->d_name[0] == '.') continue;
        auto const path = root + "/" + entry->d_name;
        if (entry->d_type == DT_DIR) {
            count += raw_search(path, pattern);
        } else if (fnmatch(pattern.c_str(), entry->d_name, 0) == 0) {
            struct stat facts {};
            if (lstat(path.c_str(), &facts) == 0) ++count;
        }
    }
    closedir(folder);
    return count;
}

namespace {

void send_frame(int fd, char opcode, std::string_view data) {
    std::string frame(1, static_cast<char>(0x80 | opcode));
    if (data.size() < 126) {
        frame += static_cast<char>(data.size());
    } else if (data.size() < 65536) {
        frame += 126;
        for (int shift = 8; shift >= 0; shift -= 8) frame += static_cast<char>(data.size() >> shift);
    } else {
        frame += 127;
        for (int shift = 56; shift >= 0; shift -= 8) frame += static_cast<char>(data.size() >> shift);
    }
    send_all(fd, frame.append(data));
}

/// Only what our own client sends: whole small frames, masked with zeros.
void echo_frames(int fd) {
    std::string block(64 << 10, '\0');
    while (true) {
        auto const got = recv(fd, block.data(), block.size(), 0);
        if (got < 6) return;
        auto const length = static_cast<std::size_t>(block[1] & 0x7f);
        if ((block[0] & 0x0f) == 8 || length > 125) return;
        send_frame(fd, static_cast<char>(block[0] & 0x0f), std::string_view(block).substr(6, length));
    }
}

void events(int fd, std::string_view request) {
    // The body is `... blast BYTES LINE ...`.
    auto const at = request.rfind("blast ");
    if (at == request.npos) return;
    char* end = nullptr;
    auto const bytes = std::strtoull(request.data() + at + 6, &end, 10);
    auto const line = std::strtoull(end, nullptr, 10);
    auto const event =
        R"({"type":"stdout","text":")" + std::string(line - 1, 'A') + "\",\"timestamp\":1765000000000}\n\n";
    std::string block;
    std::size_t many = 0;
    while (block.size() < (256 << 10)) {
        block += event;
        ++many;
    }
    auto const chunk = [&](std::string_view data) {
        char size[32];
        auto const digits = std::snprintf(size, sizeof size, "%zx\r\n", data.size());
        send_all(fd, {size, static_cast<std::size_t>(digits)});
        send_all(fd, data);
        send_all(fd, "\r\n");
    };
    send_all(fd, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (auto left = bytes / line; left > 0;) {
        auto const now = std::min<std::size_t>(left, many);
        chunk(std::string_view(block).substr(0, now * event.size()));
        left -= now;
    }
    chunk("{\"type\":\"execution_complete\",\"execution_time\":1,\"timestamp\":1765000000000}\n\n");
    send_all(fd, "0\r\n\r\n");
}

void talk(int fd) {
    static std::string const hello =
        "HTTP/1.1 200 OK\r\nContent-Length: 1024\r\n\r\n" + std::string(1024, 'h');
    std::string block(16 << 10, '\0');
    while (true) {
        auto got = recv(fd, block.data(), block.size(), 0);
        // A command's body may come behind its head.
        while (got > 4 && block[0] == 'P' && block[static_cast<std::size_t>(got) - 1] != '}') {
            auto const more = recv(fd, block.data() + got, block.size() - static_cast<std::size_t>(got), 0);
            if (more <= 0) return;
            got += more;
        }
        if (got <= 0) return;
        std::string_view const request(block.data(), static_cast<std::size_t>(got));
        if (request.find(" /ws/") != request.npos) {
            send_all(fd,
                     "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n");
            if (auto const at = request.find("bytes="); at != request.npos) {
                std::string const message(256 << 10, 'x');
                for (auto left = std::atoll(request.data() + at + 6); left > 0; left -= 256 << 10)
                    send_frame(fd, 2, message);
            }
            return echo_frames(fd);
        }
        if (request.substr(0, 4) == "POST") {
            events(fd, request);
        } else {
            send_all(fd, hello);
        }
    }
}

}  // namespace

void tcp_echo(int fd) {
    std::string block(256 << 10, '\0');
    ssize_t got = recv(fd, block.data(), block.size(), 0);
    // `S<bytes>\n` asks for so many bytes; everything else comes back.
    if (got > 1 && block[0] == 'S') {
        for (auto left = std::atoll(block.data() + 1); left > 0; left -= static_cast<long long>(block.size()))
            send_all(fd, std::string_view(block).substr(0, static_cast<std::size_t>(std::min<long long>(
                                                               left, static_cast<long long>(block.size())))));
        got = recv(fd, block.data(), block.size(), 0);
    }
    for (; got > 0; got = recv(fd, block.data(), block.size(), 0))
        send_all(fd, std::string_view(block).substr(0, static_cast<std::size_t>(got)));
}

void accept_all(int listener, void (*work)(int)) {
    while (true) {
        auto const peer = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
        if (peer < 0) continue;
        std::thread([peer, work] {
            Fd const own(peer);
            int on = 1;
            setsockopt(peer, 6, 1, &on, sizeof on);  // TCP_NODELAY
            try {
                work(peer);
            } catch (std::exception const&) {  // its client went away
            }
        }).detach();
    }
}

void serve() {
    auto [http, http_port] = listen_anywhere();
    auto [tcp, tcp_port] = listen_anywhere();
    std::printf("{\"http\":%d,\"tcp\":%d}\n", http_port, tcp_port);
    std::fflush(stdout);
    std::thread echo([fd = tcp.get()] { accept_all(fd, tcp_echo); });
    accept_all(http.get(), talk);
    std::abort();
}

}  // namespace execd::bench
