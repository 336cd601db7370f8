// The kernel process: Xeus between a client and a worker.
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <stdexcept>

#include <xeus/xeus_context.hpp>
#include <xeus/xkernel.hpp>

#include "kernels/native/interpreter.hpp"

namespace execd::kernels::native {

namespace {

constexpr auto kCheckTime = std::chrono::seconds(10);

void on_signal(int number) { Server::wake(number == SIGINT ? 'i' : 'c'); }

void catch_signals() {
    struct sigaction action {};
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESTART;
    ::sigaction(SIGINT, &action, nullptr);
    action.sa_flags = SA_RESTART | SA_NOCLDSTOP;
    ::sigaction(SIGCHLD, &action, nullptr);
    ::signal(SIGPIPE, SIG_IGN);
}

/// Xeus has the server made, by a function without a context of its own.
Server* made_server = nullptr;

std::unique_ptr<xeus::xserver> hand_over(xeus::xcontext&, xeus::xconfiguration const&,
                                         nl::json::error_handler_t) {
    return std::unique_ptr<xeus::xserver>(std::exchange(made_server, nullptr));
}

std::string missing(Language const& language) {
    std::string names;
    for (auto const name : language.interpreters) names += (names.empty() ? "" : " or ") + std::string(name);
    return "there is no " + names + " on PATH";
}

int refuse(Language const& language, std::string const& why) {
    std::fprintf(stderr, "execd kernel %s: %s\n", std::string(language.name).c_str(), why.c_str());
    return 1;
}

/// As Jupyter's own kernels: who was started by a client ends with it, also when the client is killed. Empty
/// where nobody said so, or the system cannot tell (Linux before 5.3: then only a shutdown ends the kernel).
UniqueFd parent_of_jupyter() {
    char const* const said = std::getenv("JPY_PARENT_PID");
    pid_t const parent = ::getppid();
    if (said == nullptr || std::to_string(parent) != said) return {};
    return UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, parent, 0)));
}

class Nobody final : public Listener {
  public:
    void on_stream(bool, std::string, Json const&) override {}
    void on_event(Json) override {}
    void on_input(std::string, bool) override {}
};

}  // namespace

Env process_env() {
    Env out;
    for (char** each = environ; *each != nullptr; ++each) {
        std::string_view const text(*each);
        if (auto const at = text.find('='); at != std::string_view::npos)
            out.emplace(text.substr(0, at), text.substr(at + 1));
    }
    return out;
}

std::string why_not(Language const& language, Env const& env) try {
    auto const program = interpreter_of(language, env);
    if (program.empty()) return missing(language);
    Nobody nobody;
    auto const worker = make_worker(language, nobody, program);
    worker->start();
    auto const end = std::chrono::steady_clock::now() + kCheckTime;
    while (!worker->ready()) {
        std::vector<pollfd> fds;
        worker->watch(fds);
        auto const left =
            std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
        if (left.count() <= 0) return program + " did not start in time";
        // An interpreter that has closed all of its pipes has ended, or never will say anything.
        if (fds.empty()) return program + " does not start";
        if (::poll(fds.data(), fds.size(), static_cast<int>(left.count())) < 0) continue;
        std::erase_if(fds, [](pollfd const& each) { return each.revents == 0; });
        static_cast<Watched&>(*worker).ready(fds);
        if (!worker->ready() && worker->ended())
            return program + " does not start: " + worker->ended()->words;
    }
    return worker->refusal();
} catch (std::exception const& e) {
    return e.what();
}

int run_kernel(Language const& language, std::string const& connection_file, std::string_view version) try {
    auto const program = interpreter_of(language, process_env());
    if (program.empty()) return refuse(language, missing(language));
    auto const connection = read_connection(connection_file);
    // Before anybody can see us: a client may be killed as soon as we are there.
    auto lifeline = parent_of_jupyter();
    auto own = std::make_unique<Interpreter>(language, program, std::string(version));
    auto& interpreter = *own;
    auto server_owner = std::make_unique<Server>(connection);
    auto& server = *server_owner;
    catch_signals();
    std::cout.setstate(
        std::ios::failbit);  // Xeus greets there, and complains to the other one of what it ignores
    std::clog.setstate(std::ios::failbit);
    interpreter.start();
    server.set_lifeline(std::move(lifeline));
    interpreter.attach(server);
    if (auto const why = interpreter.ready(server); !why.empty()) return refuse(language, why);
    made_server = server_owner.release();
    xeus::xkernel kernel(xeus::xconfiguration{}, "execd", xeus::make_empty_context(), std::move(own),
                         hand_over, make_history(interpreter));
    kernel.start();
    return 0;
} catch (std::exception const& e) {
    return refuse(language, e.what());
}

}  // namespace execd::kernels::native
