// Files and requests.
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <thread>

#include "load/floor.hpp"
#include "load/measure.hpp"

namespace execd::bench {

namespace {

std::string escaped(std::string const& path) {
    std::string out;
    for (char const c : path) {
        char code[4];
        std::snprintf(code, sizeof code, "%%%02X", static_cast<unsigned char>(c));
        out.append(std::isalnum(static_cast<unsigned char>(c)) || std::strchr("/-._", c) ? std::string(1, c)
                                                                                         : code);
    }
    return out;
}

/// What goes before and behind a file's bytes.
struct Form {
    std::string head, tail;
};

Form form(std::string const& file) {
    return {
        "--loadboundary\r\nContent-Disposition: form-data; name=\"metadata\"; "
        "filename=\"m\"\r\nContent-Type: "
        "application/json\r\n\r\n{\"path\":\"" +
            file +
            "\",\"mode\":644}\r\n--loadboundary\r\nContent-Disposition: form-data; "
            "name=\"file\"; filename=\"f\"\r\nContent-Type: application/octet-stream\r\n\r\n",
        "\r\n--loadboundary--\r\n"};
}

void upload(Target const& target, Http& http, std::string const& file, std::string const& url,
            std::size_t bytes) {
    static std::vector<char> const block(512 << 10, 'x');
    auto const wrapped = target.kind == "execd" ? form(file) : Form{};
    auto const total = static_cast<std::int64_t>(wrapped.head.size() + bytes + wrapped.tail.size());
    if (target.kind == "execd") {
        http.begin("POST", "/files/upload", total, "multipart/form-data; boundary=loadboundary");
    } else {
        http.begin("PUT", url, total);
    }
    if (bytes <= block.size()) {
        http.write(wrapped.head + std::string(block.data(), bytes) + wrapped.tail);
    } else {
        http.write(wrapped.head);
        for (auto left = bytes; left > 0; left -= std::min(left, block.size()))
            http.write({block.data(), std::min(left, block.size())});
        http.write(wrapped.tail);
    }
    std::string said;
    auto const status = http.answer([&](std::string_view piece) { said.append(piece); });
    if (status / 100 != 2) fail("upload: " + std::to_string(status) + " " + said.substr(0, 200));
}

}  // namespace

void get(Target const& target, Words const& words, Report& report) {
    auto const bytes = std::stoull(words.at(1));
    double took = 0;
    if (target.kind == "raw") {
        took = raw_get(words.at(2), bytes);
    } else {
        auto const begun = now_ns();
        Http http(target.port, target.headers);
        http.begin("GET", words.at(0), -1);
        std::size_t got = 0;
        auto const status = http.answer([&](std::string_view piece) { got += piece.size(); });
        took = ms_since(begun) / 1000;
        if (status != 200 || got != bytes)
            fail(std::to_string(status) + ", " + std::to_string(got) + " bytes");
    }
    report.add("get_MBps", static_cast<double>(bytes) / 1e6 / took);
}

void put(Target const& target, Words const& words, Report& report) {
    auto const bytes = std::stoull(words.at(1));
    double took = 0;
    if (target.kind == "raw") {
        took = raw_put(words.at(0), bytes);
    } else {
        auto const begun = now_ns();
        Http http(target.port, target.headers);
        upload(target, http, words.at(0), words.size() > 2 ? words[2] : "", bytes);
        took = ms_since(begun) / 1000;
    }
    struct stat facts {};
    if (stat(words.at(0).c_str(), &facts) != 0 || static_cast<std::size_t>(facts.st_size) != bytes)
        fail("the file is not there");
    unlink(words.at(0).c_str());
    report.add("put_MBps", static_cast<double>(bytes) / 1e6 / took);
}

namespace {

/// A connection of the many, its answer so far.
struct Peer {
    Fd fd;
    std::string got;
    std::int64_t begun = 0;
};

/// True when a whole answer with `bytes` of body is there.
bool whole(std::string const& got, std::size_t bytes) {
    auto const end = got.find("\r\n\r\n");
    return end != got.npos && got.size() >= end + 4 + bytes;
}

void check(std::string const& got, std::size_t bytes) {
    if (got.compare(0, 12, "HTTP/1.1 200") != 0) fail("answer: " + got.substr(0, 100));
    if (got.size() != got.find("\r\n\r\n") + 4 + bytes) fail("a body of another length");
}

}  // namespace

void requests(Target const& target, Words const& words, Report& report) {
    auto const count = std::stoi(words.at(1));
    auto const seconds = std::stod(words.at(2));
    auto const bytes = std::stoull(words.at(3));
    std::string const request =
        "GET " + words.at(0) + " HTTP/1.1\r\nHost: 127.0.0.1\r\n" + target.headers + "\r\n";
    Fd const poll(epoll_create1(EPOLL_CLOEXEC));
    std::vector<Peer> peers;
    for (int i = 0; i < count; ++i) peers.push_back({dial(target.port), "", 0});
    for (auto& peer : peers) {
        epoll_event interest{EPOLLIN, {.ptr = &peer}};
        epoll_ctl(poll.get(), EPOLL_CTL_ADD, peer.fd.get(), &interest);
        peer.begun = now_ns();
        send_all(peer.fd.get(), request);
    }
    std::vector<double> taken;
    std::vector<char> block(64 << 10);
    epoll_event events[64];
    auto const begun = now_ns();
    while (ms_since(begun) < seconds * 1000) {
        auto const ready = epoll_wait(poll.get(), events, 64, 5000);
        if (ready <= 0) fail("no answer for 5 s");
        for (int i = 0; i < ready; ++i) {
            auto& peer = *static_cast<Peer*>(events[i].data.ptr);
            auto const got = recv(peer.fd.get(), block.data(), block.size(), 0);
            if (got <= 0) fail("a connection ended");
            peer.got.append(block.data(), static_cast<std::size_t>(got));
            if (!whole(peer.got, bytes)) continue;
            check(peer.got, bytes);
            peer.got.clear();
            auto const now = now_ns();
            taken.push_back(static_cast<double>(now - peer.begun) / 1e6);
            peer.begun = now;
            send_all(peer.fd.get(), request);
        }
    }
    auto const took = ms_since(begun) / 1000;
    std::sort(taken.begin(), taken.end());
    report.add("per_s", static_cast<double>(taken.size()) / took);
    report.add("p50_ms", taken.at(taken.size() / 2));
    report.add("p99_ms", taken.at(taken.size() * 99 / 100));
}

void small_writes(Target const& target, Words const& words, Report& report) {
    auto const seconds = std::stod(words.at(2));
    std::atomic<int> done{0}, next{0};
    std::string error;
    std::mutex guard;
    auto const begun = now_ns();
    std::vector<std::thread> threads;
    for (int i = 0; i < std::stoi(words.at(1)); ++i)
        threads.emplace_back([&] {
            try {
                std::unique_ptr<Http> http;
                if (target.kind != "raw") http = std::make_unique<Http>(target.port, target.headers);
                do {
                    auto const name = "/w" + std::to_string(next++ % 256);
                    if (http) {
                        upload(target, *http, words.at(0) + name, words.size() > 3 ? words[3] + name : "",
                               1024);
                    } else {
                        raw_put(words.at(0) + name, 1024);
                    }
                    ++done;
                } while (ms_since(begun) < seconds * 1000);
            } catch (std::exception const& problem) {
                std::lock_guard const lock(guard);
                error = problem.what();
            }
        });
    for (auto& thread : threads) thread.join();
    if (!error.empty()) fail(error);
    report.add("small_writes_per_s", done / (ms_since(begun) / 1000));
}

namespace {

std::size_t marks(std::string const& text, std::string const& mark) {
    std::size_t count = 0;
    for (auto at = text.find(mark); at != text.npos; at = text.find(mark, at + mark.size())) ++count;
    return count;
}

}  // namespace

void listing(Target const& target, Words const& words, Report& report) {
    auto const count = std::stoull(words.at(1));
    for (int i = 0; i < std::stoi(words.at(2)); ++i) {
        auto const begun = now_ns();
        std::size_t found = 0;
        std::string body;
        if (target.kind == "raw") {
            found = raw_list(words.at(0));
        } else {
            Http http(target.port, target.headers);
            body = http.ask("GET", words.at(3));
        }
        auto const took = ms_since(begun);
        if (target.kind != "raw") found = marks(body, words.at(4));
        if (found != count) fail(std::to_string(found) + " entries");
        report.add("list_ms", took);
    }
}

void search(Target const& target, Words const& words, Report& report) {
    auto const expected = raw_search(words.at(0), words.at(1));
    for (int i = 0; i < std::stoi(words.at(2)); ++i) {
        auto const begun = now_ns();
        std::size_t found = 0;
        if (target.kind == "raw") {
            found = raw_search(words.at(0), words.at(1));
        } else {
            Http http(target.port, target.headers);
            found = marks(http.ask("GET", "/files/search?path=" + escaped(words.at(0)) +
                                              "&pattern=" + escaped(words.at(1))),
                          "\"path\"");
        }
        auto const took = ms_since(begun);
        if (found == 0 || found != expected)
            fail(std::to_string(found) + " of " + std::to_string(expected) + " names");
        report.add("search_ms", took);
    }
}

void proxied(Target const& target, Words const& words, Report& report) {
    Http http(target.port, target.headers);
    for (int i = -20; i < std::stoi(words.at(1)); ++i) {
        auto const begun = now_ns();
        if (http.ask("GET", words.at(0)).size() != 1024) fail("a body of another length");
        if (i >= 0) report.add("proxied_ms", ms_since(begun));
    }
}

void ws_trip(Target const& target, Words const& words, Report& report) {
    WebSocket socket(target.port, words.at(0), target.headers);
    std::string const message(64, 'm');
    for (int i = -20; i < std::stoi(words.at(1)); ++i) {
        auto const begun = now_ns();
        socket.send(2, message);
        if (socket.receive().second != message) fail("another message came back");
        if (i >= 0) report.add("ws_trip_ms", ms_since(begun));
    }
}

void ws_bulk(Target const& target, Words const& words, Report& report) {
    auto const bytes = std::stoull(words.at(1));
    WebSocket socket(target.port, words.at(0) + (words.size() > 2 ? "" : "?bytes=" + words.at(1)),
                     target.headers);
    auto const begun = now_ns();
    // A relay to TCP has no place for a size: the bytes are asked for.
    if (words.size() > 2) socket.send(2, "S" + words.at(1) + "\n");
    for (std::size_t got = 0; got < bytes;) {
        auto const [opcode, data] = socket.receive();
        if (opcode == 8) fail("closed after " + std::to_string(got) + " bytes");
        got += data.size();
    }
    report.add("ws_bulk_MBps", static_cast<double>(bytes) / 1e3 / ms_since(begun));
}

void tcp_trip(Target const& target, Words const& words, Report& report) {
    auto const fd = dial(target.port);
    std::string const message(64, 'm');
    std::string block(64, '\0');
    for (int i = -20; i < std::stoi(words.at(0)); ++i) {
        auto const begun = now_ns();
        send_all(fd.get(), message);
        if (recv(fd.get(), block.data(), block.size(), MSG_WAITALL) != 64) fail("the echo ended");
        if (i >= 0) report.add("ws_trip_ms", ms_since(begun));
    }
}

void tcp_bulk(Target const& target, Words const& words, Report& report) {
    auto const bytes = std::stoull(words.at(0));
    auto const fd = dial(target.port);
    std::vector<char> block(512 << 10);
    auto const begun = now_ns();
    send_all(fd.get(), "S" + words.at(0) + "\n");
    for (std::size_t got = 0; got < bytes;) {
        auto const piece = recv(fd.get(), block.data(), block.size(), 0);
        if (piece <= 0) fail("the echo ended");
        got += static_cast<std::size_t>(piece);
    }
    report.add("ws_bulk_MBps", static_cast<double>(bytes) / 1e3 / ms_since(begun));
}

}  // namespace execd::bench
