// Code contexts: an ipykernel spoken to directly over ZeroMQ, and contexts of execd over HTTP.
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

#include <cstdio>
#include <cstring>
#include <functional>
#include <thread>

#include "load/floor.hpp"
#include "load/measure.hpp"

namespace execd::bench {

namespace {

using Said = std::function<void(std::string_view kind, std::string_view text)>;

/// ipykernel with an empty key (no signatures), on ipc sockets in a directory of its own.
class Bare {
  public:
    explicit Bare(std::string const& python) : context_(zmq_ctx_new()) {
        char folder[] = "/tmp/execd-load-XXXXXX";
        if (!mkdtemp(folder)) fail("mkdtemp");
        folder_ = folder;
        auto const file = folder_ + "/c.json";
        if (auto* out = std::fopen(file.c_str(), "w")) {
            std::fprintf(
                out,
                R"({"transport":"ipc","ip":"%s/s","key":"","signature_scheme":"hmac-sha256","kernel_name":"",)"
                R"("shell_port":1,"iopub_port":2,"stdin_port":3,"control_port":4,"hb_port":5})",
                folder_.c_str());
            std::fclose(out);
        }
        kernel_ = spawn({python, "-m", "ipykernel_launcher", "-f", file});
        shell_ = connect(ZMQ_DEALER, "1");
        iopub_ = connect(ZMQ_SUB, "2");
        zmq_setsockopt(iopub_, ZMQ_SUBSCRIBE, "", 0);
        send("kernel_info_request", "{}");
        while (receive(shell_).first != "kernel_info_reply") {
        }
    }

    ~Bare() {
        kill(kernel_.pid, SIGKILL);
        kernel_.wait();
        zmq_close(shell_);
        zmq_close(iopub_);
        zmq_ctx_term(context_);
        for (auto const* name : {"/c.json", "/s-1", "/s-2", "/s-3", "/s-4", "/s-5"})
            unlink((folder_ + name).c_str());
        rmdir(folder_.c_str());
    }

    void run(std::string const& code, Said const& said) {
        send("execute_request", R"({"code":")" + code +
                                    R"(","silent":false,"store_history":true,"user_expressions":{},)" +
                                    R"("allow_stdin":false,"stop_on_error":false})");
        for (bool idle = false; !idle;) {
            auto const [kind, content] = receive(iopub_);
            idle = kind == "status" && content.find("\"idle\"") != content.npos;
            if (kind != "status") said(kind, kind == "stream" ? text_of(content) : std::string_view(content));
        }
        while (receive(shell_).first != "execute_reply") {
        }
    }

    void interrupt() { kill(kernel_.pid, SIGINT); }

  private:
    /// The text of a stream message; what is printed here has no quotes.
    static std::string_view text_of(std::string_view content) {
        auto const begin = content.find('"', content.find("\"text\":") + 7) + 1;
        return content.substr(begin, content.find('"', begin) - begin);
    }

    void* connect(int type, std::string const& port) {
        auto* socket = zmq_socket(context_, type);
        int const ivl = 1, linger = 0, deadline = 30'000, unlimited = 0;
        zmq_setsockopt(socket, ZMQ_RECONNECT_IVL, &ivl, sizeof ivl);
        zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger);
        zmq_setsockopt(socket, ZMQ_RCVTIMEO, &deadline, sizeof deadline);
        zmq_setsockopt(socket, ZMQ_RCVHWM, &unlimited, sizeof unlimited);
        zmq_connect(socket, ("ipc://" + folder_ + "/s-" + port).c_str());
        return socket;
    }

    void send(std::string const& kind, std::string const& content) {
        id_ = "load-" + std::to_string(++count_);
        auto const header = R"({"msg_id":")" + id_ +
                            R"(","session":"load","username":"","date":"2026-01-01T00:00:00Z","msg_type":")" +
                            kind + R"(","version":"5.3"})";
        std::string_view const parts[] = {"<IDS|MSG>", "", header, "{}", "{}", content};
        for (auto const& part : parts)
            if (zmq_send(shell_, part.data(), part.size(), &part == &parts[5] ? 0 : ZMQ_SNDMORE) < 0)
                fail("zmq_send");
    }

    /// Type and content of the next message that answers the last request.
    std::pair<std::string, std::string> receive(void* socket) {
        while (true) {
            std::vector<std::string> parts;
            int more = 1;
            while (more) {
                zmq_msg_t part;
                zmq_msg_init(&part);
                if (zmq_msg_recv(&part, socket, 0) < 0) fail("the kernel said nothing for 30 s");
                parts.emplace_back(static_cast<char const*>(zmq_msg_data(&part)), zmq_msg_size(&part));
                more = zmq_msg_more(&part);
                zmq_msg_close(&part);
            }
            std::size_t at = 0;
            while (at < parts.size() && parts[at] != "<IDS|MSG>") ++at;
            if (at + 5 >= parts.size() || parts[at + 3].find("\"" + id_ + "\"") == std::string::npos)
                continue;
            auto const& header = parts[at + 2];
            auto const begin = header.find('"', header.find("\"msg_type\"") + 10) + 1;
            return {header.substr(begin, header.find('"', begin) - begin), parts[at + 5]};
        }
    }

    void* context_;
    void* shell_ = nullptr;
    void* iopub_ = nullptr;
    std::string folder_, id_;
    int count_ = 0;
    Child kernel_;
};

