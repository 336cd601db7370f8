#include "load/net.hpp"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <stdexcept>

namespace execd::bench {

std::int64_t now_ns() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1'000'000'000LL + now.tv_nsec;
}

void fail(std::string const& what) { throw std::runtime_error(what); }

Fd::~Fd() {
    if (fd_ >= 0) close(fd_);
}

namespace {

sockaddr_in local(int port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

void tune(int fd) {
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    timeval deadline{60, 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &deadline, sizeof deadline);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &deadline, sizeof deadline);
}

}  // namespace

Fd dial(int port) {
    Fd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    auto const address = local(port);
    if (connect(fd.get(), reinterpret_cast<sockaddr const*>(&address), sizeof address) != 0)
        fail("connect to port " + std::to_string(port) + ": " + std::strerror(errno));
    tune(fd.get());
    return fd;
}

std::pair<Fd, int> listen_anywhere() {
    Fd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    auto address = local(0);
    socklen_t size = sizeof address;
    if (bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
        listen(fd.get(), 128) != 0 ||
        getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0)
        fail(std::string("listen: ") + std::strerror(errno));
    return {std::move(fd), ntohs(address.sin_port)};
}

void send_all(int fd, std::string_view data) {
    while (!data.empty()) {
        auto const sent = ::send(fd, data.data(), data.size(), MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent <= 0) fail(std::string("send: ") + std::strerror(errno));
        data.remove_prefix(static_cast<std::size_t>(sent));
    }
}

Http::Http(int port, std::string headers)
    : fd_(dial(port)), headers_(std::move(headers)), block_(512 << 10) {}

void Http::begin(std::string_view method, std::string_view target, std::int64_t length,
                 std::string_view type) {
    std::string head;
    head.append(method)
        .append(" ")
        .append(target)
        .append(" HTTP/1.1\r\nHost: 127.0.0.1\r\n")
        .append(headers_);
    if (!type.empty()) head.append("Content-Type: ").append(type).append("\r\n");
    if (length >= 0) head.append("Content-Length: ").append(std::to_string(length)).append("\r\n");
    write(head.append("\r\n"));
}

bool Http::fill() {
    begin_ = end_ = 0;
    auto const got = recv(fd_.get(), block_.data(), block_.size(), 0);
    if (got < 0) fail(std::string("recv: ") + std::strerror(errno));
    end_ = static_cast<std::size_t>(got);
    return got > 0;
}

std::string_view Http::line() {
    line_.clear();
    while (true) {
        auto const* from = block_.data() + begin_;
        if (auto const* found = static_cast<char const*>(std::memchr(from, '\n', end_ - begin_))) {
            line_.append(from, found);
            begin_ += static_cast<std::size_t>(found - from) + 1;
            if (!line_.empty() && line_.back() == '\r') line_.pop_back();
            return line_;
        }
        line_.append(from, end_ - begin_);
        if (!fill()) fail("the connection ended in a line");
    }
}

void Http::pass(std::size_t count, Sink const& sink) {
    while (count > 0) {
        if (begin_ == end_ && !fill()) fail("the connection ended in a body");
        auto const piece = std::min(count, end_ - begin_);
        sink({block_.data() + begin_, piece});
        begin_ += piece;
        count -= piece;
    }
}

int Http::answer(Sink const& sink) {
    auto const status = std::atoi(std::string(line().substr(std::strlen("HTTP/1.1 "))).c_str());
    std::int64_t length = status == 101 || status == 204 ? 0 : -1;
    bool chunked = false;
    while (true) {
        std::string const field(line());
        if (field.empty()) break;
        if (strncasecmp(field.c_str(), "content-length:", 15) == 0) length = std::atoll(field.c_str() + 15);
        if (strncasecmp(field.c_str(), "transfer-encoding:", 18) == 0) chunked = true;
    }
    if (chunked) {
        while (auto const size = std::strtoull(std::string(line()).c_str(), nullptr, 16)) {
            pass(size, sink);
            line();
        }
        line();
    } else if (length >= 0) {
        pass(static_cast<std::size_t>(length), sink);
    } else {
        do {
            if (begin_ < end_) sink({block_.data() + begin_, end_ - begin_});
        } while (fill());
    }
    return status;
}

