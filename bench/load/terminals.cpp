// Terminals: one byte there and back through `cat`, and much output.
#include <unistd.h>

#include <cstdlib>
#include <memory>

#include "load/floor.hpp"
#include "load/measure.hpp"

namespace execd::bench {

namespace {

/// The same shell on a terminal: in our hands, of execd, of a Jupyter Server.
class Shell {
  public:
    Shell(Target const& target, std::string const& script) : kind_(target.kind), block_(64 << 10, '\0') {
        if (kind_ == "raw") {
            raw_ = std::make_unique<Terminal>(script);
        } else if (kind_ == "execd") {
            Http http(target.port, target.headers);
            auto const made = http.ask("POST", "/pty", R"({"command":")" + quoted(script) + "\"}");
            id_ = between(made, "\"session_id\":\"");
            target_ = target;
            socket_ = std::make_unique<WebSocket>(target.port, "/pty/" + id_ + "/ws", target.headers);
        } else {
            Http http(target.port, target.headers);
            id_ = between(http.ask("POST", "/api/terminals"), "\"name\": \"");
            target_ = target;
            socket_ = std::make_unique<WebSocket>(target.port, "/terminals/websocket/" + id_, target.headers);
            send(script + "\n");
        }
    }

    ~Shell() {
        try {
            if (kind_ == "execd") Http(target_.port, target_.headers).ask("DELETE", "/pty/" + id_);
            if (kind_ == "jupyter")
                Http(target_.port, target_.headers).ask("DELETE", "/api/terminals/" + id_);
        } catch (std::exception const&) {  // it ended by itself
        }
    }

    void send(std::string const& text) {
        if (raw_) {
            if (write(raw_->master.get(), text.data(), text.size()) < 0) fail("write to the terminal");
        } else if (kind_ == "execd") {
            socket_->send(2, std::string(1, '\0') + text);
        } else {
            socket_->send(1, R"(["stdin",")" + quoted(text) + "\"]");
        }
    }

    /// What came, as it came; Jupyter's with JSON around it.
    std::string_view receive() {
        if (raw_) {
            auto const got = read(raw_->master.get(), block_.data(), block_.size());
            if (got <= 0) fail("the terminal ended");
            return {block_.data(), static_cast<std::size_t>(got)};
        }
        while (true) {
            auto const [opcode, data] = socket_->receive();
            if (opcode == 8) fail("the terminal ended");
            if (kind_ == "jupyter") {
                if (data.find("\"stdout\"") != data.npos)
                    return data.substr(std::min<std::size_t>(data.size(), 12));
            } else if (opcode == 2 && !data.empty()) {
                return data.substr(data[0] == 3 ? 9 : 1);
            }
        }
    }

    std::size_t until(std::string_view mark) {
        std::string tail;
        std::size_t got = 0;
        while (tail.find(mark) == tail.npos) {
            if (tail.size() > 4096) tail.erase(0, tail.size() - 64);
            auto const piece = receive();
            got += piece.size();
            tail.append(piece);
        }
        return got;
    }

  private:
    static std::string quoted(std::string const& text) {
        std::string out;
        for (char const c : text) {
            if (c == '\n') {
                out += "\\n";
            } else {
                if (c == '"' || c == '\\') out += '\\';
                out += c;
            }
        }
        return out;
    }

    static std::string between(std::string const& text, std::string const& begin) {
        auto const at = text.find(begin);
        if (at == text.npos) fail("no " + begin + " in " + text);
        return text.substr(at + begin.size(), text.find('"', at + begin.size()) - at - begin.size());
    }

    std::string kind_, id_, block_;
    Target target_;
    std::unique_ptr<Terminal> raw_;
    std::unique_ptr<WebSocket> socket_;
};

}  // namespace

void echo(Target const& target, Words const& words, Report& report) {
    Shell shell(target, "stty raw -echo; echo REA\"\"DY; exec cat");
    shell.until("READY");
    for (int i = -3; i < std::stoi(words.at(0)); ++i) {
        std::string const letter(1, static_cast<char>('A' + (i + 3) % 26));
        auto const begun = now_ns();
        shell.send(letter);
        shell.until(letter);
        if (i >= 0) report.add("pty_echo_ms", ms_since(begun));
    }
}

void output(Target const& target, Words const& words, Report& report) {
    auto const bytes = std::stoull(words.at(0));
    Shell shell(target, "stty raw -echo; echo REA\"\"DY; read -r x; " + self() + " blast " + words.at(0) +
                            " 100; echo EN\"\"D_OF_DATA; read -r x");
    shell.until("READY");
    auto const begun = now_ns();
    shell.send("go\n");
    auto const got = shell.until("END_OF_DATA");
    auto const took = ms_since(begun);
    if (got < bytes) fail(std::to_string(got) + " of " + words.at(0) + " bytes came");
    report.add("pty_MBps", static_cast<double>(bytes) / 1e3 / took);
}

}  // namespace execd::bench