class Context {
  public:
    explicit Context(Target const& target) : target_(target), http_(target.port, target.headers) {
        auto const made = http_.ask("POST", "/code/context", R"({"language":"python"})");
        auto const at = made.find("\"id\":\"") + 6;
        id_ = made.substr(at, made.find('"', at) - at);
    }
    ~Context() {
        try {
            http_.ask("DELETE", "/code/contexts/" + id_);
        } catch (std::exception const&) {  // what was measured has been said
        }
    }

    void run(std::string const& code, Said const& said) {
        auto const body =
            R"({"code":")" + code + R"(","context":{"id":")" + id_ + R"(","language":"python"}})";
        http_.begin("POST", "/code", static_cast<std::int64_t>(body.size()), "application/json");
        http_.write(body);
        Events events([&](std::string_view text) { said("stream", text); });
        auto const status = http_.answer([&](std::string_view piece) { events.take(piece); });
        if (status != 200 || (!events.completed() && !events.failed()))
            fail("code: " + std::to_string(status));
        if (!events.result().empty()) said(events.failed() ? "error" : "execute_result", events.result());
    }

    void interrupt() { Http(target_.port, target_.headers).ask("DELETE", "/code?id=" + id_); }

  private:
    Target target_;
    Http http_;
    std::string id_;
};

std::size_t marks(std::string_view text, std::string_view mark) {
    std::size_t count = 0;
    for (auto at = text.find(mark); at != text.npos; at = text.find(mark, at + mark.size())) ++count;
    return count;
}

template <typename Kernel>
void measure(Kernel& kernel, std::int64_t begun, Words const& words, Report& report) {
    auto const sum = [&] {
        bool right = false;
        kernel.run("1+1", [&](std::string_view kind, std::string_view text) {
            right = right || (kind == "execute_result" && text.find('2') != text.npos);
        });
        if (!right) fail("1+1 had no result");
    };
    sum();
    report.add("kernel_first_ms", ms_since(begun));
    for (int i = 0; i < std::stoi(words.at(1)); ++i) {
        auto const asked = now_ns();
        sum();
        report.add("kernel_sum_ms", ms_since(asked));
    }
    std::string printed;  // a message may end within a word
    auto const asked = now_ns();
    kernel.run(
        "for i in range(" + words.at(2) + "): print('line', i, flush=i%100==99)",
        [&](std::string_view kind, std::string_view text) { printed.append(kind == "stream" ? text : ""); });
    report.add("kernel_prints_ms", ms_since(asked));
    if (auto const got = marks(printed, "line "); got != std::stoull(words.at(2)))
        fail(std::to_string(got) + " lines came");
    std::int64_t pressed = 0;
    std::thread presser;
    kernel.run("import time\\nprint('go', flush=True)\\ntime.sleep(20)",
               [&](std::string_view kind, std::string_view) {
                   if (kind != "stream" || presser.joinable()) return;
                   presser = std::thread([&] {
                       usleep(20'000);
                       pressed = now_ns();
                       kernel.interrupt();
                   });
               });
    auto const ended = now_ns();
    if (!presser.joinable()) fail("the sleep said nothing");
    presser.join();
    if (ended - pressed > 15'000'000'000) fail("the sleep was not interrupted");
    report.add("kernel_interrupt_ms", static_cast<double>(ended - pressed) / 1e6);
}

}  // namespace

void kernel(Target const& target, Words const& words, Report& report) {
    auto const begun = now_ns();
    if (target.kind == "raw") {
        Bare kernel(words.at(0));
        measure(kernel, begun, words, report);
    } else {
        Context kernel(target);
        measure(kernel, begun, words, report);
    }
}

}  // namespace execd::bench
