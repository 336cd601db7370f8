#include "kernels/zmq_socket.hpp"

#include <boost/asio/post.hpp>

#include <atomic>
#include <cerrno>
#include <cstring>

#include "base/check.hpp"

namespace execd::kernels {

namespace {
// A burst of small messages is handled without leaving the coroutine; then the reactor has a turn.
constexpr int kBurst = 16;

// libzmq's calls look at their mailbox by poll(), which a signal breaks off even where nothing waits; and the
// reactor's thread is the one that hears of every child that ends. Nothing has happened then: once more.
template <class Call>
int undisturbed(Call call) {
    for (;;) {
        int const result = call();
        if (result >= 0 || zmq_errno() != EINTR) return result;
    }
}

Failure zmq_failure(std::string_view where) {
    int const code = zmq_errno();
    if (code == EAGAIN) return fail(Code::exhausted, where, "the peer does not read");
    return fail(code == ETERM ? Code::cancelled : Code::io, where, zmq_strerror(code));
}
}  // namespace

ZmqContext::ZmqContext() : context_(zmq_ctx_new()) {
    EXECD_REQUIRE(context_ != nullptr);
    zmq_ctx_set(context_, ZMQ_MAX_SOCKETS, 16384);
}

ZmqContext::~ZmqContext() {
    while (zmq_ctx_term(context_) != 0 && zmq_errno() == EINTR) {
    }
}

std::vector<std::string_view> views(ZmqMessage const& message) {
    std::vector<std::string_view> out;
    out.reserve(message.size());
    for (auto const& frame : message) out.push_back(frame.view());
    return out;
}

std::size_t size_of(ZmqMessage const& message) {
    std::size_t out = 0;
    for (auto const& frame : message) out += frame.view().size();
    return out;
}

Result<std::unique_ptr<ZmqSocket>> ZmqSocket::open(Loop& loop, std::shared_ptr<ZmqContext> context,
                                                   Options const& options) {
    void* const socket = zmq_socket(context->get(), options.type);
    if (socket == nullptr) return zmq_failure("zmq.socket");
    auto const set = [socket](int option, int value) {
        zmq_setsockopt(socket, option, &value, sizeof value);
    };
    set(ZMQ_LINGER, 0);
    set(ZMQ_SNDHWM, options.send_hwm);
    set(ZMQ_RCVHWM, options.recv_hwm);
    set(ZMQ_RECONNECT_IVL, options.reconnect_ms);
    set(ZMQ_RECONNECT_IVL_MAX, 0);
    zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &options.max_frame, sizeof options.max_frame);
    if (!options.routing_id.empty())
        zmq_setsockopt(socket, ZMQ_ROUTING_ID, options.routing_id.data(), options.routing_id.size());
    if (options.immediate) set(ZMQ_IMMEDIATE, 1);
    if (options.subscribe_all) zmq_setsockopt(socket, ZMQ_SUBSCRIBE, "", 0);
    int fd = -1;
    std::size_t size = sizeof fd;
    if (undisturbed([&] { return zmq_getsockopt(socket, ZMQ_FD, &fd, &size); }) != 0) {
        auto failure = zmq_failure("zmq.fd");
        zmq_close(socket);
        return failure;
    }
    return std::unique_ptr<ZmqSocket>(new ZmqSocket(loop, std::move(context), socket, fd));
}

ZmqSocket::ZmqSocket(Loop& loop, std::shared_ptr<ZmqContext> context, void* socket, int fd)
    : loop_(&loop), context_(std::move(context)), socket_(socket), edge_(loop.io(), fd) {}

ZmqSocket::~ZmqSocket() {
    EXECD_ASSERT(!receiving_);
    edge_.release();  // the descriptor belongs to libzmq
    zmq_close(socket_);
}

Result<void> ZmqSocket::connect(std::string const& endpoint) {
    int const result = undisturbed([&] { return zmq_connect(socket_, endpoint.c_str()); });
    if (result != 0) return zmq_failure("zmq.connect");
    return {};
}

void ZmqSocket::disconnect(std::string const& endpoint) {
    undisturbed([&] { return zmq_disconnect(socket_, endpoint.c_str()); });
}

Result<void> ZmqSocket::reconnect(std::string const& endpoint) {
    disconnect(endpoint);
    auto connected = connect(endpoint);
    if (readable()) wake_receiver();  // both have looked into the mailbox
    return connected;
}

