// Programs that only stand in for others, so that a daemon's part alone is measured.
#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <string>

#include "load/floor.hpp"

namespace execd::bench {

void idle(int port) {
    Fd const listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_port = htons(static_cast<std::uint16_t>(port));
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(listener.get(), reinterpret_cast<sockaddr*>(&at), sizeof at) != 0 ||
        listen(listener.get(), 16) != 0)
        fail(std::string("listen: ") + std::strerror(errno));
    char block[4096];
    while (true) {
        Fd const peer(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
        if (peer.get() < 0 || recv(peer.get(), block, sizeof block, 0) <= 0) continue;
        static constexpr char kAnswer[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        (void)!::send(peer.get(), kAnswer, sizeof kAnswer - 1, MSG_NOSIGNAL);
    }
}

void display() {
    Fd const listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    int number = 1000 + getpid() % 50'000;
    for (;; ++number) {
        // Only the abstract name: nothing to be removed afterwards.
        sockaddr_un at{};
        at.sun_family = AF_UNIX;
        std::string const path = "/tmp/.X11-unix/X" + std::to_string(number);
        std::memcpy(at.sun_path + 1, path.data(), path.size());
        auto const size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + path.size());
        if (bind(listener.get(), reinterpret_cast<sockaddr*>(&at), size) == 0) break;
        if (errno != EADDRINUSE || number > 65'000) fail(std::string("bind: ") + std::strerror(errno));
    }
    if (listen(listener.get(), 16) != 0) fail(std::string("listen: ") + std::strerror(errno));
    std::printf("%d\n", number);
    std::fflush(stdout);
    accept_all(listener.get(), [](int fd) {
        // X Window System Protocol, "Connection Setup": Success, protocol 11.0.
        send_all(fd, std::string_view("\1\0\v\0\0\0\0\0", 8));
        char block[256];
        while (recv(fd, block, sizeof block, 0) > 0) {
        }
    });
}

static void greet(int fd) {
    send_all(fd, "RFB 003.008\n");
    char version[12];
    (void)recv(fd, version, sizeof version, MSG_WAITALL);
    send_all(fd, "\1\1");  // one security type: None
}

void vnc() {
    auto [listener, port] = listen_anywhere();
    std::printf("PORT=%d\n", port);
    std::fflush(stdout);
    {
        Fd const probe(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
        greet(probe.get());
    }
    // The daemon asks again and again whether a VNC server still answers, and waits for its first word.
    accept_all(listener.get(), [](int fd) {
        pollfd silent{fd, POLLIN, 0};
        if (poll(&silent, 1, 3000) == 0)
            greet(fd);
        else
            tcp_echo(fd);
    });
}

}  // namespace execd::bench
