#include "kernels/native/server.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <ctime>
#include <stdexcept>
#include <utility>

#include "base/ids.hpp"
#include "base/unique_fd.hpp"

namespace execd::kernels::native {

namespace {

constexpr std::size_t kMaxContent = std::size_t{512} << 20;
constexpr int kSendHwm = 64;     // iopub messages (at most 64 KiB each) that wait for a slow subscriber
constexpr int kSendWait = 50;    // ms; between two of these control and heartbeat are served
constexpr int kSendTries = 200;  // 10 s, then outputs are dropped until the subscriber reads again
constexpr int kLinger = 1000;    // ms for the last replies at the end

// Signal handlers write here. A pipe and not a flag: zmq_poll may go to sleep between the look at a flag and
// the wait.
int signal_pipe[2] = {-1, -1};

[[noreturn]] void give_up(std::string const& what, char const* why) {
    throw std::runtime_error(what + ": " + why);
}

std::string now_text() {
    timespec at{};
    clock_gettime(CLOCK_REALTIME, &at);
    return iso_time(std::int64_t{at.tv_sec} * 1'000'000 + at.tv_nsec / 1000);
}

std::vector<std::string> frames_of(xeus::buffer_sequence const& buffers) {
    std::vector<std::string> out;
    for (auto const& each : buffers) out.emplace_back(each.begin(), each.end());
    return out;
}

template <class From>
Message plain(From const& from) {
    Message out;
    out.header = from.header();
    out.parent = from.parent_header();
    out.metadata = from.metadata();
    out.content = from.content();
    out.buffers = frames_of(from.buffers());
    return out;
}

xeus::xmessage to_xeus(Message message) {
    xeus::buffer_sequence buffers;
    for (auto const& each : message.buffers) buffers.emplace_back(each.begin(), each.end());
    return {message.identities,          std::move(message.header),  std::move(message.parent),
            std::move(message.metadata), std::move(message.content), std::move(buffers)};
}

}  // namespace

// Only Xeus' debugger sends anything through it, and there is none.
struct Server::Messenger final : xeus::xcontrol_messenger {
    nl::json send_to_shell_impl(nl::json const&) override { return nl::json::object(); }
};

Connection read_connection(std::string const& file) {
    UniqueFd const fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
    if (!fd) give_up(file, errno_text(errno).c_str());
    std::string text(65536, '\0');
    auto const n = ::read(fd.get(), text.data(), text.size());
    if (n < 0) give_up(file, errno_text(errno).c_str());
    text.resize(static_cast<std::size_t>(n));
    auto const json = parse_json(text);
    if (!json || !json->is_object()) give_up(file, "not a connection file");
    Connection out;
    out.transport = text_of(*json, "transport", "tcp") == "ipc" ? Transport::ipc : Transport::tcp;
    out.ip = text_of(*json, "ip", "127.0.0.1");
    out.key = text_of(*json, "key");
    static constexpr std::array<char const*, kChannels> kPorts{"shell_port", "iopub_port", "stdin_port",
                                                               "control_port", "hb_port"};
    for (std::size_t i = 0; i < kChannels; ++i) {
        auto const port = json->find(kPorts[i]);
        if (port == json->end() || !port->is_number_integer()) give_up(file, kPorts[i]);
        out.ports[i] = port->get<int>();
    }
    if (out.key.empty()) give_up(file, "no key: unsigned messages are not taken");
    if (text_of(*json, "signature_scheme", "hmac-sha256") != "hmac-sha256")
        give_up(file, "its signature_scheme is not hmac-sha256");
    return out;
}

Server::Server(Connection const& connection)
    : signer_(connection.key), session_(uuid()), messenger_(std::make_unique<Messenger>()) {
    if (signal_pipe[0] < 0 && ::pipe2(signal_pipe, O_CLOEXEC | O_NONBLOCK) != 0)
        give_up("pipe", errno_text(errno).c_str());
    context_ = zmq_ctx_new();
    if (context_ == nullptr) give_up("libzmq", zmq_strerror(zmq_errno()));
    static constexpr std::array<int, 5> kTypes{ZMQ_ROUTER, ZMQ_PUB, ZMQ_ROUTER, ZMQ_ROUTER, ZMQ_REP};
    static constexpr std::array<Channel, 5> kWhich{Channel::shell, Channel::iopub, Channel::stdin_,
                                                   Channel::control, Channel::heartbeat};
    for (std::size_t i = 0; i < sockets_.size(); ++i) {
        void* const socket = sockets_[i] = zmq_socket(context_, kTypes[i]);
        if (socket == nullptr) give_up("libzmq", zmq_strerror(zmq_errno()));
        auto const set = [socket](int option, int value) {
            zmq_setsockopt(socket, option, &value, sizeof value);
        };
        set(ZMQ_LINGER, kLinger);
        // A client that comes again with its identity takes over; replies to one that is gone are dropped.
        if (kTypes[i] == ZMQ_ROUTER) set(ZMQ_ROUTER_HANDOVER, 1);
        if (i == iopub) {
            set(ZMQ_SNDHWM, kSendHwm);
            set(ZMQ_XPUB_NODROP, 1);
            set(ZMQ_SNDTIMEO, kSendWait);
        }
        auto const where = connection.endpoint(kWhich[i]);
        if (zmq_bind(socket, where.c_str()) != 0) give_up(where, zmq_strerror(zmq_errno()));
    }
}

Server::~Server() {
    for (void* const socket : sockets_)
        if (socket != nullptr) zmq_close(socket);
    if (context_ != nullptr)
        while (zmq_ctx_term(context_) != 0 && zmq_errno() == EINTR) {
        }
}

void Server::wake(char why) noexcept {
    int const kept = errno;
    (void)!::write(signal_pipe[1], &why, 1);
    errno = kept;
}

xeus::xcontrol_messenger& Server::get_control_messenger_impl() { return *messenger_; }

// ---- sending

void Server::send_frames(Socket to, std::vector<std::string> const& frames) {
    for (std::size_t i = 0; i < frames.size(); ++i) {
        int const flags = i + 1 < frames.size() ? ZMQ_SNDMORE : 0;
        for (int tries = 0;; ++tries) {
            if (zmq_send(sockets_[to], frames[i].data(), frames[i].size(), flags) >= 0) break;
            if (zmq_errno() == EINTR) continue;
            if (zmq_errno() != EAGAIN || i > 0) return;
            // A subscriber is slow: the worker waits with us, its pipes fill up, and nothing is lost.
            if (deaf_ || tries >= kSendTries) {
                deaf_ = true;
                return;
            }
            Message message;
            beat();
            if (receive(control, message)) take_control(std::move(message), true);
            if (stopped_) return;
        }
    }
    if (to == iopub) deaf_ = false;
}

void Server::send(Socket to, Message const& message) { send_frames(to, build_message(message, signer_)); }

void Server::send_shell_impl(xeus::xmessage message) {
    auto out = plain(message);
    // Only what the client sent before it could know of the error is aborted.
    Message waiting;
    if (text_of(out.header, "msg_type") == "execute_reply" && text_of(out.content, "status") == "error")
        while (receive(shell, waiting)) sent_before_error_.push_back(std::move(waiting));
    out.identities = message.identities();
    send(shell, out);
}

void Server::send_control_impl(xeus::xmessage message) {
    auto out = plain(message);
    out.identities = message.identities();
    send(control, out);
}

void Server::send_stdin_impl(xeus::xmessage message) {
    Message stale;
    while (receive(stdin_, stale)) {  // an answer to a request that was interrupted
    }
    auto out = plain(message);
    out.identities = message.identities();
    // "Messaging in Jupyter", section "Messages on the stdin channel": Xeus calls it otherwise.
    if (auto const theirs = out.content.find("pwd"); theirs != out.content.end()) {
        out.content["password"] = *theirs == true;
        out.content.erase("pwd");
    }
    input_wanted_ = true;
    send(stdin_, out);
}

void Server::publish_impl(xeus::xpub_message message, xeus::channel) {
    auto out = plain(message);
    out.identities = {message.topic()};
    send(iopub, out);
}

void Server::publish_for(Json const& parent, std::string_view type, Json content) {
    auto out = make_message(type, session_, now_text(), std::move(content));
    out.parent = parent;
    out.identities = {std::string(type)};
    send(iopub, out);
}

// ---- receiving

bool Server::receive(Socket from, Message& into) {
    for (;;) {
        std::vector<std::string> frames;
        bool more = true;
        while (more) {
            zmq_msg_t part;
            zmq_msg_init(&part);
            if (zmq_msg_recv(&part, sockets_[from], ZMQ_DONTWAIT) < 0) {
                zmq_msg_close(&part);
                if (zmq_errno() == EINTR) continue;
                return false;
            }
            frames.emplace_back(static_cast<char const*>(zmq_msg_data(&part)), zmq_msg_size(&part));
            more = zmq_msg_more(&part) != 0;
            zmq_msg_close(&part);
        }
        std::vector<std::string_view> const those(frames.begin(), frames.end());
        auto message = parse_message(those, signer_, MessageLimits{.content_bytes = kMaxContent});
        if (message && message->oversized == 0) {
            into = *std::move(message);
            return true;
        }
        auto const why = message ? std::string_view("too large") : to_string(message.error());
        std::fprintf(stderr, "execd kernel: dropped a message: %.*s\n", static_cast<int>(why.size()),
                     why.data());
    }
}

void Server::beat() {
    std::array<char, 4096> echo;
    for (;;) {
        int const n = zmq_recv(sockets_[heartbeat], echo.data(), echo.size(), ZMQ_DONTWAIT);
        if (n < 0) return;
        zmq_send(sockets_[heartbeat], echo.data(), std::min(static_cast<std::size_t>(n), echo.size()),
                 ZMQ_DONTWAIT);
    }
}

void Server::interrupted(bool in_cell) {
    if (in_cell && on_interrupt_) on_interrupt_();
}

void Server::read_signals(bool in_cell) {
    std::array<char, 64> why;
    ssize_t n = 0;
    bool interrupt = false;
    while ((n = ::read(signal_pipe[0], why.data(), why.size())) > 0)
        for (ssize_t i = 0; i < n; ++i) interrupt = interrupt || why[static_cast<std::size_t>(i)] == 'i';
    if (interrupt) interrupted(in_cell);
}

void Server::take_shell(Message message) {
    parent_ = message.header;
    notify_shell_listener(to_xeus(std::move(message)));
}

void Server::take_control(Message message, bool in_cell) {
    bool const now = message.type == "interrupt_request" || message.type == "shutdown_request" ||
                     message.type == "kernel_info_request" || message.type == "comm_info_request";
    if (in_cell && !now) {
        waiting_control_.push_back(std::move(message));
        return;
    }
    if (message.type == "interrupt_request") interrupted(in_cell);
    if (message.type == "shutdown_request" && in_cell && on_shutdown_) on_shutdown_();
    notify_control_listener(to_xeus(std::move(message)));
}

void Server::turn(bool in_cell, int milliseconds) {
    if (!in_cell && !waiting_control_.empty()) {
        auto message = std::move(waiting_control_.front());
        waiting_control_.pop_front();
        return take_control(std::move(message), false);
    }
    for (auto& message : std::exchange(sent_before_error_, {})) waiting_shell_.push_back(std::move(message));
    if (!in_cell && !waiting_shell_.empty()) {
        auto message = std::move(waiting_shell_.front());
        waiting_shell_.pop_front();
        return take_shell(std::move(message));
    }
    fds_.clear();
    fds_.push_back({signal_pipe[0], POLLIN, 0});
    if (lifeline_) fds_.push_back({lifeline_.get(), POLLIN, 0});
    if (watched_ != nullptr) watched_->watch(fds_);
    items_.clear();
    // The order of `came` below. A socket that is left alone keeps its place.
    for (Socket const each : {control, heartbeat, stdin_, shell}) {
        bool const wanted = each == heartbeat || (started_ && (each != shell || !in_cell));
        items_.push_back({sockets_[each], 0, static_cast<short>(wanted ? ZMQ_POLLIN : 0), 0});
    }
    auto const first_fd = items_.size();
    for (auto const& fd : fds_) items_.push_back({nullptr, fd.fd, ZMQ_POLLIN, 0});
    if (zmq_poll(items_.data(), static_cast<int>(items_.size()), milliseconds) < 0) return;
    std::vector<pollfd> ready;
    for (std::size_t i = 1; i < fds_.size(); ++i)
        if (items_[first_fd + i].revents != 0) ready.push_back({fds_[i].fd, POLLIN, POLLIN});
    bool const signaled = items_[first_fd].revents != 0;
    auto const came = [&](std::size_t i) { return items_[i].revents != 0; };
    bool const from_control = came(0), from_heart = came(1), from_stdin = came(2), from_shell = came(3);
    // An interrupt that came before a request is none of that request's, also when it came while the sockets
    // were asked one after the other.
    if (signaled || from_shell) read_signals(in_cell);
    if (from_heart) beat();
    if (lifeline_ && items_[first_fd + 1].revents != 0) {
        if (on_shutdown_) on_shutdown_();
        stopped_ = true;
        return;
    }
    Message message;
    if (from_control && receive(control, message)) take_control(std::move(message), in_cell);
    if (watched_ != nullptr) watched_->ready(ready);  // with nothing ready too: a child may have ended
    if (from_stdin && receive(stdin_, message) && input_wanted_ && message.type == "input_reply") {
        input_wanted_ = false;
        notify_stdin_listener(to_xeus(std::move(message)));
    }
    if (from_shell && !stopped_ && receive(shell, message)) take_shell(std::move(message));
}

void Server::start_impl(xeus::xpub_message message) {
    publish_impl(std::move(message), xeus::channel::SHELL);
    started_ = true;
    while (!stopped_) turn(false, -1);
}

// "Messaging in Jupyter", section "Execution results": after an error what was sent already is answered as
// aborted.
void Server::abort_queue_impl(listener const&, long) {
    for (auto& message : std::exchange(sent_before_error_, {})) {
        if (message.type == "execute_request")
            answer_aborted(message);
        else
            waiting_shell_.push_back(std::move(message));
    }
}

void Server::answer_aborted(Message const& request) {
    publish_for(request.header, "status", {{"execution_state", "busy"}});
    auto reply =
        make_message("execute_reply", session_, now_text(), {{"status", "aborted"}, {"execution_count", 0}});
    reply.parent = request.header;
    reply.identities = request.identities;
    send(shell, reply);
    publish_for(request.header, "status", {{"execution_state", "idle"}});
}

void Server::stop_impl() { stopped_ = true; }

void Server::update_config_impl(xeus::xconfiguration&) const {}

}  // namespace execd::kernels::native