Result<std::unique_ptr<ZmqSocket>> ZmqSocket::monitor(int events) {
    static std::atomic<std::uint64_t> number{0};
    std::string const place = "inproc://execd-monitor-" + std::to_string(++number);
    if (zmq_socket_monitor(socket_, place.c_str(), events) != 0) return zmq_failure("zmq.monitor");
    Options options;
    options.type = ZMQ_PAIR;
    options.recv_hwm = 0;  // libzmq's own thread waits for room
    // libzmq's thread waits until somebody listens to its events.
    auto out = open(*loop_, context_, options);
    if (out)
        if (auto connected = (*out)->connect(place); !connected) out = tl::unexpected(connected.error());
    if (!out) stop_monitor();
    return out;
}

void ZmqSocket::stop_monitor() { zmq_socket_monitor(socket_, nullptr, 0); }

int ZmqSocket::event_of(ZmqMessage const& message) {
    std::uint16_t number = 0;
    if (message.empty() || message.front().view().size() < sizeof number) return 0;
    std::memcpy(&number, message.front().view().data(), sizeof number);
    return number;
}

Result<void> ZmqSocket::bind(std::string const& endpoint) {
    int const result = undisturbed([&] { return zmq_bind(socket_, endpoint.c_str()); });
    if (result != 0) return zmq_failure("zmq.bind");
    return {};
}

std::string ZmqSocket::endpoint() const {
    char text[256] = {};
    std::size_t size = sizeof text;
    if (zmq_getsockopt(socket_, ZMQ_LAST_ENDPOINT, text, &size) != 0) return {};
    return text;
}

int ZmqSocket::events() const {
    int events = 0;
    std::size_t size = sizeof events;
    auto const ask = [&] { return zmq_getsockopt(socket_, ZMQ_EVENTS, &events, &size); };
    return undisturbed(ask) == 0 ? events : 0;
}

// Whoever looked at the events outside of recv() may have consumed the edge that the receiver waits for.
void ZmqSocket::wake_receiver() {
    if (!receiving_) return;
    woken_ = true;
    edge_.cancel();
}

Task<bool> ZmqSocket::sendable(Deadline deadline) {
    for (;;) {
        int const now = events();
        if ((now & ZMQ_POLLIN) != 0) wake_receiver();
        if ((now & ZMQ_POLLOUT) != 0) co_return true;
        bool const told = co_await stirred_.wait(loop_->clock(), deadline);
        if (!told) co_return false;  // perhaps because the socket is no more
    }
}

bool ZmqSocket::has_message() {
    bool const there = readable();
    if (there) wake_receiver();
    return there;
}

Result<void> ZmqSocket::send(std::vector<std::string> const& frames) {
    EXECD_ASSERT(loop_->on_loop());
    for (std::size_t i = 0; i < frames.size(); ++i) {
        int const more = i + 1 < frames.size() ? ZMQ_SNDMORE : 0;
        // Only the first frame can meet the high-water mark: libzmq counts whole messages.
        auto const put = [&, flags = ZMQ_DONTWAIT | more] {
            return zmq_send(socket_, frames[i].data(), frames[i].size(), flags);
        };
        if (undisturbed(put) < 0) return zmq_failure("zmq.send");
    }
    if (receiving_ && readable()) wake_receiver();
    return {};
}

Result<ZmqMessage> ZmqSocket::take() {
    ZmqMessage out;
    for (;;) {
        ZmqFrame frame;
        auto const get = [&] { return zmq_msg_recv(&frame.message_, socket_, ZMQ_DONTWAIT); };
        if (undisturbed(get) < 0) return zmq_failure("zmq.recv");
        bool const more = zmq_msg_more(&frame.message_) != 0;
        out.push_back(std::move(frame));
        if (!more) return out;
    }
}

Task<Result<ZmqMessage>> ZmqSocket::recv() {
    struct Flag {
        bool& flag;
        explicit Flag(bool& f) : flag(f) { flag = true; }
        ~Flag() { flag = false; }
    } const receiving(receiving_);
    if (++burst_ >= kBurst) {
        burst_ = 0;
        co_await asio::post(loop_->executor(), kUseTask);
    }
    for (;;) {
        if (readable()) co_return take();
        burst_ = 0;
        woken_ = false;
        auto [error] = co_await edge_.async_wait(Descriptor::wait_read, kAsTuple);
        stirred_.notify_all();
        if (error && !(error == asio::error::operation_aborted && woken_))
            co_return fail(Code::cancelled, "zmq.recv", error.message());
    }
}

}  // namespace execd::kernels
