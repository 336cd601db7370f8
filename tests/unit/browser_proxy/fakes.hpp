// Programs of a desktop that exist only in the test: a Chromium that speaks CDP on its pipe, an X server and
// an RFB server on sockets. Nothing happens but what the test says.
#pragma once
#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <deque>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "../base/virtual_loop.hpp"
#include "browser_proxy/supervisor.hpp"

namespace execd::browser_proxy {

using Json = nlohmann::json;

class FakeRunning final : public Running {
  public:
    FakeRunning(Loop& loop, Launch what, long pid) : launch(std::move(what)), loop_(loop), pid_(pid) {}
    long pid() const override { return pid_; }
    bool alive() const override { return why_.empty(); }
    Task<Result<std::string>> said(shell::Stream, std::string mark, Deadline deadline) override {
        for (;;) {
            for (auto const& line : lines_)
                if (auto const at = line.find(mark); at != std::string::npos)
                    co_return line.substr(at + mark.size());
            if (!alive()) co_return fail(Code::unavailable, "", "it ended: " + why_);
            bool const woken = co_await changed_.wait(loop_.clock(), deadline);
            if (!woken) co_return fail(Code::timed_out, "", "it said nothing");
        }
    }
    Task<bool> ended(Deadline deadline) override {
        while (alive()) {
            bool const woken = co_await changed_.wait(loop_.clock(), deadline);
            if (!woken && alive()) co_return false;
        }
        co_return true;
    }
    Task<Result<std::string>> output(std::size_t, Deadline deadline) override {
        bool const over = co_await ended(deadline);
        if (!over) co_return fail(Code::timed_out, "", "it took too long");
        co_return written;
    }
    bool succeeded() const override { return why_ == "exit status 0"; }
    std::string why() const override { return why_; }
    std::string last_words() const override { return words; }
    Task<void> stop(Duration) override {
        stopped = true;
        end("cancelled");
        co_return;
    }
    void say(std::string line) {
        lines_.push_back(std::move(line));
        changed_.notify_all();
    }
    void end(std::string why) {
        if (!why_.empty()) return;
        why_ = std::move(why);
        launch.pipe.reset();
        changed_.notify_all();
    }

    Launch launch;
    std::string words;
    std::string written;  // its standard output
    bool stopped = false;

  private:
    Loop& loop_;
    long pid_;
    std::deque<std::string> lines_;
    std::string why_;
    Event changed_;
};

class FakeLauncher final : public Launcher {
  public:
    explicit FakeLauncher(Loop& loop) : loop_(loop) {}
    bool has(std::string const& program) const override { return !absent.contains(program); }
    Task<Result<std::shared_ptr<Running>>> start(Launch launch) override {
        auto made = std::make_shared<FakeRunning>(loop_, std::move(launch), 100 + ++started);
        all[made->launch.label].push_back(made);
        co_return made;
    }
    Result<void> make_directory(std::string const&) const override { return {}; }
    [[nodiscard]] std::size_t count(std::string const& label) { return all[label].size(); }
    [[nodiscard]] FakeRunning& last(std::string const& label) { return *all[label].back(); }

    std::map<std::string, bool> absent;
    std::map<std::string, std::vector<std::shared_ptr<FakeRunning>>> all;
    long started = 0;

  private:
    Loop& loop_;
};

/// Something that listens and greets who comes with a fixed text.
class FakeServer {
  public:
    FakeServer(sockaddr const* address, socklen_t size)
        : listener_(::socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) {
        EXPECT_EQ(::bind(listener_.get(), address, size), 0);
        EXPECT_EQ(::listen(listener_.get(), 8), 0);
    }
    [[nodiscard]] int port() const {
        sockaddr_in address{};
        socklen_t size = sizeof address;
        ::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size);
        return ntohs(address.sin_port);
    }
    /// True when somebody was there and got `greeting`.
    bool serve(std::string_view greeting) {
        UniqueFd peer(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
        if (!peer) return false;
        ::send(peer.get(), greeting.data(), greeting.size(), MSG_NOSIGNAL);
        peers_.push_back(std::move(peer));
        return true;
    }
    /// From now on everybody who comes is greeted at once, those who came before too.
    void serve_all(asio::io_context& io, std::string greeting) {
        greeting_ = std::move(greeting);
        watched_.emplace(io, ::fcntl(listener_.get(), F_DUPFD_CLOEXEC, 0));
        watch();
    }
    /// It goes on listening, and that is all.
    void stand_still() { watched_.reset(); }

  private:
    void watch() {
        watched_->async_wait(Descriptor::wait_read, [this](boost::system::error_code ec) {
            if (ec) return;
            while (serve(greeting_)) continue;
            watch();
        });
    }
    UniqueFd listener_;
    std::string greeting_;
    std::optional<Descriptor> watched_;
    std::vector<UniqueFd> peers_;
};

/// The other end of CdpPipe: reads what was asked and answers.
class FakeChromium {
  public:
    explicit FakeChromium(FakeRunning& running) : running_(running) {
        ::fcntl(fd(), F_SETFL, ::fcntl(fd(), F_GETFL) | O_NONBLOCK);
    }
    /// Messages that came and were not taken yet.
    std::vector<Json> take() {
        char block[8192];
        for (ssize_t n; (n = ::recv(fd(), block, sizeof block, 0)) > 0;)
            partial_.append(block, static_cast<std::size_t>(n));
        std::vector<Json> out;
        for (std::size_t end; (end = partial_.find('\0')) != std::string::npos; partial_.erase(0, end + 1))
            out.push_back(Json::parse(partial_.substr(0, end)));
        return out;
    }
    void send(Json const& message) {
        std::string text = message.dump();
        text += '\0';
        EXPECT_EQ(::send(fd(), text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
    }
    void page(char const* method, std::string const& id, std::string const& type = "page") {
        send(
            {{"method", method},
             {"params",
              {{"targetId", id},
               {"targetInfo", {{"targetId", id}, {"type", type}, {"title", "T"}, {"url", "about:blank"}}}}}});
    }
    /// Answers all that was asked, as a browser in health; says what it was.
    std::vector<std::string> answer() {
        std::vector<std::string> methods;
        for (auto const& message : take()) {
            methods.push_back(message["method"]);
            Json result = Json::object();
            if (methods.back() == "Browser.getVersion")
                result = {{"product", "Chrome/1"}, {"jsVersion", "2"}};
            if (methods.back() == "Target.createTarget") {
                result = {{"targetId", "P" + std::to_string(++pages_)}};
                page("Target.targetCreated", result["targetId"]);
            }
            send({{"id", message["id"]}, {"result", result}});
        }
        return methods;
    }

  private:
    [[nodiscard]] int fd() const { return running_.launch.pipe.get(); }
    FakeRunning& running_;
    std::string partial_;
    int pages_ = 0;
};

}  // namespace execd::browser_proxy
