// Commands and their output.
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <thread>

#include "load/floor.hpp"
#include "load/measure.hpp"

namespace execd::bench {

std::string const& self() {
    static std::string const path = [] {
        std::string out(4096, '\0');
        auto const size = readlink("/proc/self/exe", out.data(), out.size());
        out.resize(static_cast<std::size_t>(size));
        return out;
    }();
    return path;
}

void Events::event(std::string_view line) {
    auto const head = line.substr(0, 64);
    if (head.find(R"("type":"stdout")") != head.npos) {
        auto text = line.substr(line.find(R"("text":")") + 8);
        // The text ends at the first quote that is not escaped.
        std::size_t end = 0;
        bool escaped = false;
        while ((end = text.find('"', end)) != text.npos) {
            std::size_t slashes = 0;
            while (slashes < end && text[end - 1 - slashes] == '\\') ++slashes;
            if (slashes % 2 == 0) break;
            ++end;
        }
        text = text.substr(0, end);
        escaped = std::memchr(text.data(), '\\', text.size()) != nullptr;
        if (escaped && text.size() >= 2 && text.substr(text.size() - 2) == "\\n") text.remove_suffix(2);
        sink_(text);
    } else if (head.find(R"("type":"execution_complete")") != head.npos) {
        completed_ = true;
    } else if (head.find(R"("type":"error")") != head.npos) {
        failed_ = true;
        result_ = line;
    } else if (head.find(R"("type":"result")") != head.npos) {
        result_ = line;
    }
}

void Events::take(std::string_view data) {
    while (!data.empty()) {
        auto const* found = static_cast<char const*>(std::memchr(data.data(), '\n', data.size()));
        if (!found) {
            rest_.append(data);
            return;
        }
        auto const line = data.substr(0, static_cast<std::size_t>(found - data.data()));
        data.remove_prefix(line.size() + 1);
        if (!rest_.empty()) {
            rest_.append(line);
            auto const whole = std::move(rest_);
            rest_.clear();
            event(whole);
        } else if (!line.empty()) {
            event(line);
        }
    }
}

namespace {

/// Runs a command through POST /command; every text of its output goes to `sink`.
void run(
    Http& http, std::string const& command, Sink const& sink, std::function<void()> const& known = [] {}) {
    std::string body = R"({"command":")";
    for (char const c : command) body.append(c == '"' || c == '\\' ? 1 : 0, '\\').append(1, c);
    body += "\"}";
    http.begin("POST", "/command", static_cast<std::int64_t>(body.size()), "application/json");
    http.write(body);
    Events events(sink);
    auto const status = http.answer([&](std::string_view piece) {
        auto const before = events.completed();
        events.take(piece);
        if (events.completed() && !before) known();
    });
    if (status != 200 || !events.completed())
        fail("command: " + std::to_string(status) + " " + events.result());
}

void run_raw(std::string const& command, Sink const& sink) {
    auto child = spawn({"/bin/bash", "-c", command});
    std::vector<char> block(1 << 20);
    ssize_t got = 0;
    while ((got = read(child.out.get(), block.data(), block.size())) > 0)
        sink({block.data(), static_cast<std::size_t>(got)});
    if (child.wait() != 0) fail("the command failed");
}

void true_raw() {
    auto child = spawn({"/bin/true"});
    char none = 0;
    if (read(child.out.get(), &none, 1) != 0 || child.wait() != 0) fail("/bin/true");
}

void once(Http* http, std::string const& command, Sink const& sink) {
    if (http) {
        run(*http, command, sink);
    } else {
        run_raw(command, sink);
    }
}

std::unique_ptr<Http> client(Target const& target) {
    return target.kind == "raw" ? nullptr : std::make_unique<Http>(target.port, target.headers);
}

}  // namespace

void exec(Target const& target, Words const& words, Report& report) {
    auto const http = client(target);
    auto const none = [](std::string_view) {};
    for (int i = -1; i < std::stoi(words.at(0)); ++i) {
        auto const begun = now_ns();
        double known = 0;
        if (http) {
            run(*http, "true", none, [&] { known = ms_since(begun); });
        } else {
            true_raw();
            known = ms_since(begun);
        }
        if (i < 0) continue;  // the first one warms up
        report.add("exec_known_ms", known);
        report.add("exec_ended_ms", ms_since(begun));
    }
}

void rate(Target const& target, Words const& words, Report& report) {
    auto const clients = std::stoi(words.at(0));
    auto const seconds = std::stod(words.at(1));
    std::atomic<int> done{0};
    std::string error;
    std::mutex guard;
    auto const begun = now_ns();
    std::vector<std::thread> threads;
    for (int i = 0; i < clients; ++i)
        threads.emplace_back([&] {
            try {
                auto const http = client(target);
                do {
                    if (http) {
                        run(*http, "true", [](std::string_view) {});
                    } else {
                        true_raw();
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
    report.add("execs_per_s_" + words.at(0), done / (ms_since(begun) / 1000));
}

void first(Target const& target, Words const& words, Report& report) {
    auto const http = client(target);
    for (int i = 0; i < std::stoi(words.at(0)); ++i) {
        auto const begun = now_ns();
        double seen = 0;
        once(http.get(), "echo hi; sleep 0.05", [&](std::string_view) {
            if (seen == 0) seen = ms_since(begun);
        });
        if (seen == 0) fail("no output");
        report.add("first_byte_ms", seen);
    }
}

void lines(Target const& target, Words const& words, Report& report) {
    auto const http = client(target);
    std::string rest;
    int count = 0;
    once(http.get(), self() + " emit " + words.at(0) + " 50", [&](std::string_view text) {
        auto const now = now_ns();
        rest.append(text);
        if (http) rest += '\n';
        for (std::size_t end = 0; (end = rest.find('\n')) != rest.npos; rest.erase(0, end + 1)) {
            if (end == 0) continue;
            report.add("line_delay_ms", static_cast<double>(now - std::stoll(rest.substr(0, end))) / 1e6);
            ++count;
        }
    });
    if (count != std::stoi(words.at(0))) fail(std::to_string(count) + " lines came");
}

void stream(Target const& target, Words const& words, Report& report) {
    auto const line = std::stoull(words.at(1));
    auto const bytes = std::stoull(words.at(0)) / line * line;
    auto const http = client(target);
    std::size_t got = 0;
    auto const begun = now_ns();
    once(http.get(), self() + " blast " + std::to_string(bytes) + " " + words.at(1),
         [&, more = http ? 1U : 0U](std::string_view text) { got += text.size() + more; });
    auto const took = ms_since(begun);
    if (got != bytes) fail(std::to_string(got) + " of " + std::to_string(bytes) + " bytes came");
    report.add("stream_" + words.at(1) + "_MBps", static_cast<double>(bytes) / 1e3 / took);
}

}  // namespace execd::bench