std::string Http::ask(std::string_view method, std::string_view target, std::string_view body,
                      std::string_view type) {
    begin(method, target, body.empty() ? (method == "GET" ? -1 : 0) : static_cast<std::int64_t>(body.size()),
          body.empty() ? "" : type);
    if (!body.empty()) write(body);
    std::string out;
    auto const status = answer([&](std::string_view piece) { out.append(piece); });
    if (status / 100 != 2)
        fail(std::string(method) + " " + std::string(target) + ": " + std::to_string(status) + " " +
             out.substr(0, 200));
    return out;
}

std::string Http::take_rest() { return {block_.data() + begin_, end_ - begin_}; }

WebSocket::WebSocket(int port, std::string_view target, std::string const& headers) {
    Http http(port, headers +
                        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n");
    http.begin("GET", target, -1);
    if (auto const status = http.answer([](std::string_view) {}); status != 101)
        fail("WebSocket " + std::string(target) + ": " + std::to_string(status));
    block_ = http.take_rest();
    fd_ = http.take();
}

void WebSocket::send(char opcode, std::string_view data) {
    std::string frame(1, static_cast<char>(0x80 | opcode));
    if (data.size() < 126) {
        frame += static_cast<char>(0x80 | data.size());
    } else if (data.size() < 65536) {
        frame += static_cast<char>(0x80 | 126);
        for (int shift = 8; shift >= 0; shift -= 8) frame += static_cast<char>(data.size() >> shift);
    } else {
        frame += static_cast<char>(0x80 | 127);
        for (int shift = 56; shift >= 0; shift -= 8) frame += static_cast<char>(data.size() >> shift);
    }
    send_all(fd_.get(), frame.append(4, '\0').append(data));
}

void WebSocket::need(std::size_t count) {
    if (at_ > 0 && block_.size() - at_ < count) {
        block_.erase(0, at_);
        at_ = 0;
    }
    while (block_.size() - at_ < count) {
        auto const old = block_.size();
        block_.resize(old + std::max<std::size_t>(count - (old - at_), 64 << 10));
        auto const got = recv(fd_.get(), block_.data() + old, block_.size() - old, 0);
        block_.resize(old + static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
        if (got <= 0) fail(got == 0 ? "the WebSocket ended" : std::string("recv: ") + std::strerror(errno));
    }
}

std::pair<int, std::string_view> WebSocket::receive() {
    while (true) {
        need(2);
        auto const opcode = block_[at_] & 0x0f;
        std::size_t length = block_[at_ + 1] & 0x7f, head = 2;
        if (length >= 126) {
            auto const more = length == 126 ? 2U : 8U;
            need(2 + more);
            length = 0;
            for (std::size_t i = 0; i < more; ++i)
                length = length << 8 | static_cast<unsigned char>(block_[at_ + 2 + i]);
            head += more;
        }
        need(head + length);
        std::string_view const data(block_.data() + at_ + head, length);
        at_ += head + length;
        if (opcode == 9) {
            send(10, std::string(data));
        } else if (opcode != 10) {
            return {opcode, data};
        }
    }
}

void Report::add(std::string const& name, double value) {
    for (auto& [known, values] : rows_)
        if (known == name) return values.push_back(value);
    rows_.push_back({name, {value}});
}

Report::~Report() {
    std::printf("{");
    for (std::size_t i = 0; i < rows_.size(); ++i) {
        std::printf("%s\"%s\":[", i ? "," : "", rows_[i].first.c_str());
        for (std::size_t j = 0; j < rows_[i].second.size(); ++j)
            std::printf("%s%.6g", j ? "," : "", rows_[i].second[j]);
        std::printf("]");
    }
    std::printf("}\n");
}

}  // namespace execd::bench
