// The kernel process: Xeus between a client and a worker.
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <stdexcept>

#include <xeus/xeus_context.hpp>
#include <xeus/xkernel.hpp>

#include "kernels/native/interpreter.hpp"

namespace execd::kernels::native {

namespace {

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

Env own_environment() {
    Env out;
    for (char** each = environ; *each != nullptr; ++each) {
        std::string_view const text(*each);
        if (auto const at = text.find('='); at != std::string_view::npos)
            out.emplace(text.substr(0, at), text.substr(at + 1));
    }
    return out;
}

/// Xeus has the server made, by a function without a context of its own.
Server* made_server = nullptr;

std::unique_ptr<xeus::xserver> hand_over(xeus::xcontext&, xeus::xconfiguration const&,
                                         nl::json::error_handler_t) {
    return std::unique_ptr<xeus::xserver>(std::exchange(made_server, nullptr));
}

int refuse(Language const& language, std::string const& why) {
    std::fprintf(stderr, "execd kernel %s: %s\n", std::string(language.name).c_str(), why.c_str());
    return 1;
}

}  // namespace

int run_kernel(Language const& language, std::string const& connection_file, std::string_view version) try {
    auto const program = interpreter_of(language, own_environment());
    if (program.empty()) {
        std::string names;
        for (auto const name : language.interpreters)
            names += (names.empty() ? "" : " or ") + std::string(name);
        return refuse(language, "there is no " + names + " on PATH");
    }
    auto const connection = read_connection(connection_file);
    auto own = std::make_unique<Interpreter>(language, program, std::string(version));
    auto& interpreter = *own;
    auto server_owner = std::make_unique<Server>(connection);
    auto& server = *server_owner;
    catch_signals();
    std::cout.setstate(
        std::ios::failbit);  // Xeus greets there, and complains to the other one of what it ignores
    std::clog.setstate(std::ios::failbit);
    interpreter.start();
    interpreter.attach(server);
    if (auto const why = interpreter.ready(server); !why.empty()) return refuse(language, why);
    made_server = server_owner.release();
    xeus::xkernel kernel(xeus::xconfiguration{}, "execd", xeus::make_empty_context(), std::move(own),
                         hand_over, make_history());
    kernel.start();
    return 0;
} catch (std::exception const& e) {
    return refuse(language, e.what());
}

}  // namespace execd::kernels::native
